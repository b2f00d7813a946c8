//! What the authorization server keeps.

use api::users::Role;
use domain::ids::{GrantId, SigningKeyId, UserId};
use domain::time::Timestamp;
use store::oauth::clients::{self, ClientKind, ClientRow};
use store::oauth::devices::{self, DeviceRow};
use store::oauth::grants::{self, GrantRow};
use store::oauth::keys::{self, KeyRow};
use store::oauth::tokens::{self, CodeRow, RefreshRow, Used};
use store::{Store, StoreError, accounts, oauth};

use crate::{NOW, Tenant, after, change, on_both_stores, tenant};

fn grant(tenant: &Tenant, created_at: Timestamp) -> GrantRow {
    GrantRow {
        id: GrantId::generate(),
        account: tenant.account.id,
        user: tenant.owner.id,
        client_id: "https://client.example/me.json".to_owned(),
        client_name: "Client".to_owned(),
        sent_to: "client.example".to_owned(),
        instance: Some("github".parse().unwrap()),
        scopes: vec!["mcp:call:github".parse().unwrap()].try_into().unwrap(),
        created_at,
        last_used_at: None,
        revoked_at: None,
        revoked_why: None,
    }
}

fn client(id: &str, kind: ClientKind) -> ClientRow {
    ClientRow {
        id: id.to_owned(),
        kind,
        owner: None,
        metadata_json: r#"{"client_name":"x"}"#.to_owned(),
        secret_hash: None,
        created_at: NOW,
        fresh_until: None,
        last_used_at: None,
    }
}

async fn insert(store: &Store, grant: &GrantRow) -> Result<(), StoreError> {
    change(store, async |tx| grants::insert(tx, grant).await).await
}

#[test]
fn grants_are_the_accounts_own_and_end_with_the_membership() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let (first, mut second) = (grant(&acme, NOW), grant(&acme, after(1)));
        second.instance = None;
        insert(&store, &first).await.unwrap();
        insert(&store, &second).await.unwrap();
        insert(&store, &grant(&beta, NOW)).await.unwrap();
        assert_eq!(grants::list(&store, acme.account.id, None).await.unwrap(), [second, first.clone()]);
        assert_eq!(grants::list(&store, acme.account.id, Some(beta.owner.id)).await.unwrap(), []);
        let stranger = GrantRow { user: beta.owner.id, ..grant(&acme, NOW) };
        let refused = insert(&store, &stranger).await;
        assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");

        let revoke =
            async |at, why| change(&store, async |tx| grants::revoke(tx, first.id, at, why).await).await;
        let revoked = revoke(after(2), "first").await.unwrap();
        assert_eq!((revoked.revoked_at, revoked.revoked_why.as_deref()), (Some(after(2)), Some("first")));
        assert_eq!(revoke(after(3), "second").await.unwrap(), revoked, "it keeps its time and reason");
        assert_eq!(grants::list_revoked(&store, after(2)).await.unwrap(), [first.id]);
        assert_eq!(grants::list_revoked(&store, after(3)).await.unwrap(), []);
    });
}

#[test]
fn codes_and_refresh_tokens_are_good_once() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let grant = grant(&acme, NOW);
        insert(&store, &grant).await.unwrap();
        let code = CodeRow {
            grant: grant.id,
            redirect_uri: "http://127.0.0.1:1/cb".to_owned(),
            challenge: "c".to_owned(),
            resource: "https://b/mcp/acme/github".to_owned(),
            expires_at: after(60),
        };
        let refresh = RefreshRow { grant: grant.id, resource: code.resource.clone(), expires_at: after(60) };
        change(&store, async |tx| {
            tokens::insert_code(tx, &code, "h1").await?;
            tokens::insert_refresh(tx, &refresh, "h1", NOW).await
        })
        .await
        .unwrap();
        for (hash, expected) in
            [("h2", Used::Unknown), ("h1", Used::First(code.clone())), ("h1", Used::Again(code.clone()))]
        {
            let used = change(&store, async |tx| tokens::use_code(tx, hash, NOW).await).await.unwrap();
            assert_eq!(used, expected, "{hash}");
        }
        for (hash, expected) in [
            ("h2", Used::Unknown),
            ("h1", Used::First(refresh.clone())),
            ("h1", Used::Again(refresh.clone())),
        ] {
            let used = change(&store, async |tx| tokens::use_refresh(tx, hash, NOW).await).await.unwrap();
            assert_eq!(used, expected, "{hash}");
        }
        // Rolled back is not used.
        change(&store, async |tx| tokens::insert_code(tx, &code, "h3").await).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(matches!(tokens::use_code(&mut tx, "h3", NOW).await, Ok(Used::First(_))));
        drop(tx);
        let used = change(&store, async |tx| tokens::use_code(tx, "h3", NOW).await).await.unwrap();
        assert!(matches!(used, Used::First(_)), "{used:?}");
    });
}

