//! Toolbelts, their members, and what those have.

use domain::ids::{ToolbeltId, ToolbeltItemId};
use domain::toolbelts::{Kind, Mode, OnChange};
use store::instances::InstanceRow;
use store::toolbelts::{self, FeatureChange, FeatureRow, ItemRow, Settings, ToolbeltRow};
use store::{Store, StoreError};

use crate::instances::instance;
use crate::{Tenant, after, change, on_both_stores, tenant};

pub(crate) fn toolbelt(of: &Tenant, name: &str) -> ToolbeltRow {
    ToolbeltRow {
        id: ToolbeltId::generate(),
        account: of.account.id,
        name: name.parse().unwrap(),
        agent: None,
        description: Some("für alle ' \u{1f600}".to_owned()),
        mode: Mode::List,
        on_change: OnChange::Keep,
        generation: 1,
        created_at: after(1),
        updated_at: after(1),
    }
}

pub(crate) fn item(of: &ToolbeltRow, instance: &InstanceRow, second: i64) -> ItemRow {
    ItemRow {
        id: ToolbeltItemId::generate(),
        toolbelt: of.id,
        instance: instance.id,
        instance_name: instance.name.clone(),
        environment: instance.environment,
        is_active: true,
        created_at: after(second),
        updated_at: after(second),
    }
}

fn feature(of: &ItemRow, name: &str, shown: &str) -> FeatureRow {
    FeatureRow {
        item: of.id,
        toolbelt: of.toolbelt,
        kind: Kind::Tool,
        name: name.to_owned(),
        shown_name: shown.to_owned(),
        description: None,
        is_on: true,
        approved_hash: "1".to_owned(),
        approved_json: r#"{"name":"ä\u0000","big":123456789012345678901234567890}"#.to_owned(),
        seen_hash: None,
        seen_json: None,
        first_seen_at: after(3),
        seen_at: after(3),
    }
}

pub(crate) async fn kept(store: &Store, of: &Tenant, name: &str) -> InstanceRow {
    let row = instance(of, name);
    change(store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
    row
}

pub(crate) async fn insert(store: &Store, row: &ToolbeltRow) -> Result<(), StoreError> {
    change(store, async |tx| toolbelts::insert(tx, row).await).await
}

pub(crate) async fn add(store: &Store, row: &ItemRow) -> Result<(), StoreError> {
    change(store, async |tx| toolbelts::add_item(tx, row).await).await
}

async fn generation(store: &Store, id: ToolbeltId) -> u64 {
    toolbelts::by_id(store, id).await.unwrap().unwrap().generation
}

#[test]
fn each_account_has_its_own() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let rows = ["b", "a"].map(|name| toolbelt(&acme, name));
        let theirs = toolbelt(&beta, "a");
        for row in rows.iter().chain([&theirs]) {
            insert(&store, row).await.unwrap();
        }
        let [b, a] = &rows;
        assert_eq!(toolbelts::list(&store, acme.account.id).await.unwrap(), [a.clone(), b.clone()]);
        assert_eq!(toolbelts::find(&store, acme.account.id, &a.name).await.unwrap().as_ref(), Some(a));
        assert_eq!(toolbelts::find(&store, beta.account.id, &b.name).await.unwrap(), None);
        let mut all = toolbelts::all(&store).await.unwrap();
        all.sort_by_key(|known| (known.account_name.clone(), known.toolbelt.name.clone()));
        let names: Vec<_> =
            all.iter().map(|known| (known.account_name.as_str(), known.toolbelt.id)).collect();
        assert_eq!(names, [("acme", a.id), ("acme", b.id), ("beta", theirs.id)]);

        let settings = Settings { description: None, mode: Mode::Search, on_change: OnChange::Withhold };
        let set = async |account| {
            change(&store, async |tx| toolbelts::set(tx, account, a.id, &settings, after(9)).await).await
        };
        let refused = set(beta.account.id).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
        let expected = ToolbeltRow {
            description: None,
            mode: Mode::Search,
            on_change: OnChange::Withhold,
            generation: 2,
            updated_at: after(9),
            ..a.clone()
        };
        assert_eq!(set(acme.account.id).await.unwrap(), expected);
        assert_eq!(toolbelts::by_id(&store, a.id).await.unwrap(), Some(expected.clone()));

        let remove =
            async |account| change(&store, async |tx| toolbelts::remove(tx, account, a.id).await).await;
        let refused = remove(beta.account.id).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
        assert_eq!(remove(acme.account.id).await.unwrap(), expected);
        assert_eq!(toolbelts::list(&store, acme.account.id).await.unwrap(), std::slice::from_ref(b));
    });
}

