//! An account's secrets: given by admins, used by name, never shown, and renewed where they are used.

use std::sync::Arc;
use std::time::Instant;

use api::users::Role;
use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::FakeDtma;
use crate::platform::{Answer, Life, PATIENCE, Platform, audit_lines, nobody};

const FIRST: &str = "hunter2-first";
const SECOND: &str = "hunter2-second";

async fn put(platform: &Platform, token: &str, name: &str, body: Value) -> Answer {
    platform.send(Some(token), Method::PUT, &format!("/api/v1/secrets/{name}"), Some(body)).await
}

async fn remove(platform: &Platform, token: &str, name: &str) -> Answer {
    platform.send(Some(token), Method::DELETE, &format!("/api/v1/secrets/{name}"), None).await
}

/// Waits until the host was told this value.
async fn told(dtma: &FakeDtma, name: &str, variable: &str, value: &str) -> domain::spec::DesiredState {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let spec = dtma.spec(name);
        let secret = spec.as_ref().and_then(|spec| spec.secrets.get(variable));
        if secret.is_some_and(|secret| secret.expose() == value) {
            return spec.unwrap().desired;
        }
        assert!(Instant::now() < deadline, "the host was not told");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_instance_uses_it_by_name_and_gets_its_next_version() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let owner = platform.owner.clone();
    let member = platform.person("default", Role::Member, Life::Good).await;
    let kept = put(&platform, &owner, "API_KEY", json!({ "value": FIRST })).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.error());
    assert_eq!((&kept.json()["secret"]["version"], &kept.json()["renewed"]), (&json!(1), &json!([])));

    // Whoever may deploy may use it, beside values of their own.
    for name in ["one", "two", "three"] {
        let secrets = json!({ "KEY": { "secret": "API_KEY" }, "OWN": "mine" });
        let body = json!({ "server": "npm:x@1.0.0", "name": name, "secrets": secrets });
        let made = platform.send(Some(&member), Method::POST, "/api/v1/instances", Some(body)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.error());
        assert_eq!(made.json()["secret_names"], json!(["KEY", "OWN"]));
        told(&dtma, name, "KEY", FIRST).await;
        told(&dtma, name, "OWN", "mine").await;
    }
    platform.post("/api/v1/instances/three/stop", json!({})).await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;

    let left = put(&platform, &owner, "API_KEY", json!({ "value": "x", "restart": false })).await.json();
    assert_eq!((&left["renewed"], &left["left"]), (&json!([]), &json!(["one", "three", "two"])));
    let used = left["secret"]["used_by"].as_array().unwrap();
    assert_eq!(used[0], json!({ "instance": "one", "variable": "KEY", "version": 1 }));
    assert_eq!(dtma.spec("one").unwrap().secrets["KEY"].expose(), FIRST, "it is left alone");

    let before = dtma.spec("one").unwrap();
    let renewed = put(&platform, &owner, "API_KEY", json!({ "value": SECOND })).await.json();
    assert_eq!((&renewed["renewed"], &renewed["left"]), (&json!(["one", "three", "two"]), &json!([])));
    for name in ["one", "two"] {
        told(&dtma, name, "KEY", SECOND).await;
    }
    assert_eq!(told(&dtma, "three", "KEY", SECOND).await, domain::spec::DesiredState::Stopped);
    let after = dtma.spec("one").unwrap();
    assert_eq!(after.restarts_asked, before.restarts_asked + 1);
    assert_eq!(after.secrets["OWN"].expose(), "mine");
    assert_eq!(dtma.spec("three").unwrap().restarts_asked, 0, "what is stopped stays so");

    // It is listed with who uses which version, and its values are nowhere.
    let deadline = Instant::now() + PATIENCE;
    let listed = loop {
        let listed = platform.send(Some(&member), Method::GET, "/api/v1/secrets", None).await.json();
        if listed[0]["used_by"].as_array().unwrap().iter().all(|used| used["version"] == 3) {
            break listed;
        }
        assert!(Instant::now() < deadline, "{listed:#}");
    };
    assert_eq!(listed[0]["versions"][0]["created_by_name"], "admin");
    let account =
        store::accounts::account_by_name(&platform.store, &"default".parse().unwrap()).await.unwrap();
    let audit = audit_lines(&platform.store, account.unwrap().id, 50).await.unwrap();
    let said = format!("{listed} {renewed} {audit:?}");
    assert!(said.contains("secret.set") && !said.contains(FIRST) && !said.contains(SECOND), "{said}");
    for file in std::fs::read_dir(platform.data()).unwrap().map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let has = |value: &str| bytes.windows(value.len()).any(|part| part == value.as_bytes());
        assert!(!has(FIRST) && !has(SECOND), "{}", file.display());
    }

    let refused = remove(&platform, &owner, "API_KEY").await;
    assert!(
        refused
            .error()
            .starts_with("409 conflict | - | the secret `API_KEY` is used by `one`, `three`, `two`"),
        "{}",
        refused.error()
    );
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    put(&platform, &owner, "MINE", json!({ "value": "x" })).await;
    for (name, body, start) in [
        ("MINE", json!({ "value": "" }), "422 invalid | value"),
        ("MINE", json!({ "value": "a\u{0}b" }), "422 invalid | value"),
        ("MINE", json!({ "value": "x".repeat(65537) }), "422 invalid | value"),
        ("MINE", json!({ "value": "x", "more": 1 }), "422 invalid | more"),
        ("-MINE", json!({ "value": "x" }), "422 invalid | name"),
        ("a%20b", json!({ "value": "x" }), "422 invalid | name"),
    ] {
        let answer = put(&platform, &owner, name, body).await;
        assert!(answer.error().starts_with(start), "{name}: {}", answer.error());
    }
    for (token, server, secrets, start) in [
        (
            &owner,
            "npm:x@1.0.0",
            json!({ "K": { "secret": "MIME" } }),
            "422 invalid | secrets.K | there is no secret `MIME` in this account | did you mean `MINE`?",
        ),
        (
            &stranger,
            "npm:x@1.0.0",
            json!({ "K": { "secret": "MINE" } }),
            "422 invalid | secrets.K | there is no secret `MINE`",
        ),
        (&owner, "npm:x@1.0.0", json!({ "PATH": { "secret": "MINE" } }), "422 invalid | secrets.PATH"),
        (&owner, "npm:x@1.0.0", json!({ "K": { "secret": "" } }), "422 invalid | secrets.K"),
        (&owner, "npm:x@1.0.0", json!({ "K": 1 }), "422 invalid | secrets.K"),
        (&owner, "time", json!({ "nothing": { "secret": "MINE" } }), "422 invalid | secrets.nothing"),
    ] {
        let body = json!({ "server": server, "secrets": secrets });
        let answer = platform.send(Some(token), Method::POST, "/api/v1/instances", Some(body)).await;
        assert!(answer.error().starts_with(start), "{secrets}: {}", answer.error());
    }
    let listed = platform.send(Some(&stranger), Method::GET, "/api/v1/secrets", None).await;
    assert_eq!(listed.json(), json!([]));
    for (token, name, start) in [
        (&stranger, "MINE", "404 not_found"),
        (&owner, "OTHER", "404 not_found"),
        (&owner, "a%20b", "404 not_found"),
    ] {
        let answer = remove(&platform, token, name).await;
        assert!(answer.error().starts_with(start), "{name}: {}", answer.error());
    }
    assert_eq!(remove(&platform, &owner, "MINE").await.status, StatusCode::NO_CONTENT);
    platform.stop().await;
}
