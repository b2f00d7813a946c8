//! Heartbeats of older hosts in both forms, and the secrets that they ask for.

use std::time::SystemTime;

use domain::ids::{CatalogEntryId, InstanceId};
use domain::spec::{DesiredState, Launch, Limits};
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, Moving, SpecColumn};

use crate::platform::{Answer, Platform, nobody};

const TOKEN: &str = "0f0e0d0c0b0a09080706050403020100";

/// An environment whose host is an older one, in the account of the platform, with an instance on it.
async fn older_host(platform: &Platform, status: EnvironmentStatus) -> (EnvironmentRow, InstanceRow) {
    let at: Timestamp = SystemTime::now().into();
    let environment = platform.environment("droplet", TOKEN).await;
    let instance = InstanceRow {
        id: InstanceId::generate(),
        account: environment.account,
        environment: environment.id,
        catalog_entry: CatalogEntryId::GENERIC_MCP,
        name: "redis".parse().unwrap(),
        instance_name_on_toolbox: "Redis_1".to_owned(),
        desired: DesiredState::Running,
        generation: 1,
        restarts_asked: 0,
        observed_generation: 0,
        status: InstanceStatus::PendingDeploy,
        message: None,
        spec: SpecColumn {
            package: "oci:redis:7".parse().unwrap(),
            launch: Launch::default(),
            env: std::collections::BTreeMap::new(),
            limits: Limits::default(),
            moving: Moving::default(),
            candidate_of: None,
        },
        settings: std::collections::BTreeMap::new(),
        secret_names: Vec::new(),
        secrets_sealed: None,
        version: None,
        digest: None,
        report: None,
        last_heartbeat_from_dtma: None,
        deleting: false,
        created_at: at,
        updated_at: at,
    };
    let mut tx = platform.store.begin().await.unwrap();
    store::environments::set_status(&mut tx, environment.id, status, at).await.unwrap();
    store::instances::insert(&mut tx, &instance).await.unwrap();
    tx.commit().await.unwrap();
    (environment, instance)
}

async fn beat(platform: &Platform, path: &str, body: Value) -> Answer {
    platform.send(Some(TOKEN), Method::POST, path, Some(body)).await
}

/// As the newest of the older ones sends it: every container of the host, none with an id of ours.
fn containers(name: &str, state: &str) -> Value {
    json!({
        "dtma_version": "1.0.0",
        "system_status": {
            "cpu_load_percent": 12.5,
            "memory": {"total_bytes": 1000, "active_bytes": 400, "free_bytes": 100, "used_bytes": 900},
            "disk": {"mount": "/", "total_bytes": 50, "used_bytes": 20, "free_bytes": 30}
        },
        "tool_statuses": [
            {
                "id": "0123456789ab", "names": ["dtma_manager"], "image": "dtma", "image_id": "sha256:0",
                "command": "node", "created": 1, "state": "running", "status": "Up 2 hours", "ports": []
            },
            {
                "id": "ba9876543210", "names": [format!("/{name}")], "image": "redis:7", "image_id": "sha256:1",
                "command": "redis-server", "created": 1, "state": state, "status": "Up 2 hours", "ports": []
            }
        ]
    })
}

/// As the second generation sends it.
fn statuses(id: &str, status: &str) -> Value {
    json!({
        "dtma_version": "0.2.0",
        "system_status": {"cpu_load_percent": 1, "memory": {"total_bytes": 7}, "disk": null, "uptime_seconds": 99},
        "tool_statuses": [{
            "account_tool_instance_id": id,
            "status_on_toolbox": status,
            "runtime_details": {"container_id": "c", "image": "i", "started_at": "x", "state_details": {}}
        }]
    })
}

