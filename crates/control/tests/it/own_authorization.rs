//! Authorization at a server elsewhere that each caller gives for themselves.

use api::users::Role;
use fetch::Reach;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, text};
use crate::platform::{Life, Platform};
use crate::upstreams::{Elsewhere, PATH, agree, ask, deployed_as, query};

async fn principal(platform: &Platform, token: &str) -> String {
    let me = platform.send(Some(token), Method::GET, "/api/v1/whoami", None).await.json();
    format!("user:{}", me["user"].as_str().unwrap())
}

/// Somebody asks where to authorize, goes there and agrees.
async fn authorizes(platform: &Platform, elsewhere: &Elsewhere, token: &str) {
    let started = platform.send(Some(token), Method::POST, PATH, Some(json!({}))).await;
    assert_eq!(started.status, StatusCode::OK, "{started:?}");
    let started = started.json();
    let (_, parameters) = started["url"].as_str().unwrap().split_once('?').unwrap();
    let asked = form_urlencoded::parse(parameters.as_bytes()).into_owned().collect();
    let answer = agree(&Browser::new(platform), &query(elsewhere, &asked)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", text(&answer));
}

#[tokio::test]
async fn each_caller_authorizes_for_themselves() {
    let each = json!({ "each_caller": ["Authorization"] });
    let (platform, elsewhere, id) = deployed_as(Reach::Everywhere, each).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let (mary, bob) = (principal(&platform, &platform.owner).await, principal(&platform, &viewer).await);
    let values = async |whose: &str| -> Value {
        ask(&platform, &id, json!({ "reason": "values", "principal": whose })).await.json()
    };
    let token = async |whose: Option<&str>| -> Value {
        let mut wanted = json!({ "reason": "refused", "challenge": ["Bearer"] });
        if let Some(whose) = whose {
            wanted["principal"] = json!(whose);
        }
        ask(&platform, &id, wanted).await.json()
    };
    let state = async |whose: &str| -> Value {
        platform.send(Some(whose), Method::GET, PATH, None).await.json()["state"].clone()
    };
    let why = values(&mary).await["why"].to_string();
    assert!(
        why.contains("berth secret own notes Authorization=@FILE") && why.contains("`berth authorize notes`"),
        "{why}"
    );
    assert_eq!(token(Some(&mary)).await["kind"], "none");

    authorizes(&platform, &elsewhere, &platform.owner).await;
    assert_eq!(values(&mary).await, json!({ "kind": "values", "values": {} }));
    let of_mary = token(Some(&mary)).await;
    assert_eq!(of_mary["kind"], "token", "{of_mary}");
    // Nobody else has it: no other caller, and not who is none.
    assert_eq!(
        (values(&bob).await["kind"].clone(), token(Some(&bob)).await["kind"].clone()),
        (json!("unset"), json!("none"))
    );
    let nobody = token(None).await;
    assert!(nobody["why"].to_string().contains("brings their own"), "{nobody}");
    assert_eq!((state(&platform.owner).await, state(&viewer).await), (json!("authorized"), json!("needed")));

    // Who may call may authorize for themselves, and take it back without harm to others.
    authorizes(&platform, &elsewhere, &viewer).await;
    let of_bob = token(Some(&bob)).await;
    assert!(of_bob["kind"] == "token" && of_bob["token"] != of_mary["token"], "{of_bob}");
    let gone = platform.send(Some(&platform.owner), Method::DELETE, PATH, None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(
        (values(&mary).await["kind"].clone(), token(Some(&bob)).await["kind"].clone()),
        (json!("unset"), json!("token"))
    );
    let calls = platform.scoped(&viewer, &["mcp:call"]).await;
    let refused = platform.send(Some(&calls), Method::POST, PATH, Some(json!({}))).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
