//! Whatever goes wrong on the way, in the end exactly the wanted droplets are there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use digitalocean::{Client, Earlier, Error, Tag};
use proptest::prelude::*;
use testkit::digitalocean::{Config, Fake, Fault, TOKEN};

use crate::{client_with, tag, web};

/// How long a lost creation is looked for.
const SETTLE: Duration = Duration::from_millis(40);
/// How long an answer may take, and how long a slow one takes.
const WITHIN: Duration = Duration::from_millis(150);
const SLOW: Duration = Duration::from_millis(200);

#[derive(Debug, Clone)]
enum Wish {
    Have(u8),
    HaveNot(u8),
    See,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = prop_oneof![
        3 => (0u8..3).prop_map(Wish::Have),
        2 => (0u8..3).prop_map(Wish::HaveNot),
        1 => Just(Wish::See),
    ];
    prop::collection::vec(wish, 1..7)
}

/// `late`: the longest that something lost takes to come true.
fn faults(late: Duration) -> impl Strategy<Value = Vec<Fault>> {
    let late = u64::try_from(late.as_millis()).unwrap();
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Before(500)),
        1 => Just(Fault::Before(503)),
        1 => Just(Fault::After(502)),
        1 => Just(Fault::Cut),
        2 => Just(Fault::Lost),
        2 => (0..=late).prop_map(|ms| Fault::LostLate(Duration::from_millis(ms))),
        1 => Just(Fault::Slow(SLOW)),
        1 => Just(Fault::Garbled),
        1 => Just(Fault::TooMany { retry_after: Some(0) }),
        1 => Just(Fault::TooMany { retry_after: None }),
    ];
    prop::collection::vec(fault, 0..14)
}

fn operation(n: u8) -> Tag {
    tag(&format!("op:{n}"))
}

/// What a reconciler does: the same again, until it is so.
async fn persist<T>(mut earlier: Earlier, what: impl AsyncFn(Earlier) -> Result<T, Error>) -> T {
    for _ in 0..40 {
        match what(earlier).await {
            Ok(done) => return done,
            Err(error) if error.may_pass() => earlier = Earlier::Perhaps,
            Err(error) => panic!("nothing here is wrong with the request: {error}"),
        }
    }
    panic!("the faults were ordered for a few requests");
}

async fn destroy_all(client: &Client, operation: &Tag) -> Result<(), Error> {
    for droplet in client.droplets_by_tag(operation).await? {
        client.delete_droplet(droplet.id).await?;
    }
    Ok(())
}

fn there(fake: &Fake) -> BTreeMap<String, usize> {
    let mut there = BTreeMap::new();
    for machine in fake.machines() {
        *there.entry(machine.tags[0].clone()).or_default() += 1;
    }
    there
}

/// `exact`: nothing comes true after it was no longer looked for, so each step alone leaves exactly what is wanted.
async fn run(wishes: Vec<Wish>, faults: Vec<Fault>, exact: bool) {
    let listed_after = if exact { Duration::from_millis(4) } else { Duration::ZERO };
    let fake = Fake::start(Config { listed_after, burst: 5000, ..Config::default() });
    let client = client_with(&fake, TOKEN, |settings| {
        settings.settle = SETTLE;
        settings.answer_within = WITHIN;
    });
    for fault in faults {
        fake.inject("", "", fault);
    }
    let mut wanted = BTreeSet::new();
    for wish in wishes {
        match wish {
            Wish::Have(n) => {
                let known = wanted.contains(operation(n).as_str());
                let earlier = if known { Earlier::Perhaps } else { Earlier::Never };
                let created = persist(earlier, async |earlier| {
                    client.create_droplet(&web("web1"), &operation(n), earlier).await
                })
                .await;
                let its: Vec<u64> = fake
                    .machines()
                    .iter()
                    .filter(|machine| machine.tags[0] == operation(n).as_str())
                    .map(|machine| machine.id)
                    .collect();
                assert!(its.contains(&created.droplet.id));
                if exact {
                    assert_eq!(its.len(), 1, "one of {n}");
                }
                wanted.insert(operation(n).to_string());
            }
            Wish::HaveNot(n) => {
                // A reconciler knows the number of what it created; here the tag is asked, which lags behind.
                fake.advance(listed_after);
                persist(Earlier::Never, async |_| destroy_all(&client, &operation(n)).await).await;
                wanted.remove(operation(n).as_str());
            }
            Wish::See => {
                let ids: Vec<u64> = persist(Earlier::Never, async |_| client.droplets().await)
                    .await
                    .iter()
                    .map(|d| d.id)
                    .collect();
                assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
            }
        }
    }
    // What was lost has come true by now, and nothing goes wrong any more.
    fake.clear_faults();
    fake.advance(Duration::from_hours(2));
    for n in 0..3 {
        if wanted.contains(operation(n).as_str()) {
            client.create_droplet(&web("web1"), &operation(n), Earlier::Perhaps).await.unwrap();
        } else {
            destroy_all(&client, &operation(n)).await.unwrap();
        }
    }
    let expected: BTreeMap<String, usize> = wanted.into_iter().map(|tag| (tag, 1)).collect();
    assert_eq!(there(&fake), expected);
    let last = fake.requests("POST", "/v2/droplets");
    for n in 0..3 {
        if expected.contains_key(operation(n).as_str()) {
            client.create_droplet(&web("web1"), &operation(n), Earlier::Perhaps).await.unwrap();
        }
    }
    assert_eq!(fake.requests("POST", "/v2/droplets"), last, "nothing is left to create");
}

fn block_on(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_step_leaves_too_many(wishes in wishes(), faults in faults(Duration::from_millis(8))) {
        block_on(run(wishes, faults, true));
    }

    #[test]
    fn what_comes_true_late_is_sorted_out(wishes in wishes(), faults in faults(Duration::from_hours(1))) {
        block_on(run(wishes, faults, false));
    }
}