#[test]
fn a_name_is_one_address() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        kept(&store, &acme, "server").await;
        insert(&store, &toolbelt(&acme, "belt")).await.unwrap();
        for name in ["server", "belt"] {
            let taken = insert(&store, &toolbelt(&acme, name)).await;
            assert!(matches!(taken, Err(StoreError::Taken { field: "name", .. })), "{name}: {taken:?}");
            let taken =
                change(&store, async |tx| store::instances::insert(tx, &instance(&acme, name)).await).await;
            assert!(matches!(taken, Err(StoreError::Taken { field: "name", .. })), "{name}: {taken:?}");
            insert(&store, &toolbelt(&beta, name)).await.unwrap();
        }
        let free = async |base: &str| {
            let base = base.parse().unwrap();
            store::instances::next_free_name(&store, acme.account.id, &base).await.unwrap().to_string()
        };
        assert_eq!([free("belt").await, free("server").await], ["belt-2", "server-2"]);
    });
}

/// What is written at once by two is had by one of them.
#[test]
fn an_instance_and_a_toolbelt_do_not_take_a_name_at_once() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        for round in 0..8 {
            let name = format!("x{round}");
            let (row, belt) = (instance(&acme, &name), toolbelt(&acme, &name));
            let (one, two) = (store.clone(), store.clone());
            let first = tokio::spawn(async move {
                change(&one, async |tx| store::instances::insert(tx, &row).await).await
            });
            let second = tokio::spawn(async move { insert(&two, &belt).await });
            let done = [first.await.unwrap().is_ok(), second.await.unwrap().is_ok()];
            assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
        }
    });
}