#[tokio::test]
async fn both_forms_are_taken_under_every_path() {
    for (status, path) in [
        (EnvironmentStatus::AwaitingHeartbeat, "/heartbeat"),
        (EnvironmentStatus::Unresponsive, "/functions/v1/heartbeat"),
        (EnvironmentStatus::Active, "/dtma/heartbeat"),
    ] {
        let platform = Platform::start(nobody()).await;
        let (_, instance) = older_host(&platform, status).await;
        let id = instance.id.to_string();
        for (what, body, word, version, memory) in [
            ("a container", containers("Redis_1", "running"), "running", "1.0.0", 1000),
            ("one that ended", containers("Redis_1", "exited"), "error_runtime", "1.0.0", 1000),
            ("a status", statuses(&id, "running"), "running", "0.2.0", 7),
            ("one that starts", statuses(&id, "created"), "starting", "0.2.0", 7),
            ("a word of nobody", statuses(&id, "Up 2 hours"), "starting", "0.2.0", 7),
            ("another container", containers("other", "running"), "starting", "1.0.0", 1000),
        ] {
            let answer = beat(&platform, path, body).await;
            assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0), "{what}: {answer:?}");
            let shown = platform.get("/api/v1/instances/redis").await.json();
            assert_eq!(shown["status"], word, "{what} at {path}: {shown}");
            let environment = platform.get("/api/v1/environments/droplet").await.json();
            assert_eq!(environment["status"], "active", "{what} at {path}");
            assert_eq!(environment["dtma_version"], version, "{what}");
            assert_eq!(environment["system"]["memory"]["total_bytes"], memory, "{what}");
            assert!(environment["last_heartbeat_at"].is_number(), "{what}");
        }
        platform.stop().await;
    }
}

#[tokio::test]
async fn a_host_speaks_for_itself_alone() {
    let platform = Platform::start(nobody()).await;
    older_host(&platform, EnvironmentStatus::Active).await;
    let welcome = platform.get("/api/v1/instances/welcome").await.json();
    let before = welcome["status"].clone();
    for body in [statuses(welcome["id"].as_str().unwrap(), "error"), containers("welcome", "dead")] {
        assert_eq!(beat(&platform, "/heartbeat", body).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(platform.get("/api/v1/instances/welcome").await.json()["status"], before);
    platform.stop().await;
}

#[tokio::test]
async fn what_is_no_heartbeat() {
    let platform = Platform::start(nobody()).await;
    older_host(&platform, EnvironmentStatus::AwaitingHeartbeat).await;
    let good = || Some(json!({}));
    for (what, method, token, body, status, error) in [
        ("GET", Method::GET, Some(TOKEN), None, 405, "Method not allowed"),
        ("PUT", Method::PUT, Some(TOKEN), good(), 405, "Method not allowed"),
        ("no token", Method::POST, None, good(), 401, "Unauthorized: Missing or invalid token"),
        ("a wrong token", Method::POST, Some("wrong"), good(), 401, "Unauthorized: Invalid token"),
        ("nothing", Method::POST, Some(TOKEN), None, 400, "Invalid JSON payload"),
        ("a list", Method::POST, Some(TOKEN), Some(json!([])), 400, "Invalid JSON payload"),
    ] {
        for path in ["/heartbeat", "/functions/v1/heartbeat", "/dtma/heartbeat"] {
            let answer = platform.send(token, method.clone(), path, body.clone()).await;
            assert_eq!(answer.status.as_u16(), status, "{what} {path}");
            assert_eq!(answer.json(), json!({ "error": error }), "{what} {path}");
        }
    }
    let environment = platform.get("/api/v1/environments/droplet").await.json();
    assert_eq!(environment["status"], "awaiting_heartbeat", "none of these was one");
    // What lacks everything is one all the same: a host that lives.
    assert_eq!(beat(&platform, "/heartbeat", json!({"tool_statuses": null})).await.status, 204);
    platform.stop().await;
}

#[tokio::test]
async fn secrets_go_to_the_host_of_their_instance() {
    let platform = Platform::start(nobody()).await;
    let (_, redis) = older_host(&platform, EnvironmentStatus::Active).await;
    let body = json!({"server": "npm:x", "name": "x", "secrets": {"API_KEY": "hunter2"}});
    let x = platform.post("/api/v1/instances", body).await.json();
    let local = platform.local.dtma_token.expose();
    let ask = async |token: &str, body: Value| {
        platform.send(Some(token), Method::POST, "/fetch-tool-secrets", Some(body)).await
    };
    let answer = ask(local, json!({"tool_instance_db_id": x["id"]})).await;
    assert_eq!(answer.json(), json!({"secrets": {"API_KEY": "hunter2"}}));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(ask(TOKEN, json!({"tool_instance_db_id": redis.id})).await.json(), json!({"secrets": {}}));
    for (what, body, status) in [
        ("another host's instance", json!({"tool_instance_db_id": x["id"]}), 404),
        ("nobody's", json!({"tool_instance_db_id": InstanceId::generate()}), 404),
        ("no id", json!({}), 400),
        ("no UUID", json!({"tool_instance_db_id": "7"}), 400),
        ("a number", json!({"tool_instance_db_id": 7}), 400),
    ] {
        let answer = ask(TOKEN, body).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"), "{what}");
    }
    platform.stop().await;
}
