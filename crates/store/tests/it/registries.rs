//! Logins of registries.

use domain::ids::{AccountId, RegistryLoginId};
use store::StoreError;
use store::registries::{self, RegistryRow};

use crate::instances::instance;
use crate::{NOW, after, change, on_both_stores, tenant};

fn login(account: AccountId, host: &str, username: &str) -> RegistryRow {
    RegistryRow {
        id: RegistryLoginId::generate(),
        account,
        host: host.parse().unwrap(),
        username: username.to_owned(),
        password_sealed: "1.c2VhbGVk".to_owned(),
        updated_at: NOW,
    }
}

#[test]
fn each_account_has_one_login_for_each_registry_and_finds_no_other() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await.account.id, tenant(&store, "beta").await.account.id);
        let rows =
            [login(acme, "ghcr.io", "me"), login(acme, "docker.io", "me"), login(beta, "ghcr.io", "you")];
        for row in &rows {
            change(&store, async |tx| registries::put(tx, row).await).await.unwrap();
        }
        assert_eq!(registries::list(&store, acme).await.unwrap(), [rows[1].clone(), rows[0].clone()]);
        assert_eq!(registries::list(&store, beta).await.unwrap(), [rows[2].clone()]);

        // The newer one takes the place of the older, with an id of its own, for which its password is sealed.
        let newer = RegistryRow { updated_at: after(1), ..login(acme, "ghcr.io", "other") };
        change(&store, async |tx| registries::put(tx, &newer).await).await.unwrap();
        let host = "ghcr.io".parse().unwrap();
        assert_eq!(registries::by_host(&store, acme, &host).await.unwrap(), Some(newer.clone()));
        assert_eq!(registries::by_host(&store, beta, &host).await.unwrap(), Some(rows[2].clone()));

        let gone = change(&store, async |tx| registries::delete(tx, acme, &host).await).await.unwrap();
        assert_eq!(gone, newer.id);
        let again = change(&store, async |tx| registries::delete(tx, acme, &host).await).await;
        assert!(matches!(again, Err(StoreError::NotFound { what: "registry" })), "{again:?}");
        assert_eq!(registries::by_host(&store, beta, &host).await.unwrap(), Some(rows[2].clone()));

        let nobody = login(AccountId::generate(), "ghcr.io", "me");
        let refused = change(&store, async |tx| registries::put(tx, &nobody).await).await;
        assert!(matches!(refused, Err(StoreError::NotFound { what: "account" })), "{refused:?}");
        let odd = login(acme, "ghcr.io", "a\0b");
        let refused = change(&store, async |tx| registries::put(tx, &odd).await).await;
        assert!(matches!(refused, Err(StoreError::Invalid { field: "username", .. })), "{refused:?}");
    });
}

#[test]
fn what_a_host_was_told_is_kept_with_its_instance() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = instance(&acme, "x");
        change(&store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
        let told = async |instance, login| {
            change(&store, async |tx| registries::hand_over(tx, instance, login).await).await.unwrap();
            registries::handed_over(&store).await.unwrap().get(&instance).copied()
        };
        let (first, second) = (RegistryLoginId::generate(), RegistryLoginId::generate());
        for login in [Some(first), Some(second), None, None, Some(first)] {
            assert_eq!(told(row.id, login).await, login);
        }
        assert_eq!(told(domain::ids::InstanceId::generate(), Some(first)).await, None, "it is gone");
        let (account, name) = (acme.account.id, &row.name);
        change(&store, async |tx| store::instances::mark_deleting(tx, account, name, NOW).await)
            .await
            .unwrap();
        change(&store, async |tx| store::instances::delete(tx, row.id).await).await.unwrap();
        assert!(registries::handed_over(&store).await.unwrap().is_empty(), "it went with its instance");
    });
}
