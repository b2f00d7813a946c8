//! What members bring for themselves.

use api::users::Role;
use domain::ids::{OwnValuesId, UserId};
use store::own_values::{self, OwnValuesRow};
use store::{Store, StoreError};

use crate::instances::instance;
use crate::{Tenant, after, change, on_both_stores, tenant};

fn values(sealed: &str, second: i64) -> OwnValuesRow {
    OwnValuesRow {
        id: OwnValuesId::generate(),
        names: vec!["KEY".to_owned()],
        values_sealed: sealed.to_owned(),
        updated_at: after(second),
    }
}

async fn put(
    store: &Store,
    of: &store::instances::InstanceRow,
    user: UserId,
    row: &OwnValuesRow,
) -> Result<(), StoreError> {
    change(store, async |tx| own_values::put(tx, of.id, user, row).await).await
}

async fn kept(store: &Store, acme: &Tenant) -> store::instances::InstanceRow {
    let row = instance(acme, "x");
    change(store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
    row
}

#[test]
fn each_member_has_their_own() {
    on_both_stores(async |store| {
        let (acme, other) = (tenant(&store, "acme").await, tenant(&store, "other").await);
        let row = kept(&store, &acme).await;
        let mary = acme.owner.id;
        assert_eq!(own_values::get(&store, row.id, mary).await.unwrap(), None);
        let first = values("1.b25l", 1);
        put(&store, &row, mary, &first).await.unwrap();
        assert_eq!(own_values::get(&store, row.id, mary).await.unwrap(), Some(first));
        let second = values("1.dHdv", 2);
        put(&store, &row, mary, &second).await.unwrap();
        assert_eq!(own_values::of_instance(&store, row.id).await.unwrap(), std::slice::from_ref(&second));

        // Who is in another account brings nothing here, and sees nothing.
        let stranger = put(&store, &row, other.owner.id, &values("1.eA", 3)).await;
        assert!(matches!(stranger, Err(StoreError::NotFound { .. })), "{stranger:?}");
        assert_eq!(own_values::get(&store, row.id, other.owner.id).await.unwrap(), None);
        let forget =
            async |user| change(&store, async |tx| own_values::forget(tx, row.id, user).await).await.unwrap();
        assert!(!forget(other.owner.id).await);
        assert_eq!(own_values::get(&store, row.id, mary).await.unwrap(), Some(second));
        assert!(forget(mary).await);
        assert!(!forget(mary).await);
    });
}

#[test]
fn they_end_with_the_membership_and_with_the_instance() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = kept(&store, &acme).await;
        let leaver = tenant(&store, "elsewhere").await.owner.id;
        change(&store, async |tx| {
            store::accounts::add_member(tx, acme.account.id, leaver, Role::Viewer, after(1)).await
        })
        .await
        .unwrap();
        for user in [acme.owner.id, leaver] {
            put(&store, &row, user, &values("1.eA", 2)).await.unwrap();
        }
        change(&store, async |tx| store::members::remove(tx, acme.account.id, leaver).await).await.unwrap();
        assert_eq!(own_values::get(&store, row.id, leaver).await.unwrap(), None);
        assert_eq!(own_values::of_instance(&store, row.id).await.unwrap().len(), 1);
        change(&store, async |tx| store::instances::delete_gone(tx, row.environment, row.id).await)
            .await
            .unwrap();
        assert_eq!(own_values::of_instance(&store, row.id).await.unwrap(), []);
    });
}
