//! What happened to an instance: what people asked for and what became of it, in order.

use std::sync::Arc;

use domain::status::InstanceStatus;
use http::StatusCode;
use serde_json::{Value, json};

use crate::dtma::FakeDtma;
use crate::platform::{Platform, nobody};

fn shown(event: &Value) -> String {
    let word = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let what = event["action"].as_str().or(event["status"].as_str()).unwrap_or("-");
    format!("{} {what} {} {}", word("kind"), word("by"), word("message"))
}

async fn events(platform: &Platform, query: &str) -> Vec<String> {
    let answer = platform.get(&format!("/api/v1/instances/clock/events{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.error());
    answer.json().as_array().unwrap().iter().map(shown).collect()
}

#[tokio::test]
async fn what_was_asked_and_what_became_of_it() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _up) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let body = json!({ "server": "npm:clock@1.0.0", "name": "clock" });
    assert_eq!(platform.post("/api/v1/instances", body).await.status, StatusCode::CREATED);
    platform.instance_until("clock", |instance| instance["status"] == "installing").await;
    for status in [
        (InstanceStatus::Installing, None),
        (InstanceStatus::Running, None),
        (InstanceStatus::Running, None),
        (InstanceStatus::ErrorRuntime, Some("it ended <b>with code 1</b>")),
    ] {
        assert_eq!(dtma.report(&platform, |_| status).await, StatusCode::NO_CONTENT);
    }
    let stopped = platform.post("/api/v1/instances/clock/stop", json!({})).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.error());
    let mut expected = [
        "asked instance.deploy admin npm:clock@1.0.0 in `local`",
        "installed - - version 1.0.0",
        "status installing - -",
        "status running - -",
        "status error_runtime - it ended <b>with code 1</b>",
        "asked instance.stop admin -",
    ];
    expected.reverse();
    let found = events(&platform, "").await;
    // Its host may have answered to the last already.
    let asked = found.iter().position(|event| event.starts_with("asked instance.stop")).unwrap();
    assert_eq!(found[asked..], expected);
    assert_eq!(events(&platform, "?limit=1").await.len(), 1);
    for (query, start) in [("?limit=0", "422 invalid | limit"), ("?after=1", "400 bad_request | after")] {
        let answer = platform.get(&format!("/api/v1/instances/clock/events{query}")).await;
        assert!(answer.error().starts_with(start), "{query}: {}", answer.error());
    }
    platform.stop().await;
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_an_event_once() {
    let platform = Platform::start(nobody()).await;
    let body = json!({ "server": "npm:clock@1.0.0", "name": "clock" });
    assert_eq!(platform.post("/api/v1/instances", body).await.status, StatusCode::CREATED);
    platform.instance_until("clock", |instance| instance["message"].is_string()).await;
    let started = platform.post("/api/v1/instances/clock/restart", json!({})).await;
    assert_eq!(started.status, StatusCode::OK);
    platform.instance_until("clock", |instance| instance["message"].is_string()).await;
    let found = events(&platform, "").await;
    let told = found.iter().filter(|event| event.contains("it is tried again by itself")).count();
    assert_eq!(told, 2, "{found:#?}");
    platform.stop().await;
}
