//! The audit: what is in it, who sees it, how it is paged, and how long it is kept.

use std::time::Duration;

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::platform::{Life, PATIENCE, Platform, nobody};

async fn lines(platform: &Platform, query: &str) -> Vec<Value> {
    let answer = platform.get(&format!("/api/v1/audit?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
    answer.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn changes_are_in_it_page_by_page_and_of_the_account_alone() {
    let platform = Platform::start(nobody()).await;
    for name in ["a", "b", "c"] {
        platform.post("/api/v1/tokens", json!({ "name": name, "scopes": ["read"] })).await;
    }
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    platform.send(Some(&stranger), Method::POST, "/api/v1/tokens", Some(json!({ "name": "theirs" }))).await;

    let made = lines(&platform, "action=token.create&limit=2").await;
    let names = |lines: &[Value]| -> Vec<String> {
        lines.iter().map(|line| line["object_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&made), ["c", "b"]);
    assert_eq!((&made[0]["actor_name"], &made[0]["detail"]), (&json!("admin"), &json!({"scopes": ["read"]})));
    let rest =
        lines(&platform, &format!("action=token.create&after={}", made[1]["id"].as_str().unwrap())).await;
    assert_eq!(names(&rest)[0], "a");
    assert_eq!(names(&lines(&platform, "object=b").await), ["b"]);
    assert_eq!(lines(&platform, &format!("since={}", i64::MAX)).await, [] as [Value; 0]);
    let theirs = platform.send(Some(&stranger), Method::GET, "/api/v1/audit", None).await.json();
    assert_eq!(names(theirs.as_array().unwrap()), ["theirs"]);

    for (query, start) in [
        ("limit=0", "422 invalid | limit"),
        ("limit=1001", "422 invalid | limit"),
        ("limit=x", "400 bad_request"),
        ("after=x", "400 bad_request"),
        ("before=1", "400 bad_request"),
    ] {
        let answer = platform.get(&format!("/api/v1/audit?{query}")).await;
        assert!(answer.error().starts_with(start), "{query}: {}", answer.error());
    }
    platform.stop().await;
}

#[tokio::test]
async fn old_lines_go_when_it_is_wanted() {
    let platform = Platform::start_with(nobody(), |config| config.audit_keep = Some(Duration::ZERO)).await;
    // Whatever the start wrote is older than nothing.
    let deadline = std::time::Instant::now() + PATIENCE;
    while !lines(&platform, "").await.is_empty() {
        assert!(std::time::Instant::now() < deadline, "old lines stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    platform.stop().await;
}
