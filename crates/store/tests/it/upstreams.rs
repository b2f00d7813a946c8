//! What opens servers that run elsewhere.

use domain::ids::{AccountId, InstanceId};
use store::upstreams::{self, Of, OnTheWayRow, UpstreamRow};
use store::{Store, StoreError};

use crate::instances::instance;
use crate::{NOW, after, change, on_both_stores, tenant};

async fn put(store: &Store, id: InstanceId, sealed: &str, second: i64) -> Result<u64, StoreError> {
    let at = after(second);
    change(store, async |tx| upstreams::put(tx, id, sealed, (Some(at), Some(after(second + 60))), at).await)
        .await
}

#[test]
fn each_user_has_their_own_beside_what_all_share() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = instance(&acme, "x");
        change(&store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
        let of = |user| Of { instance: row.id, user: Some(user) };
        let (mary, stranger) = (of(acme.owner.id), of(tenant(&store, "other").await.owner.id));
        put(&store, row.id, "1.YWxs", 1).await.unwrap();
        for (of, sealed) in [(mary, "1.bWFyeQ"), (stranger, "1.eA")] {
            change(&store, async |tx| upstreams::keep(tx, of, sealed, NOW).await).await.unwrap();
        }
        let sealed = async |of: Of| upstreams::get(&store, of).await.unwrap().sealed;
        assert_eq!(sealed(row.id.into()).await.as_deref(), Some("1.YWxs"));
        assert_eq!(sealed(mary).await.as_deref(), Some("1.bWFyeQ"));
        let forgotten = change(&store, async |tx| upstreams::forget(tx, mary, NOW).await).await;
        assert!(forgotten.unwrap());
        assert_eq!((sealed(mary).await, sealed(stranger).await.is_some()), (None, true));
        // Who leaves the account leaves nothing of theirs.
        change(&store, async |tx| upstreams::keep(tx, mary, "1.bWFyeQ", NOW).await).await.unwrap();
        change(&store, async |tx| store::members::remove(tx, acme.account.id, acme.owner.id).await)
            .await
            .unwrap();
        assert_eq!(sealed(mary).await, None);
        assert_eq!(sealed(row.id.into()).await.as_deref(), Some("1.YWxs"));
    });
}

#[test]
fn versions_only_grow() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = instance(&acme, "x");
        change(&store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
        assert_eq!(upstreams::get(&store, row.id).await.unwrap(), UpstreamRow::default());

        // What the server wants is noted before there is anything.
        let challenge = ["Basic".to_owned(), "Bearer scope=\"a\"".to_owned()];
        change(&store, async |tx| upstreams::note(tx, row.id, &challenge, "authorize it", NOW).await)
            .await
            .unwrap();
        change(&store, async |tx| upstreams::keep(tx, row.id, "1.a2VwdA", NOW).await).await.unwrap();
        change(&store, async |tx| upstreams::note(tx, row.id, &[], "again", NOW).await).await.unwrap();
        let expected = UpstreamRow {
            sealed: Some("1.a2VwdA".to_owned()),
            challenge: challenge.to_vec(),
            message: Some("again".to_owned()),
            ..UpstreamRow::default()
        };
        assert_eq!(upstreams::get(&store, row.id).await.unwrap(), expected);

        assert_eq!(put(&store, row.id, "1.dG9rZW4", 1).await.unwrap(), 1);
        assert_eq!(put(&store, row.id, "1.dG9rZW5z", 2).await.unwrap(), 2);
        let expected = UpstreamRow {
            version: 2,
            sealed: Some("1.dG9rZW5z".to_owned()),
            authorized_at: Some(after(2)),
            expires_at: Some(after(62)),
            ..UpstreamRow::default()
        };
        assert_eq!(upstreams::get(&store, row.id).await.unwrap(), expected);
        // A renewal is no authorization.
        let renewed =
            change(&store, async |tx| upstreams::put(tx, row.id, "1.eA", (None, None), after(3)).await).await;
        assert_eq!(renewed.unwrap(), 3);
        let found = upstreams::get(&store, row.id).await.unwrap();
        assert_eq!((found.authorized_at, found.expires_at), (Some(after(2)), None));

        let forget =
            async || change(&store, async |tx| upstreams::forget(tx, row.id, after(4)).await).await.unwrap();
        assert!(forget().await);
        assert!(!forget().await);
        assert_eq!(
            upstreams::get(&store, row.id).await.unwrap(),
            UpstreamRow { version: 4, ..UpstreamRow::default() }
        );
        assert_eq!(put(&store, row.id, "1.dG9rZW4", 5).await.unwrap(), 5);

        let gone = put(&store, InstanceId::generate(), "1.dG9rZW4", 1).await;
        assert!(matches!(gone, Err(StoreError::NotFound { what: "instance" })), "{gone:?}");
        let odd = put(&store, row.id, "a\0b", 1).await;
        assert!(matches!(odd, Err(StoreError::Invalid { field: "sealed", .. })), "{odd:?}");
    });
}

#[test]
fn one_renews_at_a_time() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = instance(&acme, "x");
        change(&store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
        let claim = async |version, second| {
            let (at, until) = (after(second), after(second + 10));
            change(&store, async |tx| upstreams::claim(tx, row.id, version, at, until).await).await.unwrap()
        };
        assert!(!claim(0, 0).await, "there is nothing");
        put(&store, row.id, "1.dG9rZW4", 0).await.unwrap();
        assert!(!claim(2, 0).await, "another version");
        assert!(claim(1, 0).await);
        assert!(!claim(1, 9).await, "it is held");
        assert!(claim(1, 11).await, "whoever held it is gone");
        change(&store, async |tx| upstreams::release(tx, row.id).await).await.unwrap();
        assert!(claim(1, 12).await);
        put(&store, row.id, "1.dG9rZW4", 13).await.unwrap();
        assert!(!claim(1, 60).await, "it is renewed");
        assert!(claim(2, 14).await);
    });
}

#[test]
fn whoever_is_on_the_way_is_taken_once_and_by_their_own_account() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let row = instance(&acme, "x");
        change(&store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
        let way = |account: AccountId, second: i64| OnTheWayRow {
            instance: row.id,
            account,
            user: acme.owner.id,
            sealed: "1.d2F5".to_owned(),
            created_at: after(second),
            expires_at: after(second + 10),
        };
        let begin = async |hash: &str, way: &OnTheWayRow| {
            change(&store, async |tx| upstreams::begin(tx, hash, way).await).await
        };
        let foreign = begin("h0", &way(beta.account.id, 0)).await;
        assert!(matches!(foreign, Err(StoreError::NotFound { what: "instance" })), "{foreign:?}");
        let mine = way(acme.account.id, 0);
        begin("h1", &mine).await.unwrap();
        assert_eq!(upstreams::on_the_way(&store, "h1").await.unwrap(), Some(mine.clone()));
        assert_eq!(upstreams::on_the_way(&store, "h2").await.unwrap(), None);
        let take =
            async |hash: &str| change(&store, async |tx| upstreams::take(tx, hash).await).await.unwrap();
        assert_eq!(take("h1").await, Some(mine));
        assert_eq!(take("h1").await, None);

        // Who took too long is forgotten when the next one leaves.
        begin("h1", &way(acme.account.id, 0)).await.unwrap();
        begin("h2", &way(acme.account.id, 10)).await.unwrap();
        assert_eq!(take("h1").await, None);
        // And who is on the way when all is given up comes back to nothing.
        change(&store, async |tx| upstreams::forget(tx, row.id, NOW).await).await.unwrap();
        assert_eq!(take("h2").await, None);
    });
}
