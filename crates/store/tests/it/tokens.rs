//! API tokens.

use api::users::Role;
use domain::ids::{TokenId, UserId};
use domain::time::Timestamp;
use store::tokens::{self, TokenRow};
use store::{Store, StoreError, accounts};

use crate::{NOW, Tenant, after, change, on_both_stores, tenant};

fn token(tenant: &Tenant, name: &str, created_at: Timestamp) -> TokenRow {
    TokenRow {
        id: TokenId::generate(),
        account: tenant.account.id,
        user: tenant.owner.id,
        name: name.to_owned(),
        prefix: "berth_abc".to_owned(),
        scopes: None,
        created_at,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    }
}

async fn insert(store: &Store, token: &TokenRow, hash: &str) -> Result<(), StoreError> {
    change(store, async |tx| tokens::insert(tx, token, hash).await).await
}

#[test]
fn a_hash_finds_whom_a_token_speaks_for() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let mut token = token(&acme, "laptop", NOW);
        token.expires_at = Some(after(60));
        insert(&store, &token, "h1").await.unwrap();
        let holder = tokens::by_hash(&store, "h1").await.unwrap().unwrap();
        assert_eq!(holder.token, token);
        assert_eq!(
            (holder.user_name, holder.account_name),
            (acme.owner.name.clone(), acme.account.name.clone())
        );
        assert_eq!(holder.role, Role::Owner);
        let scopes = ["read", "mcp:call:github/get_*"].map(|text| text.parse().unwrap());
        token.scopes = Some(scopes.to_vec().try_into().unwrap());
        token.id = TokenId::generate();
        insert(&store, &token, "h3").await.unwrap();
        assert_eq!(tokens::by_hash(&store, "h3").await.unwrap().unwrap().token, token);
        assert_eq!(tokens::by_hash(&store, "h2").await.unwrap(), None);
        assert_eq!(tokens::by_hash(&store, "H1").await.unwrap(), None);

        // A change of role counts at once for the tokens there are.
        change(&store, async |tx| {
            accounts::add_member(tx, acme.account.id, acme.owner.id, Role::Viewer, NOW).await
        })
        .await
        .unwrap();
        assert_eq!(tokens::by_hash(&store, "h1").await.unwrap().unwrap().role, Role::Viewer);
    });
}

#[test]
fn expired_and_revoked_tokens_are_found_and_say_so() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let mut token = token(&acme, "old", NOW);
        token.expires_at = Some(after(-60));
        insert(&store, &token, "h1").await.unwrap();

        let revoke = async |tenant: &Tenant, at| {
            change(&store, async |tx| tokens::revoke(tx, tenant.account.id, token.id, at).await).await
        };
        let error = revoke(&beta, after(1)).await;
        assert!(matches!(error, Err(StoreError::NotFound { what: "token" })), "{error:?}");
        assert_eq!(revoke(&acme, after(2)).await.unwrap().revoked_at, Some(after(2)));
        assert_eq!(revoke(&acme, after(3)).await.unwrap().revoked_at, Some(after(2)), "keeps its time");

        let found = tokens::by_hash(&store, "h1").await.unwrap().unwrap().token;
        assert_eq!((found.expires_at, found.revoked_at), (Some(after(-60)), Some(after(2))));
    });
}

#[test]
fn use_is_noted_and_time_never_goes_back() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let token = token(&acme, "laptop", NOW);
        insert(&store, &token, "h1").await.unwrap();
        for (at, noted) in [(after(5), after(5)), (after(3), after(5)), (after(9), after(9))] {
            change(&store, async |tx| tokens::touch_last_used(tx, token.id, at).await).await.unwrap();
            let found = tokens::by_id(&store, acme.account.id, token.id).await.unwrap().unwrap();
            assert_eq!(found.last_used_at, Some(noted));
        }
        change(&store, async |tx| tokens::touch_last_used(tx, TokenId::generate(), NOW).await).await.unwrap();
    });
}

#[test]
fn lists_are_the_accounts_own_newest_first() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (first, second) = (token(&acme, "first", NOW), token(&acme, "second", after(1)));
        insert(&store, &first, "h1").await.unwrap();
        insert(&store, &second, "h2").await.unwrap();
        insert(&store, &token(&beta, "other", NOW), "h3").await.unwrap();
        let listed = tokens::list(&store, acme.account.id, None).await.unwrap();
        assert_eq!(listed, [second, first.clone()]);
        assert_eq!(tokens::list(&store, acme.account.id, Some(acme.owner.id)).await.unwrap(), listed);
        assert_eq!(tokens::list(&store, acme.account.id, Some(beta.owner.id)).await.unwrap(), []);
        assert_eq!(tokens::by_id(&store, beta.account.id, first.id).await.unwrap(), None);
    });
}

#[test]
fn a_token_needs_a_member() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        for user in [beta.owner.id, UserId::generate()] {
            let token = TokenRow { user, ..token(&acme, "stray", NOW) };
            let error = insert(&store, &token, "h1").await;
            assert!(
                matches!(error, Err(StoreError::NotFound { what: "member of the account" })),
                "{error:?}"
            );
        }
        let error = insert(&store, &TokenRow { name: "\0".to_owned(), ..token(&acme, "", NOW) }, "h1").await;
        assert!(matches!(error, Err(StoreError::Invalid { field: "name", .. })), "{error:?}");
    });
}
