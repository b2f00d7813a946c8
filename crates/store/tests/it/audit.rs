//! The audit table.

use domain::ids::{AccountId, AuditId};
use domain::time::Timestamp;
use serde_json::json;
use store::audit::{self, AuditRow};
use store::{StoreError, accounts};

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
        assert_eq!(audit::list(&store, acme, 100).await.unwrap(), newest_first);
        assert_eq!(audit::list(&store, acme, 2).await.unwrap(), newest_first[..2]);
        assert_eq!(audit::list(&store, acme, 0).await.unwrap(), []);
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
