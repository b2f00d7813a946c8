//! What instances were and are to be: one change at a time, each step one process's alone, the oldest forgotten.

use std::collections::BTreeMap;

use domain::change::{ChangeState, ToolChanges};
use domain::ids::{CatalogEntryId, ChangeId, InstanceId};
use domain::status::InstanceStatus;
use store::changes::{self, ChangeRow, What};
use store::instances::{self, InstanceRow};
use store::{Store, StoreError};

use crate::toolbelts::kept;
use crate::{NOW, after, change, on_both_stores, tenant};

fn of(row: &InstanceRow, state: ChangeState) -> ChangeRow {
    ChangeRow {
        id: ChangeId::generate(),
        instance: row.id,
        number: 0,
        state,
        message: None,
        changed: vec!["settings.WORD".to_owned()],
        review: true,
        back_to: Some(1),
        candidate: Some(InstanceId::generate()),
        tools: None,
        asked: Some("{}".to_owned()),
        asked_sealed: Some("1.b".to_owned()),
        what: What {
            catalog_entry: row.catalog_entry,
            spec: row.spec.clone(),
            settings: row.settings.clone(),
            secret_names: row.secret_names.clone(),
            named: BTreeMap::new(),
        },
        secrets_sealed: Some("1.a".to_owned()),
        version: None,
        digest: None,
        created_by: "user:me".to_owned(),
        created_at: NOW,
        since: NOW,
        ended_at: None,
    }
}

async fn insert(store: &Store, row: &ChangeRow) -> Result<u64, StoreError> {
    change(store, async |tx| changes::insert(tx, row).await).await
}

async fn advance(store: &Store, before: ChangeState, row: &ChangeRow) -> bool {
    change(store, async |tx| changes::advance(tx, before, row).await).await.unwrap()
}

#[test]
fn one_is_open_at_a_time_and_each_step_is_one_s_alone() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let (row, other) = (kept(&store, &acme, "one").await, kept(&store, &acme, "two").await);
        let mut first = of(&row, ChangeState::Current);
        first.number = insert(&store, &first).await.unwrap();
        let mut second = of(&row, ChangeState::Trying);
        second.number = insert(&store, &second).await.unwrap();
        assert_eq!((first.number, second.number), (1, 2));
        for state in [ChangeState::Trying, ChangeState::Ready, ChangeState::Switching] {
            let refused = insert(&store, &of(&row, state)).await;
            assert!(matches!(refused, Err(StoreError::Taken { field: "change", .. })), "{refused:?}");
        }
        assert_eq!(insert(&store, &of(&other, ChangeState::Trying)).await.unwrap(), 1, "of another instance");
        assert_eq!(changes::list_open(&store).await.unwrap().len(), 2, "of every instance");
        assert_eq!(changes::list(&store, row.id).await.unwrap(), [second.clone(), first.clone()]);

        second.tools = Some(ToolChanges { added: vec!["new".to_owned()], ..ToolChanges::default() });
        second.message = Some("odd \u{0} text".to_owned());
        (second.state, second.since, second.candidate) = (ChangeState::Switching, after(1), None);
        assert!(advance(&store, ChangeState::Trying, &second).await);
        assert!(!advance(&store, ChangeState::Trying, &second).await, "whoever comes second changes nothing");
        let found = changes::list(&store, row.id).await.unwrap().remove(0);
        assert_eq!((found.state, &found.tools, found.candidate), (second.state, &second.tools, None));

        // There is one thing that it is.
        let replaced = change(&store, async |tx| {
            let replaced = changes::replace_current(tx, row.id, after(2)).await?;
            let now = ChangeRow { state: ChangeState::Current, ended_at: Some(after(2)), ..second.clone() };
            assert!(changes::advance(tx, ChangeState::Switching, &now).await?);
            Ok(replaced)
        });
        assert_eq!(replaced.await.unwrap(), 1);
        let states: Vec<ChangeState> =
            changes::list(&store, row.id).await.unwrap().iter().map(|row| row.state).collect();
        assert_eq!(states, [ChangeState::Current, ChangeState::Replaced]);
    });
}

#[test]
fn the_oldest_are_forgotten_but_for_what_it_is() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = kept(&store, &acme, "one").await;
        insert(&store, &of(&row, ChangeState::Current)).await.unwrap();
        for _ in 0..54 {
            insert(&store, &of(&row, ChangeState::Failed)).await.unwrap();
        }
        let numbers: Vec<u64> =
            changes::list(&store, row.id).await.unwrap().iter().map(|row| row.number).collect();
        assert_eq!((numbers.first(), numbers.len()), (Some(&55), 51));
        assert_eq!(numbers.last(), Some(&1), "it is what the instance is");

        change(&store, async |tx| instances::mark_deleting(tx, acme.account.id, &row.name, NOW).await)
            .await
            .unwrap();
        change(&store, async |tx| instances::delete(tx, row.id).await).await.unwrap();
        assert!(changes::list(&store, row.id).await.unwrap().is_empty(), "they go with it");
    });
}

#[test]
fn an_instance_becomes_something_else_once() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = kept(&store, &acme, "one").await;
        let mut what = of(&row, ChangeState::Trying).what;
        what.spec.package = "npm:@scope/server@2.0.0".parse().unwrap();
        what.spec.moving.adopted = true;
        what.settings.insert("more".to_owned(), "1".to_owned());
        let become_it = async |before: &InstanceRow, what: &What| {
            let (sealed, shown) = (Some("1.new"), InstanceStatus::Starting);
            change(&store, async |tx| instances::become_what(tx, before, what, sealed, shown, after(1)).await)
                .await
        };
        let after_it = become_it(&row, &what).await.unwrap().expect("it was as before");
        assert_eq!((after_it.generation, after_it.status), (2, InstanceStatus::Starting));
        assert_eq!((&after_it.spec.package, &after_it.settings), (&what.spec.package, &what.settings));
        assert_eq!(after_it.secrets_sealed.as_deref(), Some("1.new"));
        assert!(!after_it.spec.moving.adopted, "what is known about moving it stays");
        assert_eq!((after_it.id, &after_it.name), (row.id, &row.name));
        assert_eq!(become_it(&row, &what).await.unwrap(), None, "it was changed meanwhile");

        let unknown = What { catalog_entry: CatalogEntryId::generate(), ..what.clone() };
        let refused = become_it(&after_it, &unknown).await;
        assert!(matches!(refused, Err(StoreError::UnknownCatalogEntry { .. })), "{refused:?}");
        let named = BTreeMap::from([("K".to_owned(), "NONE".parse().unwrap())]);
        let refused = become_it(&after_it, &What { named, ..what.clone() }).await;
        assert!(matches!(refused, Err(StoreError::NotFound { what: "secret" })), "{refused:?}");
        let same = instances::by_id(&store, row.id).await.unwrap().unwrap();
        assert_eq!(same, after_it, "what was refused changed nothing");
    });
}
