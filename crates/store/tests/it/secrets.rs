//! An account's secrets, their versions, and who uses them.

use domain::ids::{AccountId, SecretVersionId};
use domain::vault::SecretName;
use store::secrets::{self, VersionRow};
use store::{Store, StoreError, instances};

use crate::instances::instance;
use crate::{NOW, after, change, on_both_stores, tenant};

/// Keeps the next version of a secret.
async fn put(store: &Store, account: AccountId, name: &SecretName, sealed: &str) -> u64 {
    change(store, async |tx| {
        let row = secrets::advance(tx, account, name, after(1)).await?;
        let version = VersionRow {
            id: SecretVersionId::generate(),
            secret: row.id,
            version: row.version,
            value_sealed: Some(sealed.to_owned()),
            created_by: "user:1".to_owned(),
            created_at: NOW,
        };
        secrets::add_version(tx, &version).await?;
        Ok(row.version)
    })
    .await
    .unwrap()
}

async fn values(store: &Store, account: AccountId) -> Vec<(u64, Option<String>)> {
    let all = secrets::versions(store, account).await.unwrap();
    all.into_iter().map(|(row, _)| (row.version, row.value_sealed)).collect()
}

#[test]
fn versions_grow_and_values_that_nobody_uses_are_forgotten() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await.account.id);
        let (id, key) = (acme.account.id, "KEY".parse().unwrap());
        assert_eq!(put(&store, id, &key, "1.a").await, 1);
        assert_eq!(put(&store, beta, &key, "1.theirs").await, 1, "each account has its own");
        assert_eq!(put(&store, id, &key, "1.b").await, 2);
        assert_eq!(values(&store, id).await, [(2, Some("1.b".to_owned())), (1, None)]);
        let newest = secrets::newest(&store, id, &key).await.unwrap().unwrap();
        assert_eq!((newest.version, newest.value_sealed.as_deref()), (2, Some("1.b")));

        // What a host was told is kept until it is told the next.
        let row = instance(&acme, "user");
        change(&store, async |tx| {
            instances::insert(tx, &row).await?;
            secrets::add_use(tx, row.id, "API_KEY", &key).await
        })
        .await
        .unwrap();
        let handed = secrets::handed(&store, row.id).await.unwrap();
        assert_eq!((handed[0].variable.as_str(), handed[0].version), ("API_KEY", 2));
        change(&store, async |tx| secrets::note_told(tx, row.id, &handed).await).await.unwrap();
        put(&store, id, &key, "1.c").await;
        assert_eq!(
            values(&store, id).await,
            [(3, Some("1.c".to_owned())), (2, Some("1.b".to_owned())), (1, None)]
        );
        assert_eq!(secrets::uses(&store, id).await.unwrap()[0].version, Some(2));
        assert_eq!(secrets::known_to(&store, row.id).await.unwrap().len(), 2);
        let handed = secrets::handed(&store, row.id).await.unwrap();
        assert_eq!((handed.len(), handed[0].version), (1, 3));
        change(&store, async |tx| secrets::note_told(tx, row.id, &handed).await).await.unwrap();
        assert_eq!(values(&store, id).await, [(3, Some("1.c".to_owned())), (2, None), (1, None)]);
        assert_eq!(values(&store, beta).await, [(1, Some("1.theirs".to_owned()))]);
        assert_eq!(secrets::uses(&store, beta).await.unwrap(), []);
    });
}

#[test]
fn what_is_used_stays_and_goes_with_its_users() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (id, key) = (acme.account.id, "KEY".parse().unwrap());
        put(&store, id, &key, "1.a").await;
        let (row, foreign) = (instance(&acme, "user"), instance(&beta, "user"));
        let refused = change(&store, async |tx| {
            instances::insert(tx, &foreign).await?;
            secrets::add_use(tx, foreign.id, "K", &key).await
        })
        .await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "another account's: {refused:?}");
        change(&store, async |tx| {
            instances::insert(tx, &row).await?;
            secrets::add_use(tx, row.id, "K", &key).await
        })
        .await
        .unwrap();
        for account in [id, beta.account.id] {
            let removed = change(&store, async |tx| secrets::remove(tx, account, &key).await).await;
            assert!(matches!(removed, Err(StoreError::NotFound { .. })), "{removed:?}");
        }
        let secret = secrets::list(&store, id).await.unwrap()[0].id;
        let renewed =
            change(&store, async |tx| instances::renew_users_of(tx, secret, after(5)).await).await.unwrap();
        assert_eq!(
            renewed.iter().map(|row| (row.generation, row.restarts_asked)).collect::<Vec<_>>(),
            [(2, 1)]
        );
        change(&store, async |tx| {
            instances::mark_deleting(tx, id, &row.name, after(6)).await?;
            instances::delete(tx, row.id).await
        })
        .await
        .unwrap();
        change(&store, async |tx| secrets::remove(tx, id, &key).await.map(drop)).await.unwrap();
        assert_eq!(secrets::list(&store, id).await.unwrap(), []);
        assert_eq!(values(&store, id).await, []);
    });
}
