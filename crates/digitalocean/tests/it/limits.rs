//! The provider's limits on requests are waited for, and where that takes too long, told.

use std::time::{Duration, Instant};

use digitalocean::{Earlier, Error};
use testkit::digitalocean::{Config, Fake, Fault, TOKEN};

use crate::{client, client_with, tag, web};

#[tokio::test]
async fn what_takes_too_long_is_told() {
    for (config, least) in [
        // The hour's limit says when its oldest request ends, the limit on bursts when to come again.
        (Config { hourly: 2, ..Config::default() }, Duration::from_mins(59)),
        (Config { burst: 2, ..Config::default() }, Duration::from_secs(50)),
    ] {
        let fake = Fake::start(config);
        let client = client(&fake);
        client.account().await.unwrap();
        client.account().await.unwrap();
        let error = client.account().await.unwrap_err();
        let Error::RateLimited { wait, refusal } = error else { panic!("{error}") };
        assert!(least <= wait && wait <= Duration::from_hours(1), "{wait:?}");
        assert!(refusal.request_id.is_some());
        // No request was wasted on trying.
        assert_eq!(fake.requests("GET", "/v2/account"), 3);
        fake.advance(Duration::from_hours(1));
        client.account().await.unwrap();
    }
}

#[tokio::test]
async fn a_short_wait_is_waited() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    fake.inject("GET", "/v2/account", Fault::TooMany { retry_after: Some(1) });
    let begun = Instant::now();
    client.account().await.unwrap();
    assert!(Duration::from_secs(1) <= begun.elapsed());
    assert_eq!(fake.requests("GET", "/v2/account"), 2);
}

#[tokio::test]
async fn the_last_requests_are_spread_out() {
    let fake = Fake::start(Config { hourly: 11, ..Config::default() });
    let client = client(&fake);
    let begun = Instant::now();
    client.regions().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    // Nine are left now: the next waits, whatever it asks.
    client.sizes().await.unwrap();
    client.account().await.unwrap();
    assert!(Duration::from_secs(1) <= begun.elapsed());
}

#[tokio::test]
async fn the_list_of_keys_has_its_own() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    for _ in 0..10 {
        client.ssh_keys().await.unwrap();
    }
    assert!(matches!(client.ssh_keys().await.unwrap_err(), Error::RateLimited { .. }));
    fake.advance(Duration::from_mins(1));
    client.ssh_keys().await.unwrap();
}

#[tokio::test]
async fn faults_are_outlived_where_nothing_happens_twice() {
    let fake = Fake::start(Config::default());
    let client = client_with(&fake, TOKEN, |settings| settings.answer_within = Duration::from_secs(2));
    for fault in [
        Fault::Cut,
        Fault::Lost,
        Fault::Before(500),
        Fault::Before(503),
        Fault::After(502),
        Fault::Slow(Duration::from_millis(2500)),
        Fault::TooMany { retry_after: Some(0) },
    ] {
        fake.inject("GET", "/v2/account", fault.clone());
        let account = client.account().await.unwrap();
        assert_eq!(account.droplet_limit, 25, "{fault:?}");
        assert_eq!(fake.faults_left(), 0);
    }
    // One that stays is told, with the request that support can look up.
    for _ in 0..8 {
        fake.inject("GET", "/v2/account", Fault::Before(503));
    }
    let error = client.account().await.unwrap_err();
    assert!(matches!(&error, Error::ProviderBroken(refusal) if refusal.status == 503), "{error}");
    assert!(error.request_id().is_some_and(|id| id.starts_with("fake-")), "{error}");
}

#[tokio::test]
async fn nobody_there() {
    let fake = Fake::start(Config::default());
    let client = client_with(&fake, TOKEN, |settings| settings.give_up_after = Duration::from_millis(100));
    drop(fake);
    let error = client.account().await.unwrap_err();
    assert!(
        matches!(&error, Error::Network { request, sent: false, .. } if request == "GET /v2/account"),
        "{error}"
    );
    // Nothing was sent, so nothing was created.
    let error = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Never).await.unwrap_err();
    assert!(matches!(&error, Error::Network { sent: false, .. }), "{error}");
}
