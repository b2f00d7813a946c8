//! Droplets as environments: what cannot be is told before anything is made, and what is made is made, followed and destroyed.

use std::time::{Duration, Instant};

use api::users::Role;
use control::DigitalOcean;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::digitalocean::{Config, Fake, Fault, TOKEN};

use crate::dtma::heartbeat;
use crate::environments::{beat, environment_until};
use crate::platform::{Life, PATIENCE, Platform, nobody};

const PATH: &str = "/api/v1/environments";
const OPTIONS: &str = "/api/v1/digitalocean/options";

pub(crate) fn settings(url: &str, token: &str) -> DigitalOcean {
    let token = digitalocean::Token::new(token).unwrap();
    let mut settings = digitalocean::Settings::at(url, token).unwrap();
    settings.first_wait = Duration::from_millis(5);
    settings.settle = Duration::from_millis(50);
    settings.answer_within = Duration::from_secs(2);
    settings.give_up_after = Duration::from_secs(2);
    let mut config = DigitalOcean::new(settings);
    config.period = Duration::from_millis(60);
    config.limits.quarantine = Duration::from_millis(100);
    config
}

pub(crate) async fn start(fake: &Fake, token: &str) -> Platform {
    let config = settings(&fake.url(), token);
    Platform::start_with(nobody(), |platform| platform.digitalocean = Some(config)).await
}

fn droplet(name: &str) -> Value {
    json!({ "name": name, "kind": "digitalocean", "region": "fra1", "size": "s-1vcpu-1gb" })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut body = droplet("far");
    change(&mut body);
    body
}

/// Nothing that costs, and nothing that stays, was made at the provider or here.
async fn nothing_was_made(platform: &Platform, fake: &Fake) {
    assert_eq!(fake.machines(), []);
    assert!(fake.exchanges().iter().all(|exchange| exchange.method == "GET"));
    let list = platform.get(PATH).await.json();
    let names: Vec<&str> = list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["local"]);
}

