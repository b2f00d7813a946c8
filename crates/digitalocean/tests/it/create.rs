//! A droplet is created once, whatever becomes of requests and answers.

use std::time::Duration;

use digitalocean::{DropletAction, Earlier, Error};
use testkit::digitalocean::{Config, Fake, Fault};

use crate::{client, client_with, tag, web};

/// One creation that meets `faults`: how often it was sent, and that one droplet is there, the one that was returned.
async fn check(faults: &[Fault], sent: usize) {
    let fake = Fake::start(Config { listed_after: Duration::from_millis(5), ..Config::default() });
    // Shorter than the slow answer, and long for everything else.
    let client = client_with(&fake, testkit::digitalocean::TOKEN, |settings| {
        settings.answer_within = Duration::from_secs(2);
    });
    for fault in faults {
        fake.inject("POST", "/v2/droplets", fault.clone());
    }
    let created = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Never).await.unwrap();
    let machines = fake.machines();
    assert_eq!(machines.len(), 1, "{faults:?}: {machines:?}");
    assert_eq!(machines[0].id, created.droplet.id);
    assert_eq!(machines[0].tags, ["op:1"]);
    assert_eq!(fake.requests("POST", "/v2/droplets"), sent, "{faults:?}");
    assert_eq!(fake.faults_left(), 0);

    // The same operation again finds it.
    let again = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Perhaps).await.unwrap();
    assert_eq!(again.droplet.id, created.droplet.id);
    assert_eq!(fake.requests("POST", "/v2/droplets"), sent);
}

#[tokio::test]
async fn never_twice() {
    let late = |ms| Fault::LostLate(Duration::from_millis(ms));
    check(&[], 1).await;
    // It happened, and the answer says otherwise or nothing.
    for fault in [Fault::Lost, Fault::After(500), Fault::After(504), Fault::Garbled, late(1), late(15)] {
        check(&[fault], 1).await;
    }
    check(&[Fault::Slow(Duration::from_millis(2500))], 1).await;
    // It did not happen.
    for fault in [Fault::Cut, Fault::Before(500), Fault::Before(503), Fault::TooMany { retry_after: Some(0) }]
    {
        check(&[fault], 2).await;
    }
    check(&[Fault::Cut, Fault::Before(502)], 3).await;
    check(&[Fault::TooMany { retry_after: Some(0) }, Fault::Cut, Fault::Lost], 3).await;
}

#[tokio::test]
async fn one_that_comes_true_after_all_is_destroyed() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    fake.inject("POST", "/v2/droplets", Fault::LostLate(Duration::from_hours(1)));
    let created = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Never).await.unwrap();
    assert_eq!(fake.requests("POST", "/v2/droplets"), 2);
    assert_eq!(fake.machines().len(), 1);

    fake.advance(Duration::from_hours(2));
    assert_eq!(fake.machines().len(), 2, "the first one came true");
    // A machine that somebody gave the tag by mistake is none of ours.
    let other = client.create_droplet(&web("other"), &tag("op:2"), Earlier::Never).await.unwrap().droplet.id;
    client.tag_droplets(&tag("op:1"), &[other]).await.unwrap();

    let again = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Perhaps).await.unwrap();
    assert_eq!(again.droplet.id, created.droplet.id);
    let ids: Vec<u64> = fake.machines().iter().map(|machine| machine.id).collect();
    assert_eq!(ids, [created.droplet.id, other]);
}

#[tokio::test]
async fn only_what_carries_the_tag_is_its() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    let mut ids = vec![];
    for n in 1..=2 {
        let operation = tag(&format!("op:{n}"));
        ids.push(client.create_droplet(&web("web1"), &operation, Earlier::Never).await.unwrap().droplet.id);
    }
    // A list that knows no filter: the same name, other tags.
    let shown = fake.exchanges().into_iter().filter(|exchange| exchange.method == "POST");
    let droplets: Vec<_> = shown.map(|exchange| exchange.answer.unwrap()["droplet"].clone()).collect();
    let unfiltered = serde_json::json!({"droplets": droplets, "links": {}, "meta": {"total": 2}});
    fake.inject("GET", "/v2/droplets", Fault::Answer(200, unfiltered));
    let third = client.create_droplet(&web("web1"), &tag("op:3"), Earlier::Never).await.unwrap();
    assert!(!ids.contains(&third.droplet.id));
    assert_eq!(fake.machines().len(), 3);

    // One that was given another name is still the operation's.
    client.begin_action(ids[0], &DropletAction::Rename { name: "db1".to_owned() }).await.unwrap();
    let found = client.create_droplet(&web("web1"), &tag("OP:1"), Earlier::Perhaps).await.unwrap();
    assert_eq!((found.droplet.id, found.droplet.name.as_str()), (ids[0], "db1"));
    assert_eq!(fake.machines().len(), 3);
}

#[tokio::test]
async fn what_is_not_known_is_said() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    for _ in 0..3 {
        fake.inject("POST", "/v2/droplets", Fault::Cut);
    }
    let error = client.create_droplet(&web("web1"), &tag("op:1"), Earlier::Never).await.unwrap_err();
    assert!(matches!(&error, Error::Uncertain { tag, .. } if tag == "op:1"), "{error}");
    assert!(error.may_pass());

    // Nor is it while the list cannot be had.
    fake.inject("POST", "/v2/droplets", Fault::Lost);
    for answer in [Fault::None, Fault::Answer(403, serde_json::json!({"id": "forbidden", "message": "no"}))] {
        fake.inject("GET", "/v2/droplets", answer);
    }
    let error = client.create_droplet(&web("web2"), &tag("op:2"), Earlier::Never).await.unwrap_err();
    assert!(matches!(&error, Error::Uncertain { tag, .. } if tag == "op:2"), "{error}");
    assert!(error.request_id().is_some());
    assert_eq!(fake.machines().len(), 1);
    client.create_droplet(&web("web2"), &tag("op:2"), Earlier::Perhaps).await.unwrap();
    assert_eq!(fake.machines().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_that_cannot_be_good() {
    let fake = Fake::start(Config::default());
    let client = client(&fake);
    let mut wanted = web("web1");
    wanted.user_data = Some("x".repeat(64 * 1024 + 1));
    for (wanted, field) in [(wanted, "user_data"), (web("not a name"), "name")] {
        let error = client.create_droplet(&wanted, &tag("op:1"), Earlier::Never).await.unwrap_err();
        assert!(matches!(error, Error::Unsendable { field: of, .. } if of == field), "{error}");
    }
    assert_eq!(fake.requests("GET", "/v2/droplets") + fake.requests("POST", "/v2/droplets"), 0);
}
