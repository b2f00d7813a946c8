//! Rows become instances on a host: handed over, changed, removed, and again after the host was away.

use std::sync::Arc;

use axum::http::StatusCode;
use domain::spec::DesiredState;
use domain::status::InstanceStatus;
use http::Method;
use serde_json::json;

use crate::dtma::FakeDtma;
use crate::platform::{PATIENCE, Platform};

async fn start() -> (Platform, Arc<FakeDtma>) {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    (Platform::start(address).await, dtma)
}

#[tokio::test]
async fn a_deployment_reaches_its_host_with_secrets_and_key() {
    let (platform, dtma) = start().await;
    let body = json!({
        "server": "npm:thing", "settings": { "REGION": "eu" }, "secrets": { "API_KEY": "hunter2" },
        "args": ["-v"], "constraints": ["zod@3"], "limits": { "memory_mib": 64 }
    });
    platform.post("/api/v1/instances", body).await;
    platform.instance_until("thing", |instance| instance["status"] == "installing").await;
    let spec = dtma.spec("thing").unwrap();
    assert_eq!((spec.generation, spec.desired), (1, DesiredState::Running));
    assert_eq!(spec.account.as_str(), "default");
    assert_eq!(spec.secrets["API_KEY"].expose(), "hunter2");
    assert_eq!(spec.env["REGION"], "eu");
    assert_eq!(spec.launch.args, ["-v"]);
    assert_eq!(spec.launch.constraints, ["zod@3"]);
    assert_eq!(spec.limits.memory_mib, Some(64));
    assert_eq!(spec.key.expose().len(), 64);
    // Each is sent by itself, so the earlier one may come later.
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    let welcome = dtma.spec("welcome").unwrap();
    assert_ne!(spec.key, welcome.key);
    let bearer = format!("Bearer {}", platform.local.dtma_token.expose());
    assert!(dtma.bearers.lock().unwrap().iter().all(|shown| *shown == bearer));

    // Settings of catalog entries go where the entry says.
    platform
        .post("/api/v1/instances", json!({ "server": "time", "settings": { "timezone": "Asia/Tokyo" } }))
        .await;
    platform.post("/api/v1/instances", json!({ "server": "memory" })).await;
    platform.instance_until("memory", |instance| instance["status"] == "installing").await;
    assert_eq!(dtma.spec("time").unwrap().launch.args, ["--local-timezone", "Asia/Tokyo"]);
    assert_eq!(dtma.spec("memory").unwrap().env["MEMORY_FILE_PATH"], "{work}/memory.jsonl");
    platform.stop().await;
}

#[tokio::test]
async fn stop_start_restart_and_remove_reach_the_host() {
    let (platform, dtma) = start().await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    assert_eq!(dtma.report(&platform, |_| (InstanceStatus::Running, None)).await, StatusCode::NO_CONTENT);
    platform.instance_until("welcome", |instance| instance["status"] == "running").await;

    let order = async |what: &str| {
        let answer = platform.post(&format!("/api/v1/instances/welcome/{what}"), json!({})).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json()
    };
    assert_eq!(order("stop").await["status"], "stopping");
    let generation = order("stop").await["generation"].as_u64().unwrap();
    assert_eq!(generation, 2, "asking again changes nothing");
    wait_for(|| dtma.spec("welcome").is_some_and(|s| s.desired == DesiredState::Stopped)).await;
    dtma.report(&platform, |_| (InstanceStatus::Stopped, None)).await;
    platform.instance_until("welcome", |instance| instance["status"] == "stopped").await;

    assert_eq!(order("start").await["desired"], "running");
    wait_for(|| dtma.spec("welcome").is_some_and(|s| s.desired == DesiredState::Running)).await;
    assert_eq!(order("restart").await["generation"], 4);
    wait_for(|| dtma.spec("welcome").is_some_and(|s| s.restarts_asked == 1 && s.generation == 4)).await;

    let gone = platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/welcome", None).await;
    assert_eq!((gone.status, gone.json()["status"].as_str()), (StatusCode::ACCEPTED, Some("deleting")));
    wait_for(|| dtma.spec("welcome").is_none()).await;
    let mut left = platform.get("/api/v1/instances").await.json();
    while left != json!([]) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        left = platform.get("/api/v1/instances").await.json();
    }
    platform.deploy("welcome").await;
    platform.stop().await;
}

#[tokio::test]
async fn a_host_that_is_away_is_said_and_retried() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, mut up) = dtma.listen(None).await;
    up.end().await;
    let platform = Platform::start(address).await;
    let waiting = platform.instance_until("welcome", |instance| instance["message"].is_string()).await;
    assert_eq!(waiting["status"], "pending_deploy");
    let message = waiting["message"].as_str().unwrap();
    assert!(message.contains("environment `local`") && message.contains("does not answer"), "{message}");
    let ready = platform.get("/readyz").await.json();
    assert_eq!(ready["reconcilers"]["deploy"]["waiting"], 1);

    let (_, mut up) = dtma.listen(Some(address)).await;
    let taken = platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    assert_eq!(taken["message"], json!(null), "the complaint is gone with its reason");

    // Away again while an instance is to go: it stays until its host has removed it.
    up.end().await;
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/welcome", None).await;
    let waiting = platform.instance_until("welcome", |instance| instance["message"].is_string()).await;
    assert_eq!(waiting["status"], "deleting");
    dtma.listen(Some(address)).await;
    wait_for(|| dtma.deleted.lock().unwrap().len() == 1).await;
    platform.stop().await;
}

#[tokio::test]
async fn what_the_host_refuses_is_shown_and_another_try_can_be_asked_for() {
    let (platform, dtma) = start().await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    let refusal = json!({ "error": { "code": "no_space", "message": "no room left on the disk", "hint": "free some" } });
    *dtma.refusal.lock().unwrap() = Some((StatusCode::INSUFFICIENT_STORAGE, refusal));
    platform.deploy("second").await;
    let failed = platform.instance_until("second", |instance| instance["status"] == "error_install").await;
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("no room left on the disk") && message.contains("free some"), "{message}");

    *dtma.refusal.lock().unwrap() = None;
    platform.post("/api/v1/instances/second/start", json!({})).await;
    platform.instance_until("second", |instance| instance["status"] == "installing").await;

    // Somebody else on the DTMA's port is no DTMA.
    let nonsense = json!("hello");
    *dtma.refusal.lock().unwrap() = Some((StatusCode::NOT_FOUND, nonsense));
    platform.deploy("third").await;
    let waiting = platform.instance_until("third", |instance| instance["message"].is_string()).await;
    assert!(waiting["message"].as_str().unwrap().contains("no DTMA of this control plane"), "{waiting}");
    platform.stop().await;
}

#[tokio::test]
async fn a_host_that_lost_its_disk_gets_everything_again() {
    let (platform, dtma) = start().await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    dtma.specs.lock().unwrap().clear();
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    wait_for(|| dtma.spec("welcome").is_some()).await;
    platform.stop().await;
}

#[tokio::test]
async fn logs_come_from_the_host_as_they_are() {
    let (platform, dtma) = start().await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    let answer = platform.get("/api/v1/instances/welcome/logs?tail=5&follow=true").await;
    let id = dtma.spec("welcome").unwrap().id;
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.body, format!("{id} follow=true&tail=5\n"));
    let wrong = platform.get("/api/v1/instances/welcome/logs?tail=many").await;
    assert!(wrong.error().starts_with("400 bad_request | tail"), "{}", wrong.error());
    platform.stop().await;
}

pub(crate) async fn wait_for(is: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is() {
        assert!(std::time::Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