#[tokio::test]
async fn what_cannot_be_a_droplet_is_told_before_anything_is_made() {
    let fake = Fake::start(Config::default());
    let platform = start(&fake, TOKEN).await;
    for (body, words) in [
        (
            with(|body| body["name"] = json!("local")),
            "409 conflict | name | an environment `local` exists already",
        ),
        (with(|body| body["name"] = json!("My Host")), "422 invalid | name"),
        (with(|body| body["region"] = json!(null)), "422 invalid | region | a droplet needs a region"),
        (with(|body| body["size"] = json!(" ")), "422 invalid | size | a droplet needs a size"),
        (
            with(|body| body["region"] = json!("fra2")),
            "422 invalid | region | DigitalOcean has no region `fra2` | did you mean `fra1`?",
        ),
        (
            with(|body| body["region"] = json!("sfo1")),
            "422 invalid | region | sfo1 takes no new droplets now | these do: fra1, nyc1, nyc3",
        ),
        (
            with(|body| body["size"] = json!("s-1vcpu-2gb")),
            "422 invalid | size | DigitalOcean has no size `s-1vcpu-2gb` now | did you mean `s-1vcpu-1gb`?",
        ),
        (
            with(|body| body["size"] = json!("c-2")),
            "422 invalid | size | there is no `c-2` in fra1 now | it is in nyc3; fra1 has s-1vcpu-512mb-10gb",
        ),
        (
            with(|body| body["image"] = json!("debian-21-x64")),
            "422 invalid | image | DigitalOcean has no image `debian-21-x64` | did you mean `debian-",
        ),
        (
            with(|body| body["ssh_keys"] = json!(["laptop"])),
            "422 invalid | ssh_keys.0 | the DigitalOcean account has no SSH key `laptop`",
        ),
        (with(|body| body["allow_ssh"] = json!(true)), "422 invalid | allow_ssh"),
        (with(|body| body["address"] = json!("10.0.0.5:30000")), "422 invalid | address"),
        (with(|body| body["insecure_http"] = json!(true)), "422 invalid | insecure_http"),
        (with(|body| body["droplet"] = json!(7)), "422 invalid | droplet"),
    ] {
        let answer = platform.post(PATH, body.clone()).await;
        assert!(answer.error().starts_with(words), "{body}: {}", answer.error());
    }
    let member = platform.person("default", Role::Member, Life::Good).await;
    let refused = platform.send(Some(&member), Method::POST, PATH, Some(droplet("far"))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    nothing_was_made(&platform, &fake).await;
    platform.stop().await;
}

#[tokio::test]
async fn an_account_that_cannot_have_one_is_told_before_anything_is_made() {
    let scopes = vec!["account:read", "region:read", "image:read", "droplet:read"];
    let cases = [
        (
            Config { droplet_limit: 0, ..Config::default() },
            TOKEN,
            "409 conflict | - | the DigitalOcean account has 0 droplets and may have 0",
        ),
        (
            Config { account_status: "locked", ..Config::default() },
            TOKEN,
            "409 conflict | - | the DigitalOcean account is locked",
        ),
        (Config::default(), "dop_v1_other", "503 unavailable | - | DigitalOcean refused the token"),
        (
            Config { scopes: Some(scopes), ..Config::default() },
            TOKEN,
            "503 unavailable | - | the DigitalOcean token lacks a scope for `GET /v2/sizes`",
        ),
    ];
    for (config, token, words) in cases {
        let fake = Fake::start(config);
        let platform = start(&fake, token).await;
        let answer = platform.post(PATH, droplet("far")).await;
        assert!(answer.error().starts_with(words), "{}", answer.error());
        assert!(!answer.error().contains("dop_v1"), "{}", answer.error());
        nothing_was_made(&platform, &fake).await;
        platform.stop().await;
    }
    let platform = Platform::start(nobody()).await;
    let answer = platform.post(PATH, droplet("far")).await;
    let words =
        "503 unavailable | kind | this control plane has no DigitalOcean token | make one at https://";
    assert!(answer.error().starts_with(words), "{}", answer.error());
    platform.stop().await;
}

#[tokio::test]
async fn what_there_is() {
    let fake = Fake::start(Config::default());
    let platform = start(&fake, TOKEN).await;
    let options = platform.get(OPTIONS).await.json();
    let words = |list: &str, member: &str| -> Vec<String> {
        let all = options[list].as_array().unwrap().iter();
        all.map(|one| one[member].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("regions", "slug"), ["fra1", "nyc1", "nyc3"], "one takes none");
    assert_eq!(words("sizes", "slug")[..2], ["s-1vcpu-512mb-10gb", "s-1vcpu-1gb"], "the cheapest first");
    assert_eq!(options["sizes"][1]["price_monthly"], 6.0);
    assert!(words("images", "slug").contains(&options["default_image"].as_str().unwrap().to_owned()));
    assert_eq!((&options["droplets"], &options["droplet_limit"]), (&json!(0), &json!(25)));
    platform.stop().await;
}

#[tokio::test]
async fn a_droplet_is_made_reports_and_is_destroyed() {
    let fake = Fake::start(Config::default());
    let platform = start(&fake, TOKEN).await;
    let added = platform.post(PATH, droplet("far")).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert_eq!(added.json()["status"], "creating");
    assert_eq!(added.json()["droplet"]["price_monthly"], 6.0);
    let made = environment_until(&platform, "far", |one| one["status"] == "awaiting_heartbeat").await;
    let machine = fake.machines().remove(0);
    let (id, number) = (made["id"].as_str().unwrap(), machine.id);
    assert_eq!(machine.name, "berth-far");
    assert_eq!(machine.tags, ["berth".to_owned(), format!("berth-env-{id}")]);
    assert_eq!((&made["droplet"]["id"], &made["droplet"]["status"]), (&json!(number), &json!("active")));
    assert!(made["message"].as_str().unwrap().contains("its first start installs Berth"), "{made}");

    // It can enrol itself and knows nothing else.
    assert!(machine.user_data.starts_with("#cloud-config\n"));
    let token = machine.user_data.split("--token ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(token.starts_with("berth_enrol_"), "{token}");
    for secret in [TOKEN, &platform.owner, platform.local.dtma_token.expose()] {
        assert!(!machine.user_data.contains(secret));
    }
    assert!(!made.to_string().contains(token), "nor is it shown");
    // Nobody gets in.
    let exchanges = fake.exchanges();
    let firewalls: Vec<&Value> = exchanges
        .iter()
        .filter(|exchange| (exchange.method.as_str(), exchange.path.as_str()) == ("POST", "/v2/firewalls"))
        .map(|exchange| exchange.request.as_ref().unwrap())
        .collect();
    assert_eq!(firewalls.len(), 1);
    assert_eq!(firewalls[0]["inbound_rules"], json!([]));
    assert_eq!(firewalls[0]["tags"], json!([format!("berth-env-{id}")]));

    let enrol = json!({
        "token": token, "nonce": "0123456789abcdef0123", "hostname": "berth-far", "dtma_version": "0.1.0",
    });
    let enrolled = platform.send(None, Method::POST, "/api/v1/dtma/enrol", Some(enrol)).await.json();
    assert_eq!(enrolled["way"], "tunnel", "{enrolled}");
    let own = enrolled["token"].as_str().unwrap();
    beat(&platform, own, heartbeat(id, 1, &json!([]))).await;
    environment_until(&platform, "far", |one| one["status"] == "active").await;

    // An instance keeps it; then it goes, and only when the provider has none.
    let deploy = json!({ "server": "welcome", "name": "w", "environment": "far" });
    assert_eq!(platform.post("/api/v1/instances", deploy).await.status, StatusCode::CREATED);
    let path = format!("{PATH}/far");
    let kept = platform.send(Some(&platform.owner), Method::DELETE, &path, None).await;
    assert!(kept.error().starts_with("409 conflict | - | `far` has an instance: `w`"), "{}", kept.error());
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/w", None).await;
    for fault in [Fault::Before(500), Fault::Lost] {
        fake.inject("DELETE", "/v2/droplets/", fault);
    }
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let theirs = platform.send(Some(&stranger), Method::DELETE, &path, None).await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let begun = platform.send(Some(&platform.owner), Method::DELETE, &path, None).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{begun:?}");
    // A last heartbeat brings it not back.
    beat(&platform, own, heartbeat(id, 2, &json!([]))).await;
    environment_until(&platform, "far", |one| one["error"]["code"] == "not_found").await;
    assert_eq!(fake.machines(), []);
    assert_eq!(platform.get("/api/v1/instances/w").await.status, StatusCode::NOT_FOUND);
    let deleted: Vec<String> =
        fake.exchanges().into_iter().filter(|one| one.method == "DELETE").map(|one| one.path).collect();
    assert!(deleted.last().unwrap().starts_with("/v2/tags/"), "what was around it goes last: {deleted:?}");
    assert!(deleted.iter().any(|path| path.starts_with("/v2/firewalls/")), "{deleted:?}");
    platform.stop().await;
}

#[tokio::test]
async fn what_the_provider_refuses_leaves_nothing_and_says_so() {
    let reads = [
        "account:read",
        "region:read",
        "image:read",
        "droplet:read",
        "size:read",
        "firewall:read",
        "tag:read",
    ];
    let writes = ["tag:create", "tag:delete", "firewall:create", "firewall:delete"];
    let scopes = reads.into_iter().chain(writes).collect();
    let fake = Fake::start(Config { scopes: Some(scopes), ..Config::default() });
    let platform = start(&fake, TOKEN).await;
    assert_eq!(platform.post(PATH, droplet("far")).await.status, StatusCode::CREATED);
    let failed = environment_until(&platform, "far", |one| one["status"] == "error_creation").await;
    let message = failed["message"].as_str().unwrap();
    for words in ["no droplet was made", "lacks a scope for `POST /v2/droplets`", "`berth env remove far`"] {
        assert!(message.contains(words), "{message}");
    }
    let is_gone = || fake.exchanges().iter().any(|one| one.method == "DELETE" && one.path.contains("/tags/"));
    let deadline = Instant::now() + PATIENCE;
    while !is_gone() {
        assert!(Instant::now() < deadline, "the firewall stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    platform.send(Some(&platform.owner), Method::DELETE, &format!("{PATH}/far"), None).await;
    environment_until(&platform, "far", |one| one["error"]["code"] == "not_found").await;
    platform.stop().await;
}

/// A droplet that somebody else made at the provider, with these tags.
async fn made(fake: &Fake, name: &str, tags: &[String]) -> u64 {
    let client = digitalocean::Client::new(settings(&fake.url(), TOKEN).settings).unwrap();
    let own = digitalocean::Tag::new(&format!("of-{name}")).unwrap();
    let mut wanted = digitalocean::NewDroplet::new(name, "fra1", "s-1vcpu-1gb", "debian-13-x64");
    wanted.tags = tags.iter().map(|tag| digitalocean::Tag::new(tag).unwrap()).chain([own.clone()]).collect();
    client.create_droplet(&wanted, &own, digitalocean::Earlier::Never).await.unwrap().droplet.id
}

#[tokio::test]
async fn a_droplet_that_is_nobodys_is_shown_and_destroyed_when_somebody_says_so() {
    const STRAYS: &str = "/api/v1/digitalocean/strays";
    let fake = Fake::start(Config::default());
    let platform = start(&fake, TOKEN).await;
    platform.post(PATH, droplet("far")).await;
    environment_until(&platform, "far", |environment| environment["status"] == "awaiting_heartbeat").await;
    let ours = fake.machines()[0].id;
    let tags = |of: &str| ["berth".to_owned(), format!("berth-env-{of}")];
    let stray = made(&fake, "left", &tags(&domain::ids::EnvironmentId::generate().to_string())).await;
    // Of people: neither is ours, whatever it is called.
    let other = made(&fake, "berth-x", &["berth".to_owned()]).await;
    let untagged = made(&fake, "berth-y", &[]).await;

    let shown = platform.get(STRAYS).await.json();
    let ids: Vec<u64> = shown.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [stray]);
    assert_eq!((&shown[0]["name"], &shown[0]["size"]), (&json!("left"), &json!("s-1vcpu-1gb")));
    let destroy = async |id: u64| {
        platform.send(Some(&platform.owner), Method::DELETE, &format!("{STRAYS}/{id}"), None).await
    };
    for id in [ours, other, untagged, 1] {
        let error = destroy(id).await.error();
        assert!(error.starts_with("404 not_found"), "{id}: {error}");
    }
    assert_eq!(destroy(stray).await.status, StatusCode::NO_CONTENT);
    let mut left: Vec<u64> = fake.machines().iter().map(|machine| machine.id).collect();
    left.sort_unstable();
    assert_eq!(left, [ours, other, untagged]);
    assert_eq!(platform.get(STRAYS).await.json(), json!([]));
    platform.stop().await;
}
