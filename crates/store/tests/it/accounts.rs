//! Accounts, users and roles.

use api::users::Role;
use domain::ids::{AccountId, UserId};
use store::StoreError;
use store::accounts::{self, AccountRow, UserRow};

use crate::{NOW, after, change, on_both_stores, tenant};

#[test]
fn an_account_and_its_owner_are_made_together_or_not_at_all() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        assert_eq!(
            accounts::account_by_id(&store, acme.account.id).await.unwrap(),
            Some(acme.account.clone())
        );
        assert_eq!(accounts::user_by_name(&store, &acme.owner.name).await.unwrap(), Some(acme.owner.clone()));

        // The account's name is free, the owner's is not.
        let account =
            AccountRow { id: AccountId::generate(), name: "beta".parse().unwrap(), created_at: NOW };
        let owner = UserRow { id: UserId::generate(), ..acme.owner.clone() };
        let error = change(&store, async |tx| accounts::create_account(tx, &account, &owner).await).await;
        let Err(StoreError::Taken { field: "name", value }) = error else { panic!("{error:?}") };
        assert_eq!(value, acme.owner.name);
        assert_eq!(accounts::account_by_name(&store, &account.name).await.unwrap(), None);

        let account = AccountRow { id: AccountId::generate(), ..acme.account.clone() };
        let owner = UserRow { id: UserId::generate(), name: "new".to_owned(), created_at: NOW };
        let error = change(&store, async |tx| accounts::create_account(tx, &account, &owner).await).await;
        assert!(matches!(&error, Err(StoreError::Taken { value, .. }) if value == "acme"), "{error:?}");
    });
}

#[test]
fn a_role_belongs_to_one_account() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let role =
            async |account: AccountId, user: UserId| accounts::role_of(&store, account, user).await.unwrap();
        assert_eq!(role(acme.account.id, beta.owner.id).await, None);
        for given in [Role::Viewer, Role::Member, Role::Admin, Role::Owner] {
            change(&store, async |tx| {
                accounts::add_member(tx, acme.account.id, beta.owner.id, given, after(1)).await
            })
            .await
            .unwrap();
            assert_eq!(role(acme.account.id, beta.owner.id).await, Some(given));
        }
        assert_eq!(role(beta.account.id, acme.owner.id).await, None);
    });
}

/// What goes in comes out, whatever it is; but NUL is refused before a database sees it.
#[test]
fn texts_survive() {
    on_both_stores(async |store| {
        for name in
            ["", " ", "a'b\"c;--", "%_\\", "Ä\u{1f600}\u{202e}", "A", "a", "\u{fffd}", "\r\n\t", "\u{1}"]
        {
            let user = UserRow { id: UserId::generate(), name: name.to_owned(), created_at: NOW };
            change(&store, async |tx| accounts::create_user(tx, &user).await).await.unwrap();
            assert_eq!(accounts::user_by_name(&store, name).await.unwrap(), Some(user));
        }
        let user = UserRow { id: UserId::generate(), name: "a\0b".to_owned(), created_at: NOW };
        let error = change(&store, async |tx| accounts::create_user(tx, &user).await).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: "name", .. }), "{error:?}");
        assert!(error.to_string().contains("NUL"), "{error}");
    });
}

#[test]
fn lists_are_in_byte_order() {
    on_both_stores(async |store| {
        // English sorts `a-b` after `aa`, and a database of another locale elsewhere again.
        for name in ["b", "a-b", "aa", "a", "a0"] {
            tenant(&store, name).await;
        }
        let names: Vec<String> = accounts::list_accounts(&store)
            .await
            .unwrap()
            .into_iter()
            .map(|account| account.name.into())
            .collect();
        assert_eq!(names, ["a", "a-b", "a0", "aa", "b"]);
    });
}
