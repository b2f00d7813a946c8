//! What people want of machines.

use domain::ids::EnvironmentId;
use domain::placement::Labels;
use store::policies::{self, Policy};
use store::{StoreError, environments};

use crate::{NOW, after, change, on_both_stores, tenant};

#[test]
fn each_account_sees_what_is_wanted_of_its_own() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        assert!(policies::of_account(&store, acme.account.id).await.unwrap().is_empty());
        let labels = Labels::set([("gpu".to_owned(), "yes".to_owned())].into()).unwrap();
        let first = Policy { cordoned: true, labels };
        let second = Policy { cordoned: false, ..first.clone() };
        for policy in [first, second.clone()] {
            change(&store, async |tx| policies::set(tx, acme.environment.id, &policy).await).await.unwrap();
            let found = policies::of_account(&store, acme.account.id).await.unwrap();
            assert_eq!(found, [(acme.environment.id, policy)].into());
        }
        assert!(policies::of_account(&store, beta.account.id).await.unwrap().is_empty());
        let nowhere =
            change(&store, async |tx| policies::set(tx, EnvironmentId::generate(), &second).await).await;
        assert!(matches!(nowhere, Err(StoreError::NotFound { what: "environment" })), "{nowhere:?}");

        // It goes with its environment.
        change(&store, async |tx| environments::remove(tx, acme.environment.id).await).await.unwrap();
        assert!(policies::of_account(&store, acme.account.id).await.unwrap().is_empty());
    });
}

#[test]
fn an_environment_gets_another_name() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let other = "other".parse().unwrap();
        let renamed =
            change(&store, async |tx| environments::rename(tx, acme.environment.id, &other, after(1)).await)
                .await
                .unwrap();
        assert_eq!((renamed.name.as_str(), renamed.updated_at), ("other", after(1)));
        assert_eq!(environments::by_name(&store, acme.account.id, &other).await.unwrap(), Some(renamed));
        assert_eq!(environments::by_name(&store, beta.account.id, &other).await.unwrap(), None);
        let nowhere =
            change(&store, async |tx| environments::rename(tx, EnvironmentId::generate(), &other, NOW).await)
                .await;
        assert!(matches!(nowhere, Err(StoreError::NotFound { what: "environment" })), "{nowhere:?}");
    });
}