#[test]
fn members_are_instances_of_the_account() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (one, two) = (kept(&store, &acme, "one").await, kept(&store, &acme, "two").await);
        let foreign = kept(&store, &beta, "three").await;
        let belt = toolbelt(&acme, "belt");
        insert(&store, &belt).await.unwrap();
        let (first, second) = (item(&belt, &two, 1), item(&belt, &one, 2));
        for row in [&second, &first] {
            add(&store, row).await.unwrap();
        }
        assert_eq!(toolbelts::items(&store, belt.id).await.unwrap(), [first.clone(), second.clone()]);
        assert_eq!(generation(&store, belt.id).await, 3);
        let again = add(&store, &item(&belt, &one, 3)).await;
        assert!(
            matches!(again, Err(StoreError::Taken { field: "account_tool_instance_id", .. })),
            "{again:?}"
        );
        let refused = add(&store, &item(&belt, &foreign, 3)).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");

        let other = toolbelt(&acme, "other");
        insert(&store, &other).await.unwrap();
        let hide = async |of| {
            change(&store, async |tx| toolbelts::set_active(tx, of, first.id, false, after(5)).await).await
        };
        let refused = hide(other.id).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
        hide(belt.id).await.unwrap();
        let hidden = ItemRow { is_active: false, updated_at: after(5), ..first.clone() };
        assert_eq!(toolbelts::item(&store, belt.id, first.id).await.unwrap(), Some(hidden));
        assert_eq!(toolbelts::item(&store, other.id, first.id).await.unwrap(), None);

        let remove =
            async |of| change(&store, async |tx| toolbelts::remove_item(tx, of, first.id).await).await;
        let refused = remove(other.id).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
        remove(belt.id).await.unwrap();
        assert_eq!(toolbelts::items(&store, belt.id).await.unwrap(), std::slice::from_ref(&second));
        assert_eq!((generation(&store, belt.id).await, generation(&store, other.id).await), (5, 1));

        // An instance that goes is a member no more, and the toolbelts that had it know.
        let touched =
            change(&store, async |tx| toolbelts::touch_of_instance(tx, one.id).await).await.unwrap();
        assert_eq!(touched, [belt.id]);
        change(&store, async |tx| {
            store::instances::mark_deleting(tx, acme.account.id, &one.name, after(6)).await
        })
        .await
        .unwrap();
        assert_eq!(toolbelts::items(&store, belt.id).await.unwrap(), []);
        let refused = add(&store, &item(&other, &one, 7)).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
        assert_eq!(generation(&store, belt.id).await, 6);
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "each step is on what the one before has left")]
fn what_members_have() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let (one, two) = (kept(&store, &acme, "one").await, kept(&store, &acme, "two").await);
        let belt = toolbelt(&acme, "belt");
        insert(&store, &belt).await.unwrap();
        let (first, second) = (item(&belt, &one, 1), item(&belt, &two, 2));
        for row in [&first, &second] {
            add(&store, row).await.unwrap();
        }
        let before = generation(&store, belt.id).await;
        let put = async |rows: &[FeatureRow]| {
            change(&store, async |tx| toolbelts::put_features(tx, rows).await).await
        };
        let echo = feature(&first, "echo", "echo");
        let prompt = FeatureRow { kind: Kind::Prompt, ..echo.clone() };
        let theirs = feature(&second, "echo", "two_echo");
        put(&[echo.clone(), prompt.clone(), theirs.clone()]).await.unwrap();
        let known = async || {
            let mut rows = toolbelts::features(&store, belt.id).await.unwrap();
            rows.sort_by_key(|row| (row.shown_name.clone(), row.kind.word()));
            rows
        };
        assert_eq!(known().await, [prompt.clone(), echo.clone(), theirs.clone()]);
        assert_eq!(generation(&store, belt.id).await, before, "what is seen is no change by people");

        // One name, one tool.
        let clash = put(&[feature(&second, "other", "echo")]).await;
        assert!(matches!(clash, Err(StoreError::Taken { field: "shown_name", .. })), "{clash:?}");

        // What people say stays when the toolbelt looks again.
        let set = async |row: &FeatureRow, change_: FeatureChange| {
            change(&store, async |tx| toolbelts::set_feature(tx, row, &change_).await).await
        };
        let said = FeatureChange {
            shown_name: Some("say".to_owned()),
            description: Some(Some("Says it.".to_owned())),
            is_on: Some(false),
        };
        let changed = set(&echo, said).await.unwrap();
        let expected = FeatureRow {
            shown_name: "say".to_owned(),
            description: Some("Says it.".to_owned()),
            is_on: false,
            ..echo.clone()
        };
        assert_eq!((&changed, generation(&store, belt.id).await), (&expected, before + 1));
        let seen = FeatureRow {
            seen_hash: Some("2".to_owned()),
            seen_json: Some(r#"{"name":"echo","description":"evil"}"#.to_owned()),
            seen_at: after(8),
            first_seen_at: after(8),
            // What it was before people changed it.
            shown_name: "echo".to_owned(),
            approved_hash: "0".to_owned(),
            approved_json: "{}".to_owned(),
            description: None,
            is_on: true,
            ..expected.clone()
        };
        put(std::slice::from_ref(&seen)).await.unwrap();
        let found =
            toolbelts::feature_by_shown_name(&store, belt.id, Kind::Tool, "say").await.unwrap().unwrap();
        let expected = FeatureRow {
            seen_hash: seen.seen_hash.clone(),
            seen_json: seen.seen_json.clone(),
            seen_at: seen.seen_at,
            first_seen_at: after(3),
            ..expected
        };
        assert_eq!(found, expected);
        let mut counts = toolbelts::feature_counts(&store, acme.account.id).await.unwrap();
        counts.retain(|count| count.item == first.id && count.kind == Kind::Tool);
        assert_eq!(counts.iter().map(|count| (count.all, count.changed)).collect::<Vec<_>>(), [(1, 1)]);
        let only = FeatureChange { is_on: Some(true), ..FeatureChange::default() };
        assert_eq!(set(&found, only).await.unwrap(), FeatureRow { is_on: true, ..expected.clone() });
        let own = FeatureChange { description: Some(None), ..FeatureChange::default() };
        assert_eq!(set(&found, own).await.unwrap().description, None);
        let clash =
            set(&found, FeatureChange { shown_name: Some("two_echo".into()), ..Default::default() }).await;
        assert!(matches!(clash, Err(StoreError::Taken { field: "shown_name", .. })), "{clash:?}");
        let missing =
            set(&FeatureRow { name: "gone".into(), ..found.clone() }, FeatureChange::default()).await;
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");

        // Only what was looked at is approved.
        let approve =
            async |hash: &str| change(&store, async |tx| toolbelts::approve(tx, &found, hash).await).await;
        let before = generation(&store, belt.id).await;
        let other = approve("3").await;
        assert!(matches!(other, Err(StoreError::NotFound { .. })), "{other:?}");
        let approved = approve("2").await.unwrap();
        assert_eq!(
            (approved.approved_hash.as_str(), Some(&approved.approved_json), &approved.seen_hash),
            ("2", seen.seen_json.as_ref(), &None)
        );
        assert!(matches!(approve("2").await, Err(StoreError::NotFound { .. })));
        // A toolbelt that has not heard of it yet calls nothing changed.
        put(std::slice::from_ref(&seen)).await.unwrap();
        let found = toolbelts::feature_by_shown_name(&store, belt.id, Kind::Tool, "say").await.unwrap();
        assert_eq!(found.and_then(|row| row.seen_hash), None);
        assert_eq!(generation(&store, belt.id).await, before + 1);
        let all = async |item| {
            change(&store, async |tx| toolbelts::approve_all(tx, belt.id, item).await).await.unwrap()
        };
        assert_eq!(all(second.id).await, []);
        let newer =
            FeatureRow { seen_hash: Some("4".into()), seen_json: Some("{}".into()), ..theirs.clone() };
        put(&[newer]).await.unwrap();
        assert_eq!(all(first.id).await, []);
        let both = all(second.id).await;
        assert_eq!(both.iter().map(|row| row.approved_hash.as_str()).collect::<Vec<_>>(), ["4"]);
        assert_eq!(generation(&store, belt.id).await, before + 2);

        // A member that goes takes what it has along, and what was on its way is left out.
        change(&store, async |tx| toolbelts::remove_item(tx, belt.id, first.id).await).await.unwrap();
        put(&[echo]).await.unwrap();
        assert_eq!(known().await.iter().map(|row| row.item).collect::<Vec<_>>(), [second.id]);
    });
}
