//! One-time tokens of hosts.

use domain::ids::EnvironmentId;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use store::enrolments::{self, Redeemed, Standing};
use store::{Store, StoreError, environments};

use crate::{NOW, after, change, on_both_stores, tenant};

/// A repetition counts for five minutes.
async fn redeem(store: &Store, token: &str, nonce: &str, at: Timestamp) -> Redeemed {
    let since = Timestamp(at.0 - 300_000_000);
    change(store, async |tx| enrolments::redeem(tx, token, nonce, at, since).await).await.unwrap()
}

async fn issue(store: &Store, environment: EnvironmentId, token: &str) -> Result<(), StoreError> {
    change(store, async |tx| enrolments::issue(tx, environment, token, NOW, after(3600)).await).await
}

#[test]
fn a_token_is_used_once_in_its_time() {
    on_both_stores(async |store| {
        let (acme, beta) =
            (tenant(&store, "acme").await.environment.id, tenant(&store, "beta").await.environment.id);
        issue(&store, acme, "a").await.unwrap();
        issue(&store, beta, "b").await.unwrap();
        for (token, nonce, at, expected) in [
            ("x", "n", 1, Redeemed::Unknown),
            ("A", "n", 1, Redeemed::Unknown),
            ("a", "n", 3600, Redeemed::Expired),
            ("a", "n", 3599, Redeemed::First(acme)),
            // The answer was lost: the same host may hear it again, for a while and also after the token's own end.
            ("a", "n", 3700, Redeemed::Again(acme)),
            ("a", "other", 3601, Redeemed::Used),
            ("a", "n", 3599 + 300, Redeemed::Again(acme)),
            ("a", "n", 3599 + 301, Redeemed::Used),
            ("b", "n", 10, Redeemed::First(beta)),
            ("b", "other", 10, Redeemed::Used),
        ] {
            assert_eq!(redeem(&store, token, nonce, after(at)).await, expected, "{token} {nonce} {at}");
        }

        let standing = async |of| enrolments::standing(&store, of).await.unwrap();
        let of_acme = Standing { expires_at: after(3600), used_at: Some(after(3599)) };
        assert_eq!(standing(acme).await, Some(of_acme));

        // A newer one takes the place of the older, used or not.
        issue(&store, acme, "c").await.unwrap();
        assert_eq!(standing(acme).await, Some(Standing { used_at: None, ..of_acme }));
        assert_eq!(redeem(&store, "a", "n", after(1)).await, Redeemed::Unknown);
        assert_eq!(redeem(&store, "c", "n", after(1)).await, Redeemed::First(acme));
        change(&store, async |tx| enrolments::forget(tx, acme).await).await.unwrap();
        assert_eq!(redeem(&store, "c", "n", after(1)).await, Redeemed::Unknown);
        change(&store, async |tx| enrolments::forget(tx, acme).await).await.unwrap();
        assert_eq!(standing(acme).await, None);

        let taken = issue(&store, acme, "b").await;
        assert!(matches!(taken, Err(StoreError::Taken { field: "token_hash", .. })), "{taken:?}");
        let nobody = issue(&store, EnvironmentId::generate(), "d").await;
        assert!(matches!(nobody, Err(StoreError::NotFound { what: "environment" })), "{nobody:?}");
        change(&store, async |tx| environments::remove(tx, beta).await).await.unwrap();
        assert_eq!(redeem(&store, "b", "n", after(11)).await, Redeemed::Unknown, "it goes with its machine");
    });
}

#[test]
fn of_two_hosts_at_once_one_is_told_that_it_is_used() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await.environment.id;
        for round in 0..10 {
            let token = format!("t{round}");
            issue(&store, acme, &token).await.unwrap();
            let (one, two) =
                tokio::join!(redeem(&store, &token, "1", after(1)), redeem(&store, &token, "2", after(1)));
            let mut both = [one, two];
            both.sort_by_key(|redeemed| *redeemed == Redeemed::Used);
            assert_eq!(both, [Redeemed::First(acme), Redeemed::Used]);
        }
    });
}

#[test]
fn another_token_opens_in_the_place_of_the_one_before() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await.environment;
        let by =
            async |hash: &str| environments::by_token_hash(&store, hash).await.unwrap().map(|row| row.id);
        change(&store, async |tx| {
            environments::set_status(tx, acme.id, EnvironmentStatus::Active, after(1)).await
        })
        .await
        .unwrap();
        let set = async |token: Option<(&'static str, &'static str)>| {
            change(&store, async |tx| environments::set_token(tx, acme.id, token, after(2)).await).await
        };
        let row = set(Some(("s2", "h2"))).await.unwrap();
        assert_eq!(
            (row.status, row.dtma_token_sealed.as_deref(), row.last_heartbeat_at, row.updated_at),
            (EnvironmentStatus::AwaitingHeartbeat, Some("s2"), None, after(2))
        );
        assert_eq!((by("hash-of-acme").await, by("h2").await), (None, Some(acme.id)));
        let row = set(None).await.unwrap();
        assert_eq!((row.dtma_token_sealed, by("h2").await), (None, None));

        tenant(&store, "beta").await;
        let taken = set(Some(("s", "hash-of-beta"))).await;
        assert!(matches!(taken, Err(StoreError::Taken { field: "dtma_token_hash", .. })), "{taken:?}");
        let nobody = EnvironmentId::generate();
        let gone = change(&store, async |tx| environments::set_token(tx, nobody, None, NOW).await).await;
        assert!(matches!(gone, Err(StoreError::NotFound { what: "environment" })), "{gone:?}");
    });
}
