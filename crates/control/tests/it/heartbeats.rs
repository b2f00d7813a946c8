//! What a DTMA may say, and what it may not.

use std::sync::Arc;

use api::users::Role;
use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::{FakeDtma, heartbeat, report_of};
use crate::platform::{Life, Platform};

const PATH: &str = api::dtma::HEARTBEAT_PATH;

async fn start() -> (Platform, Arc<FakeDtma>) {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    (platform, dtma)
}

async fn beat(platform: &Platform, body: Value) -> crate::platform::Answer {
    platform.send(Some(platform.local.dtma_token.expose()), Method::POST, PATH, Some(body)).await
}

#[tokio::test]
async fn an_environment_becomes_active_and_shows_what_it_is() {
    let (platform, dtma) = start().await;
    let before = platform.get("/api/v1/environments/local").await.json();
    assert_eq!((&before["status"], &before["instances"]), (&json!("awaiting_heartbeat"), &json!(1)));
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    let after = platform.get("/api/v1/environments/local").await.json();
    assert_eq!((&after["status"], &after["dtma_version"]), (&json!("active"), &json!("0.1.0")));
    assert_eq!(after["system"]["cores"], 2);
    assert!(!after.to_string().contains(platform.local.dtma_token.expose()));
    platform.stop().await;
}

#[tokio::test]
async fn it_speaks_for_itself_alone() {
    let (platform, dtma) = start().await;
    let spec = dtma.spec("welcome").unwrap();
    let own = platform.local.id.to_string();
    let other = domain::ids::EnvironmentId::generate().to_string();
    let answer = beat(&platform, heartbeat(&other, 1, &json!([]))).await;
    assert!(answer.error().starts_with("403 forbidden | environment"), "{}", answer.error());

    // An API token is no DTMA's token, however mighty.
    let owner = platform.person("default", Role::Owner, Life::Good).await;
    let answer = platform.send(Some(&owner), Method::POST, PATH, Some(heartbeat(&own, 1, &json!([])))).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    // Instances that it does not have, or generations that never were, change nothing.
    let mut foreign = report_of(&spec, InstanceStatus::Running, None);
    foreign.id = domain::ids::InstanceId::generate();
    let mut newer = report_of(&spec, InstanceStatus::Running, None);
    newer.generation = 99;
    let answer = beat(&platform, heartbeat(&own, 2, &json!([foreign, newer]))).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(platform.get("/api/v1/instances/welcome").await.json()["status"], "installing");
    platform.stop().await;
}

#[tokio::test]
async fn a_late_heartbeat_does_not_undo_a_newer_one() {
    let (platform, dtma) = start().await;
    let spec = dtma.spec("welcome").unwrap();
    let own = platform.local.id.to_string();
    let with = |status, sequence| heartbeat(&own, sequence, &json!([report_of(&spec, status, None)]));
    beat(&platform, with(InstanceStatus::Running, 7)).await;
    let late = beat(&platform, with(InstanceStatus::Starting, 6)).await;
    assert_eq!(late.status, StatusCode::NO_CONTENT);
    assert_eq!(platform.get("/api/v1/instances/welcome").await.json()["status"], "running");
    platform.stop().await;
}

#[tokio::test]
async fn what_went_wrong_on_the_host_is_shown() {
    let (platform, dtma) = start().await;
    let why = "npm has no package `x`: check the name";
    dtma.report(&platform, |_| (InstanceStatus::ErrorInstall, Some(why))).await;
    let instance = platform.get("/api/v1/instances/welcome").await.json();
    assert_eq!((&instance["status"], &instance["message"]), (&json!("error_install"), &json!(why)));
    // Starting what is wanted running and failed is a new try.
    let again = platform.post("/api/v1/instances/welcome/start", json!({})).await.json();
    assert_eq!(again["generation"], 2);
    platform.stop().await;
}

#[tokio::test]
async fn bad_heartbeats_name_the_field() {
    let (platform, _) = start().await;
    let own = platform.local.id.to_string();
    let answer = beat(&platform, heartbeat(&own, 1, &json!([{ "id": "x" }]))).await;
    assert!(answer.error().starts_with("422 invalid | instances[0].id"), "{}", answer.error());
    let mut without = heartbeat(&own, 1, &json!([]));
    without.as_object_mut().unwrap().remove("sequence");
    let answer = beat(&platform, without).await;
    assert!(answer.error().starts_with("422 invalid | sequence"), "{}", answer.error());
    platform.stop().await;
}
