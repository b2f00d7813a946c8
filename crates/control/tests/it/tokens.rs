//! API tokens: whose they are, when they end, and how soon.

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::platform::{Life, Platform, nobody};

#[tokio::test]
async fn a_token_works_until_it_is_revoked_and_not_one_call_longer() {
    let platform = Platform::start(nobody()).await;
    let made = platform.post("/api/v1/tokens", json!({ "name": "ci" })).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("berth_") && 43 <= secret.len());
    assert!(secret.starts_with(made["prefix"].as_str().unwrap()));

    let who = || platform.send(Some(&secret), Method::GET, "/api/v1/whoami", None);
    assert_eq!(who().await.json()["user_name"], "admin");
    let list = platform.get("/api/v1/tokens").await;
    assert!(!String::from_utf8_lossy(&list.body).contains(&secret), "only the answer to making it shows it");
    let row = list.json().as_array().unwrap().iter().find(|t| t["id"] == made["id"]).cloned().unwrap();
    assert!(row["last_used_at"].is_i64(), "{row}");

    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    for _ in 0..2 {
        let gone = platform.send(Some(&platform.owner), Method::DELETE, &path, None).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        let refused = who().await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert!(refused.error().contains("revoked"), "{}", refused.error());
    }
    platform.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said() {
    let platform = Platform::start(nobody()).await;
    let expired = platform.person("default", Role::Owner, Life::Expired).await;
    let revoked = platform.person("default", Role::Owner, Life::Revoked).await;
    for (token, words, error) in [
        (None, "is required", None),
        (Some("berth_wrong"), "not known", Some("invalid_token")),
        (Some("something else"), "not known", Some("invalid_token")),
        (Some(expired.as_str()), "has expired", Some("invalid_token")),
        (Some(revoked.as_str()), "was revoked", Some("invalid_token")),
    ] {
        let answer = platform.send(token, Method::GET, "/api/v1/whoami", None).await;
        assert!(answer.error().contains(words), "{token:?}: {}", answer.error());
        let challenge = answer.headers["www-authenticate"].to_str().unwrap();
        assert_eq!(challenge.contains("invalid_token"), error.is_some(), "{token:?}: {challenge}");
    }
    platform.stop().await;
}

#[tokio::test]
async fn a_token_expires_by_itself() {
    let platform = Platform::start(nobody()).await;
    let made =
        platform.post("/api/v1/tokens", json!({ "name": "brief", "expires_in_seconds": 1 })).await.json();
    let secret = made["secret"].as_str().unwrap();
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    loop {
        let answer = platform.send(Some(secret), Method::GET, "/api/v1/whoami", None).await;
        if answer.status == StatusCode::UNAUTHORIZED {
            assert!(answer.error().contains("has expired"), "{}", answer.error());
            break;
        }
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    platform.stop().await;
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let platform = Platform::start(nobody()).await;
    let rows: [(Value, &str); 9] = [
        (json!({ "name": "" }), "422 invalid | name"),
        (json!({ "name": " \t" }), "422 invalid | name"),
        (json!({ "name": "x".repeat(101) }), "422 invalid | name"),
        (json!({ "name": "a\u{0}b" }), "422 invalid | name"),
        (json!({ "name": "x", "expires_in_seconds": 0 }), "422 invalid | expires_in_seconds"),
        (json!({ "name": "x", "expires_in_seconds": u64::MAX }), "422 invalid | expires_in_seconds"),
        (json!({ "name": "x", "scopes": [] }), "422 invalid | scopes"),
        (json!({ "name": "x", "scopes": ["write"] }), "422 invalid | scopes"),
        (json!({ "name": "x", "scopes": ["mcp:call:A"] }), "422 invalid | scopes"),
    ];
    for (body, start) in rows {
        let answer = platform.post("/api/v1/tokens", body).await;
        assert!(answer.error().starts_with(start), "{}", answer.error());
    }
    for id in ["x", "00000000-0000-0000-0000-000000000009"] {
        let answer =
            platform.send(Some(&platform.owner), Method::DELETE, &format!("/api/v1/tokens/{id}"), None).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    platform.stop().await;
}

#[tokio::test]
async fn a_token_makes_none_that_is_for_more() {
    let platform = Platform::start(nobody()).await;
    let owner = platform.owner.clone();
    let member = platform.person("default", Role::Member, Life::Good).await;
    let whole = ["admin", "mcp:call:github/get_*"];
    let (narrow, reader) = (platform.scoped(&owner, &whole).await, platform.scoped(&member, &["read"]).await);
    let of_member = platform.scoped(&member, &["admin", "mcp:call"]).await;
    for (token, scopes, expected) in [
        (&owner, json!(["mcp:call"]), Ok(json!(["mcp:call"]))),
        (&owner, json!(null), Ok(json!(null))),
        // What is not said is what the other one is for.
        (&narrow, json!(null), Ok(json!(whole))),
        (&narrow, json!(["read"]), Ok(json!(["read"]))),
        (&narrow, json!(["read", "mcp:call:github"]), Err("`mcp:call:github` is not in its scopes")),
        (&narrow, json!(["mcp:call:other/get_*"]), Err("`mcp:call:other/get_*` is not in its scopes")),
        (&reader, json!(["read"]), Err("is not for that")),
        // A member's token for everything is a member's.
        (&of_member, json!(["admin"]), Ok(json!(["admin"]))),
    ] {
        let body = json!({ "name": "made", "scopes": scopes });
        let made = platform.send(Some(token), Method::POST, "/api/v1/tokens", Some(body)).await;
        match expected {
            Ok(expected) => assert_eq!(made.json()["scopes"], expected, "{scopes}"),
            Err(words) => {
                assert_eq!(made.status, StatusCode::FORBIDDEN, "{scopes}");
                assert!(made.error().contains(words), "{}", made.error());
            }
        }
    }
    let host = json!({ "name": "far", "kind": "host" });
    let refused = platform.send(Some(&of_member), Method::POST, "/api/v1/environments", Some(host)).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "a role is never more than its user's");
    let me = platform.send(Some(&reader), Method::GET, "/api/v1/whoami", None).await.json();
    assert_eq!((&me["role"], &me["scopes"]), (&json!("viewer"), &json!(["read"])));
    platform.stop().await;
}

#[tokio::test]
async fn everybody_sees_their_own_and_admins_see_all() {
    let platform = Platform::start(nobody()).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    for (token, count) in [(&member, 1), (&admin, 3), (&stranger, 1)] {
        let list = platform.send(Some(token), Method::GET, "/api/v1/tokens", None).await.json();
        assert_eq!(list.as_array().unwrap().len(), count);
    }
    platform.stop().await;
}
