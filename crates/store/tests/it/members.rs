//! Who is in an account, and the invitations into it.

use api::users::Role;
use domain::ids::{InvitationId, UserId};
use store::accounts::UserRow;
use store::invitations::{self, InvitationRow};
use store::members;
use store::{Store, StoreError, accounts, tokens};

use crate::{NOW, Tenant, after, change, on_both, on_both_stores, tenant};

async fn user(store: &Store, name: &str) -> UserRow {
    let user = UserRow { id: UserId::generate(), name: name.to_owned(), created_at: NOW };
    change(store, async |tx| accounts::create_user(tx, &user).await).await.unwrap();
    user
}

#[test]
fn members_join_once_and_their_tokens_leave_with_them() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let mary = user(&store, "mary").await;
        let join = async |tenant: &Tenant, role| {
            let (account, user) = (tenant.account.id, mary.id);
            change(&store, async |tx| members::join(tx, account, user, role, after(1)).await).await.unwrap()
        };
        assert!(join(&acme, Role::Member).await);
        assert!(!join(&acme, Role::Owner).await, "the role stays");
        assert!(join(&beta, Role::Viewer).await);
        let names = async |tenant: &Tenant| {
            let rows = members::list(&store, tenant.account.id).await.unwrap();
            rows.into_iter().map(|row| (row.name, row.role)).collect::<Vec<_>>()
        };
        let owner = ("acme-owner".to_owned(), Role::Owner);
        assert_eq!(names(&acme).await, [owner.clone(), ("mary".to_owned(), Role::Member)]);
        let found = members::by_name(&store, acme.account.id, "mary").await.unwrap().unwrap();
        assert_eq!((found.user, found.role, found.joined_at), (mary.id, Role::Member, after(1)));
        assert_eq!(members::by_name(&store, acme.account.id, "beta-owner").await.unwrap(), None);

        let token = tokens::TokenRow {
            id: domain::ids::TokenId::generate(),
            account: acme.account.id,
            user: mary.id,
            name: "laptop".to_owned(),
            prefix: "berth_abc".to_owned(),
            scopes: None,
            created_at: NOW,
            expires_at: None,
            last_used_at: None,
            revoked_at: None,
        };
        change(&store, async |tx| tokens::insert(tx, &token, "h1").await).await.unwrap();
        let remove = async |tenant: &Tenant| {
            change(&store, async |tx| members::remove(tx, tenant.account.id, mary.id).await).await
        };
        remove(&acme).await.unwrap();
        assert_eq!(tokens::by_hash(&store, "h1").await.unwrap(), None);
        assert!(matches!(remove(&acme).await, Err(StoreError::NotFound { what: "member" })));
        assert_eq!((names(&acme).await, names(&beta).await.len()), (vec![owner], 2));
    });
}

/// Two owners who each take the other's role at the same moment: one of them is second and sees what the first has done.
#[test]
fn the_last_owner_is_the_last_also_when_two_leave_at_once() {
    on_both(async |place| {
        let store = place.open().await;
        let acme = tenant(&store, "acme").await;
        let mary = user(&store, "mary").await;
        change(&store, async |tx| members::join(tx, acme.account.id, mary.id, Role::Owner, NOW).await)
            .await
            .unwrap();
        let leave = async |store: Store, account, user| {
            let mut tx = store.begin().await?;
            let role = members::lock(&mut tx, account, user).await?;
            assert_eq!(role, Role::Owner);
            if !members::has_other_owner(&mut tx, account, user).await? {
                return Ok::<bool, StoreError>(false);
            }
            members::remove(&mut tx, account, user).await?;
            tx.commit().await?;
            Ok(true)
        };
        let one = tokio::spawn(leave(store.clone(), acme.account.id, mary.id));
        let two = tokio::spawn(leave(store.clone(), acme.account.id, acme.owner.id));
        let (one, two) = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
        assert!(one != two, "exactly one of them left: {one} {two}");
        assert_eq!(members::list(&store, acme.account.id).await.unwrap().len(), 1);
    });
}

#[test]
fn an_invitation_is_used_once_in_time_and_by_its_account() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let row = |email: Option<&str>, end| InvitationRow {
            id: InvitationId::generate(),
            account: acme.account.id,
            role: Role::Admin,
            name: Some("mary".to_owned()),
            email: email.map(str::to_owned),
            created_by: Some(acme.owner.id),
            created_at: NOW,
            expires_at: after(end),
        };
        let rows = [row(Some("mary@example.com"), 60), row(None, 60), row(None, 10)];
        for (row, hash) in rows.iter().zip(["h0", "h1", "h2"]) {
            change(&store, async |tx| invitations::insert(tx, row, hash).await).await.unwrap();
        }
        let look = async |hash, at| invitations::look(&store, hash, at).await.unwrap();
        assert_eq!(look("h0", after(1)).await, Some(rows[0].clone()));
        assert_eq!(look("h2", after(9)).await, Some(rows[2].clone()));
        assert_eq!(look("h2", after(10)).await, None, "too late");
        assert_eq!(invitations::list(&store, acme.account.id, after(1)).await.unwrap(), rows);
        assert_eq!(invitations::list(&store, beta.account.id, after(1)).await.unwrap(), []);
        let found = invitations::of_email(&store, "mary@example.com", after(1)).await.unwrap();
        assert_eq!(found, [rows[0].clone()]);

        let accept = async |id, at| {
            change(&store, async |tx| invitations::accept(tx, id, beta.owner.id, at).await).await.unwrap()
        };
        assert!(accept(rows[0].id, after(1)).await);
        assert!(!accept(rows[0].id, after(2)).await);
        assert!(!accept(rows[2].id, after(10)).await);
        assert_eq!(look("h0", after(2)).await, None);
        let revoke = async |tenant: &Tenant, at| {
            change(&store, async |tx| invitations::revoke(tx, tenant.account.id, rows[1].id, at).await).await
        };
        assert!(matches!(revoke(&beta, after(1)).await, Err(StoreError::NotFound { what: "invitation" })));
        assert_eq!(revoke(&acme, after(1)).await.unwrap(), rows[1]);
        assert!(matches!(revoke(&acme, after(1)).await, Err(StoreError::NotFound { .. })));
        assert!(!accept(rows[1].id, after(2)).await);
        assert_eq!(invitations::list(&store, acme.account.id, after(2)).await.unwrap(), [rows[2].clone()]);
    });
}
