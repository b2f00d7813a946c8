//! Rules: made and removed by admins, compiled for whoever calls, and what the shim is told of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use api::rules::Subject;
use api::users::Role;
use base64::Engine as _;
use bytes::Bytes;
use domain::ids::RuleId;
use domain::rules::{Clause, Effect, What};
use domain::status::InstanceStatus;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use store::rules::RuleRow;

use crate::dtma::FakeDtma;
use crate::oauth::access_token;
use crate::platform::{Answer, Life, PATIENCE, Platform, audit_lines, nobody, now};

pub(crate) const ADDRESS: &str = "/mcp/default/welcome";

/// A platform whose `welcome` runs, with a shim that says which rule it was told.
pub(crate) async fn platform() -> Platform {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    let id = dtma.spec("welcome").unwrap().id.to_string();
    let dir = platform.dir.path().join("sockets").join(id);
    std::fs::create_dir_all(&dir).unwrap();
    let listener = hop::address::bind_unix(&dir, "shim.sock").unwrap();
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let rule = request.headers().get("berth-rule").map_or_else(
            || b"none".to_vec(),
            |rule| base64::engine::general_purpose::STANDARD.decode(rule).unwrap(),
        );
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(rule))))
    });
    let listener = hop::serve::Listener::Unix(listener);
    tokio::spawn(hop::serve::serve(listener, service, std::future::pending()));
    platform
}