#[test]
fn clients_keep_who_they_are() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let mut known = client("https://client.example/me.json", ClientKind::Document);
        let mut own = client("own", ClientKind::Registered);
        own.owner = Some((acme.account.id, acme.owner.id));
        own.secret_hash = Some("h".to_owned());
        change(&store, async |tx| {
            clients::put(tx, &known).await?;
            clients::put(tx, &own).await?;
            clients::put(tx, &client("dyn", ClientKind::Dynamic)).await
        })
        .await
        .unwrap();
        known.metadata_json = "{}".to_owned();
        known.fresh_until = Some(after(60));
        change(&store, async |tx| clients::put(tx, &known).await).await.unwrap();
        assert_eq!(clients::by_id(&store, &known.id).await.unwrap(), Some(known));
        assert_eq!(clients::by_id(&store, "OWN").await.unwrap(), None);
        assert_eq!(clients::by_id(&store, "o\0").await.unwrap(), None);
        assert_eq!(clients::list(&store, acme.account.id).await.unwrap(), [own.clone()]);
        assert_eq!(clients::list(&store, beta.account.id).await.unwrap(), []);
        assert_eq!(clients::count_unused(&store).await.unwrap(), 1);
        let gone = change(&store, async |tx| clients::delete(tx, beta.account.id, "own").await).await;
        assert!(matches!(gone, Err(StoreError::NotFound { what: "client" })), "{gone:?}");
        let gone = change(&store, async |tx| clients::delete(tx, acme.account.id, "own").await).await;
        assert_eq!(gone.unwrap(), own);
    });
}

#[test]
fn one_person_decides_on_a_device() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let grant = grant(&acme, NOW);
        insert(&store, &grant).await.unwrap();
        let device = DeviceRow {
            user_code: "ABCD-EFGH".to_owned(),
            client_id: "dyn".to_owned(),
            resource: None,
            scope: Some("mcp:call".to_owned()),
            expires_at: after(600),
            polled_at: None,
            is_refused: false,
            grant: None,
        };
        change(&store, async |tx| devices::insert(tx, &device, "h1", NOW).await).await.unwrap();
        let taken = change(&store, async |tx| devices::insert(tx, &device, "h2", NOW).await).await;
        assert!(matches!(taken, Err(StoreError::Taken { field: "user_code", .. })), "{taken:?}");
        let poll = async |at| change(&store, async |tx| devices::poll(tx, "h1", at).await).await.unwrap();
        assert_eq!(poll(after(1)).await, Some(device.clone()));
        assert_eq!(poll(after(2)).await.unwrap().polled_at, Some(after(1)), "as it was before");
        let decide = async |grant| {
            change(&store, async |tx| devices::decide(tx, "ABCD-EFGH", grant).await).await.unwrap()
        };
        assert!(decide(Some(grant.id)).await);
        assert!(!decide(None).await, "somebody decided before");
        assert_eq!(poll(after(3)).await.unwrap().grant, Some(grant.id));
        let forget = async || change(&store, async |tx| devices::forget(tx, "h1").await).await.unwrap();
        assert!(forget().await);
        assert!(!forget().await, "its code was used");
    });
}

#[test]
fn what_is_over_is_reaped_and_nothing_else() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let used = grant(&acme, after(-1000));
        let never = grant(&acme, after(-1000));
        insert(&store, &used).await.unwrap();
        insert(&store, &never).await.unwrap();
        let mut of_used = client(&used.client_id, ClientKind::Document);
        of_used.created_at = after(-1000);
        let mut idle = client("idle", ClientKind::Dynamic);
        idle.created_at = after(-1000);
        change(&store, async |tx| {
            grants::touch(tx, used.id, after(-900)).await?;
            clients::put(tx, &of_used).await?;
            clients::put(tx, &idle).await?;
            clients::put(tx, &client("new", ClientKind::Dynamic)).await?;
            assert!(oauth::use_once(tx, "a", after(-1)).await?);
            assert!(!oauth::use_once(tx, "a", after(-1)).await?, "twice");
            assert!(oauth::use_once(tx, "b", after(1)).await?);
            oauth::reap(tx, NOW, after(-500)).await?;
            assert!(oauth::use_once(tx, "a", after(1)).await?, "forgotten");
            assert!(!oauth::use_once(tx, "b", after(1)).await?, "not over yet");
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(grants::by_id(&store, never.id).await.unwrap(), None);
        assert!(grants::by_id(&store, used.id).await.unwrap().is_some());
        assert_eq!(clients::by_id(&store, "idle").await.unwrap(), None);
        assert!(clients::by_id(&store, "new").await.unwrap().is_some());
        assert!(clients::by_id(&store, &used.client_id).await.unwrap().is_some());
    });
}

#[test]
fn keys_and_members_of_all() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let key =
            |at| KeyRow { id: SigningKeyId::generate(), private_sealed: "s".to_owned(), created_at: at };
        let (old, new) = (key(NOW), key(after(1)));
        change(&store, async |tx| {
            keys::insert(tx, &old).await?;
            keys::insert(tx, &new).await
        })
        .await
        .unwrap();
        assert_eq!(keys::list(&store).await.unwrap(), [new.clone(), old]);
        change(&store, async |tx| keys::forget(tx, after(1)).await).await.unwrap();
        assert_eq!(keys::list(&store).await.unwrap(), [new]);
        let members = accounts::list_all_members(&store).await.unwrap();
        let found: Vec<(UserId, Role)> = members.iter().map(|member| (member.user, member.role)).collect();
        assert_eq!(found, [(acme.owner.id, Role::Owner)]);
    });
}
