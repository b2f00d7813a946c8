//! The audit table.

use domain::ids::{AccountId, AuditId};
use domain::time::Timestamp;
use serde_json::json;
use store::audit::{self, AuditRow};
use store::{Store, StoreError, accounts};

use crate::{NOW, after, change, on_both_stores, tenant};

fn line(account: AccountId, action: &str, at: Timestamp) -> AuditRow {
    AuditRow {
        id: AuditId::generate(),
        account,
        actor: "user:1".to_owned(),
        action: action.to_owned(),
        object_kind: "instance".to_owned(),
        object_id: None,
        object_name: Some("everything".to_owned()),
        detail: json!({ "server": "npm:x@1", "odd": "\u{0}ä", "big": 18_446_744_073_709_551_615_u64 }),
        at,
    }
}

/// The newest lines of an account's audit.
async fn audit_lines(store: &Store, account: AccountId, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let wanted = audit::Wanted { limit, ..Default::default() };
    let found = audit::list(store, account, &wanted).await?;
    Ok(found.into_iter().map(|(line, _)| line).collect())
}

#[test]
fn lines_are_the_accounts_own_newest_first_and_as_many_as_asked() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await.account.id, tenant(&store, "beta").await.account.id);
        let lines = [
            line(acme, "a", NOW),
            line(acme, "b", NOW),
            line(acme, "c", after(1)),
            line(acme, "d", after(2)),
        ];
        change(&store, async |tx| {
            for line in &lines {
                audit::append(tx, line).await?;
            }
            audit::append(tx, &line(beta, "other", after(9))).await
        })
        .await
        .unwrap();
        let newest_first: Vec<AuditRow> = lines.iter().rev().cloned().collect();
        assert_eq!(audit_lines(&store, acme, 100).await.unwrap(), newest_first);
        assert_eq!(audit_lines(&store, acme, 2).await.unwrap(), newest_first[..2]);
        assert_eq!(audit_lines(&store, acme, 0).await.unwrap(), []);
    });
}

#[test]
fn lines_are_chosen_and_paged_and_old_ones_go() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await.account.id);
        let (id, me) = (acme.account.id, format!("user:{}", acme.owner.id));
        let named = |action: &str, name: &str, at| AuditRow {
            object_name: Some(name.to_owned()),
            actor: me.clone(),
            ..line(id, action, at)
        };
        let lines = [
            named("instance.deploy", "a", NOW),
            named("instance.remove", "a", after(1)),
            named("token.create", "b", after(1)),
            AuditRow { object_id: Some("a".to_owned()), ..line(id, "Instance_x", after(2)) },
        ];
        let foreign = line(beta, "instance.deploy", after(3));
        change(&store, async |tx| {
            for line in lines.iter().chain([&foreign]) {
                audit::append(tx, line).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
        let check = async |wanted: audit::Wanted<'_>, expected: &[usize]| {
            let found = audit::list(&store, id, &audit::Wanted { limit: 9, ..wanted.clone() }).await.unwrap();
            let expected: Vec<(AuditRow, Option<String>)> = expected
                .iter()
                .map(|&at| (lines[at].clone(), (at < 3).then(|| acme.owner.name.clone())))
                .collect();
            assert_eq!(found, expected, "{wanted:?}");
        };
        let all = audit::Wanted::default();
        check(all.clone(), &[3, 2, 1, 0]).await;
        check(audit::Wanted { action: Some("instance."), ..all.clone() }, &[1, 0]).await;
        check(audit::Wanted { object: Some("a"), ..all.clone() }, &[3, 1, 0]).await;
        check(audit::Wanted { since: Some(after(1)), ..all.clone() }, &[3, 2, 1]).await;
        check(audit::Wanted { after: Some(lines[2].id), ..all.clone() }, &[1, 0]).await;
        check(audit::Wanted { after: Some(foreign.id), ..all.clone() }, &[]).await;
        change(&store, async |tx| audit::prune(tx, after(1)).await).await.unwrap();
        check(all, &[3, 2, 1]).await;
    });
}

#[test]
fn a_line_and_its_act_are_committed_together() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let bad = AuditRow { actor: "user\0".to_owned(), ..line(acme.account.id, "a", NOW) };
        let user =
            accounts::UserRow { name: "new".to_owned(), id: domain::ids::UserId::generate(), ..acme.owner };
        let error = change(&store, async |tx| {
            accounts::create_user(tx, &user).await?;
            audit::append(tx, &bad).await
        })
        .await;
        assert!(matches!(error, Err(StoreError::Invalid { field: "actor", .. })), "{error:?}");
        assert_eq!(accounts::user_by_name(&store, "new").await.unwrap(), None);
    });
}