/// The rule that a caller's shim is told.
pub(crate) async fn told(platform: &Platform, token: &str) -> String {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    let answer = platform.send(Some(token), Method::POST, ADDRESS, Some(call)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    String::from_utf8(answer.body.to_vec()).unwrap()
}

async fn add(platform: &Platform, by: &str, body: Value) -> Answer {
    platform.send(Some(by), Method::POST, "/api/v1/rules", Some(body)).await
}

pub(crate) async fn added(platform: &Platform, body: Value) -> String {
    let answer = add(platform, &platform.owner, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.error());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn removed(platform: &Platform, id: &str) {
    let path = format!("/api/v1/rules/{id}");
    let answer = platform.send(Some(&platform.owner), Method::DELETE, &path, None).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
}

fn tools(names: &str) -> String {
    format!(r#"{{"tools":{names},"prompts":{{}},"resources":{{}}}}"#)
}

#[tokio::test]
async fn they_reach_whom_they_are_for_with_the_very_next_call() {
    let platform = platform().await;
    let owner = platform.owner.clone();
    let member = platform.person("default", Role::Member, Life::Good).await;
    let scoped = platform.scoped(&member, &["mcp:call:welcome/x*"]).await;
    let whole = platform.scoped(&member, &["mcp:call"]).await;
    for token in [&owner, &member, &whole] {
        assert_eq!(told(&platform, token).await, "none");
    }
    let of_scope = r#"{"tools":{"allow":["x*"]},"prompts":{"allow":[]},"resources":{"allow":[]}}"#;
    assert_eq!(told(&platform, &scoped).await, of_scope);

    // One role, and what its people's tokens may besides.
    let deny = json!({ "effect": "deny", "subject": { "role": "member" }, "instance": "welcome", "what": "tool", "pattern": "del_*" });
    let of_role = added(&platform, deny).await;
    for (token, expected) in [
        (&owner, "none".to_owned()),
        (&member, tools(r#"{"deny":["del_*"]}"#)),
        (&whole, tools(r#"{"deny":["del_*"]}"#)),
        (&scoped, of_scope.replace(r#"["x*"]"#, r#"["x*"],"deny":["del_*"]"#)),
    ] {
        assert_eq!(told(&platform, token).await, expected);
    }
    // An instance that is not this one, a hint, and one token.
    let tokens = platform.get("/api/v1/tokens").await.json();
    let id_of = |token: &str| {
        let all = tokens.as_array().unwrap();
        let is_it =
            |row: &&Value| row["name"] == "scoped" && token.starts_with(row["prefix"].as_str().unwrap());
        all.iter().find(is_it).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let other = json!({ "effect": "deny", "subject": "everyone", "instance": "other" });
    let other = added(&platform, other).await;
    let read = json!({
        "effect": "allow", "subject": { "token": id_of(&whole) }, "what": "tool", "pattern": "*", "hint": "read-only",
    });
    let of_token = added(&platform, read).await;
    let expected = tools(r#"{"allow":[{"name":"*","hint":"read-only"}],"deny":["del_*"]}"#);
    assert_eq!(told(&platform, &whole).await, expected);
    assert_eq!(told(&platform, &member).await, tools(r#"{"deny":["del_*"]}"#));
    assert_eq!(told(&platform, &owner).await, "none");

    // Another role, at once.
    let who = platform.send(Some(&member), Method::GET, "/api/v1/whoami", None).await.json();
    let name = who["user_name"].as_str().unwrap();
    let path = format!("/api/v1/members/{}", name.replace(' ', "%20"));
    platform.send(Some(&owner), Method::PATCH, &path, Some(json!({ "role": "viewer" }))).await;
    assert_eq!(told(&platform, &member).await, "none");

    // By name, and everyone: the owner too.
    let of_user = added(
        &platform,
        json!({ "effect": "allow", "subject": { "user": name }, "what": "prompt", "pattern": "p" }),
    )
    .await;
    let of_all = added(&platform, json!({ "effect": "deny", "subject": "everyone", "what": "tool" })).await;
    assert_eq!(told(&platform, &owner).await, tools(r#"{"deny":["*"]}"#));
    let expected = tools(r#"{"deny":["*"]}"#).replace(r#""prompts":{}"#, r#""prompts":{"allow":["p"]}"#);
    assert_eq!(told(&platform, &member).await, expected);

    let listed = platform.get("/api/v1/rules").await.json();
    let listed = listed.as_array().unwrap();
    let ids: Vec<&str> = listed.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&of_role, &other, &of_token, &of_user, &of_all]);
    assert_eq!((&listed[2]["subject_name"], &listed[3]["subject_name"]), (&json!("scoped"), &json!(name)));
    assert_eq!((&listed[0]["created_by_name"], &listed[1]["what"]), (&json!("admin"), &json!("everything")));
    for id in ids {
        removed(&platform, id).await;
    }
    assert_eq!(told(&platform, &owner).await, "none");
    assert_eq!(told(&platform, &scoped).await, of_scope);
    let account = platform.account("default").await;
    let audit = format!("{:?}", audit_lines(&platform.store, account, 50).await.unwrap());
    for words in ["rule.add", "rule.remove", "deny welcome/del_*"] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn they_reach_oauth_clients_and_come_from_other_control_planes() {
    let platform = platform().await;
    let token = access_token(&platform, ADDRESS).await;
    let api_token = platform.owner.clone();
    assert_eq!(
        (told(&platform, &token).await, told(&platform, &api_token).await),
        ("none".into(), "none".into())
    );
    let clients = platform.get("/api/v1/oauth/clients").await.json();
    let id = clients[0]["id"].as_str().unwrap();
    let body =
        json!({ "effect": "deny", "subject": { "client": id }, "what": "resource", "pattern": "file:*" });
    added(&platform, body).await;
    let expected = r#"{"tools":{},"prompts":{},"resources":{"deny":["file:*"]}}"#;
    assert_eq!(told(&platform, &token).await, expected);
    assert_eq!(told(&platform, &api_token).await, "none");

    // Written by another control plane: this one is told by nobody and sees it within seconds.
    let row = RuleRow {
        id: RuleId::generate(),
        account: platform.account("default").await,
        subject: Subject::Everyone,
        clause: Clause {
            effect: Effect::Deny,
            instance: None,
            what: What::Resource,
            pattern: "http:*".to_owned(),
            hint: None,
        },
        created_by: "user:1".to_owned(),
        created_at: now(),
    };
    let mut tx = platform.store.begin().await.unwrap();
    store::rules::insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    for (token, expected) in
        [(&token, expected.replace(']', r#","http:*"]"#)), (&api_token, expected.replace("file", "http"))]
    {
        while told(&platform, token).await != expected {
            assert!(Instant::now() < deadline, "{}", told(&platform, token).await);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_field() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    access_token(&platform, ADDRESS).await;
    let clients = platform.get("/api/v1/oauth/clients").await.json();
    let client = clients[0]["id"].as_str().unwrap().to_owned();
    let spare = platform.post("/api/v1/tokens", json!({ "name": "spare" })).await.json();
    let spare = spare["id"].as_str().unwrap().to_owned();
    let gone = platform.post("/api/v1/tokens", json!({ "name": "gone" })).await.json();
    let gone = gone["id"].as_str().unwrap().to_owned();
    platform.send(Some(&owner), Method::DELETE, &format!("/api/v1/tokens/{gone}"), None).await;
    let deny = |more: Value| {
        let mut body = json!({ "effect": "deny", "subject": "everyone" });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        body
    };
    let user = |name: &str| deny(json!({ "subject": { "user": name } }));
    let token = |id: &str| deny(json!({ "subject": { "token": id } }));
    let of_client = |id: &str| deny(json!({ "subject": { "client": id } }));
    for (by, body, start) in [
        (
            &owner,
            user("admim"),
            "422 invalid | subject.user | nobody in this account is `admim` | did you mean `admin`?",
        ),
        (&stranger, user("admin"), "422 invalid | subject.user | nobody in this account is `admin`"),
        (&owner, token("x"), "422 invalid | subject.token | `x` is the id of no API token"),
        (&owner, token(&gone), "422 invalid | subject.token"),
        (&stranger, token(&spare), "422 invalid | subject.token"),
        (&owner, of_client("https://nobody.example/c.json"), "422 invalid | subject.client"),
        (&stranger, of_client(&client), "422 invalid | subject.client"),
        (&owner, deny(json!({ "subject": { "role": "boss" } })), "422 invalid | subject"),
        (&owner, deny(json!({ "subject": "nobody" })), "422 invalid | subject"),
        (&owner, deny(json!({ "what": "tool", "pattern": "" })), "422 invalid | pattern"),
        (&owner, deny(json!({ "what": "tool", "pattern": "a\u{0}" })), "422 invalid | pattern"),
        (&owner, deny(json!({ "what": "tool", "pattern": "x".repeat(257) })), "422 invalid | pattern"),
        (&owner, deny(json!({ "pattern": "x*" })), "422 invalid | what"),
        (&owner, deny(json!({ "what": "prompt", "hint": "read-only" })), "422 invalid | hint"),
        (&owner, deny(json!({ "what": "tool", "hint": "idempotent" })), "422 invalid | hint"),
        (&owner, deny(json!({ "instance": "Not A Name" })), "422 invalid | instance"),
        (&owner, deny(json!({ "effect": "permit" })), "422 invalid | effect"),
        (&owner, json!({ "effect": "deny" }), "422 invalid | subject"),
        (&owner, deny(json!({ "more": 1 })), "422 invalid | more"),
    ] {
        let answer = add(&platform, by, body.clone()).await;
        assert!(answer.error().starts_with(start), "{body}: {}", answer.error());
    }
    assert_eq!(platform.get("/api/v1/rules").await.json(), json!([]));

    // Another account's are not there.
    let mine = added(&platform, token(&spare)).await;
    let listed = platform.send(Some(&stranger), Method::GET, "/api/v1/rules", None).await;
    assert_eq!(listed.json(), json!([]));
    let path = format!("/api/v1/rules/{mine}");
    let refused = platform.send(Some(&stranger), Method::DELETE, &path, None).await;
    assert!(refused.error().starts_with("404"), "{}", refused.error());
    let refused = platform.send(Some(&owner), Method::DELETE, "/api/v1/rules/x", None).await;
    assert!(refused.error().starts_with("404"), "{}", refused.error());

    // What would not fit into a call's header.
    let mut refused = None;
    for at in 0..100 {
        let pattern = format!("{at:03}{}", "x".repeat(200));
        let answer = add(&platform, &owner, deny(json!({ "what": "tool", "pattern": pattern }))).await;
        if answer.status != StatusCode::CREATED {
            refused = Some((at, answer.error()));
            break;
        }
    }
    let (at, error) = refused.unwrap();
    assert!(20 < at && error.starts_with("422 invalid | pattern | the rules that meet"), "{at} {error}");
    platform.stop().await;
}
