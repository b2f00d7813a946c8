//! Instances that move: the old host lets go first, whoever is away, and nobody gets one that is not theirs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::{FakeDtma, Up, heartbeat, report_of};
use crate::platform::{Answer, PATIENCE, Platform, nobody};
use crate::reconciler::wait_for;

const PATH: &str = "/api/v1/environments";

struct Host {
    name: &'static str,
    dtma: Arc<FakeDtma>,
    address: SocketAddr,
    up: Up,
    id: String,
    token: String,
    sequence: AtomicU64,
}

impl Host {
    async fn start(platform: &Platform, name: &'static str) -> Self {
        let dtma = Arc::new(FakeDtma::default());
        let (address, up) = dtma.listen(None).await;
        let body = json!({ "name": name, "kind": "host", "address": address, "insecure_http": true });
        let id = platform.post(PATH, body).await.json()["id"].as_str().unwrap().to_owned();
        let token = platform.post(&format!("{PATH}/{name}/token"), json!({})).await.json();
        let token = token["token"].as_str().unwrap().to_owned();
        (*dtma.environment.lock().unwrap()).clone_from(&id);
        let host = Self { name, dtma, address, up, id, token, sequence: AtomicU64::new(0) };
        host.beat(platform).await;
        host
    }

    /// Reports all that it has as running; what it is answered.
    async fn beat(&self, platform: &Platform) -> Answer {
        let reports: Vec<_> = self
            .dtma
            .specs
            .lock()
            .unwrap()
            .values()
            .map(|spec| report_of(spec, InstanceStatus::Running, None))
            .collect();
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let mut body = heartbeat(&self.id, sequence, &json!(reports));
        body["system"]["memory"] = json!({
            "total_bytes": 8_u64 << 30, "active_bytes": 0, "free_bytes": 4_u64 << 30, "used_bytes": 0,
        });
        platform.send(Some(&self.token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await
    }

    async fn leases(&self, platform: &Platform) -> usize {
        let answer = self.beat(platform).await;
        match answer.status {
            StatusCode::NO_CONTENT => 0,
            _ => answer.json()["leases"].as_array().unwrap().len(),
        }
    }

    /// Until it is granted its lease. A heartbeat of the host that was left, sent before it let go, may have it asked to let go once more, and
    /// until it has there is none.
    async fn is_granted(&self, platform: &Platform) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.leases(platform).await != 1 {
            assert!(std::time::Instant::now() < deadline, "waited in vain for the lease");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    fn has(&self, name: &str) -> bool {
        self.dtma.spec(name).is_some()
    }

    /// Nobody listens there any more.
    async fn away(&mut self) {
        self.up.end().await;
    }

    async fn back(&mut self) {
        self.up = self.dtma.listen(Some(self.address)).await.1;
    }
}

async fn start() -> (Platform, Host, Host) {
    let platform = Platform::start(nobody()).await;
    let (a, b) = (Host::start(&platform, "a").await, Host::start(&platform, "b").await);
    (platform, a, b)
}

async fn deploy(platform: &Platform, name: &str, host: &Host, more: Value) {
    let mut body = json!({ "server": "npm:thing", "name": name, "environment": host.name });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = platform.post("/api/v1/instances", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    wait_for(|| host.has(name)).await;
    host.beat(platform).await;
}

async fn move_to(platform: &Platform, name: &str, environment: &str) -> Answer {
    platform.post(&format!("/api/v1/instances/{name}/move"), json!({ "environment": environment })).await
}

#[tokio::test]
async fn it_starts_only_once_its_host_has_let_go() {
    let (platform, mut a, b) = start().await;
    deploy(&platform, "x", &a, json!({ "secrets": { "K": "hunter2" } })).await;
    let before = (a.dtma.spec("x").unwrap(), platform.get("/api/v1/instances/x").await.json());
    a.away().await;
    let moved = move_to(&platform, "x", "b").await.json();
    assert_eq!((&moved["environment"], &moved["status"]), (&json!("b"), &json!("pending_deploy")));
    assert_eq!((&moved["url"], &moved["id"]), (&before.1["url"], &before.1["id"]));
    assert_eq!(moved["leaving"], json!(["a"]));
    let says = |instance: &Value| {
        instance["message"].as_str().is_some_and(|says| says.contains("waits until `a` lets go of it"))
    };
    platform.instance_until("x", says).await;
    assert!(!b.has("x"), "it may still run on the other");

    a.back().await;
    a.beat(&platform).await;
    wait_for(|| b.has("x")).await;
    assert!(!a.has("x"));
    let spec = b.dtma.spec("x").unwrap();
    assert_eq!((&spec.key, spec.secrets["K"].expose()), (&before.0.key, "hunter2"));
    assert!(before.0.generation < spec.generation);
    b.beat(&platform).await;
    let here = platform.instance_until("x", |instance| instance["status"] == "running").await;
    assert_eq!(here["leaving"], Value::Null);

    // A host that has it nevertheless is told to remove it.
    a.dtma.specs.lock().unwrap().insert(before.0.id, before.0.clone());
    a.beat(&platform).await;
    wait_for(|| !a.has("x")).await;
    assert!(b.has("x"));
    platform.stop().await;
}

#[tokio::test]
async fn it_comes_back_or_goes_on_without_a_host_that_is_gone() {
    let (platform, mut a, b) = start().await;
    deploy(&platform, "x", &a, json!({})).await;
    a.away().await;
    move_to(&platform, "x", "b").await;
    let back = move_to(&platform, "x", "a").await.json();
    // The other never had it, but that it has to say itself.
    assert_eq!(back["leaving"], json!(["b"]));
    a.back().await;
    a.beat(&platform).await;
    let generation = back["generation"].as_u64();
    wait_for(|| a.dtma.spec("x").map(|spec| spec.generation) == generation).await;
    assert!(!b.has("x"));

    a.away().await;
    move_to(&platform, "x", "b").await;
    let kept = platform.send(Some(&platform.owner), Method::DELETE, &format!("{PATH}/b"), None).await;
    assert_eq!(kept.status, StatusCode::CONFLICT);
    let gone = platform.send(Some(&platform.owner), Method::DELETE, &format!("{PATH}/a"), None).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "nothing is in it any more");
    wait_for(|| b.has("x")).await;

    // What is removed while it leaves is removed everywhere.
    let mut c = Host::start(&platform, "c").await;
    deploy(&platform, "y", &c, json!({})).await;
    c.away().await;
    move_to(&platform, "y", "b").await;
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/y", None).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    while platform.get("/api/v1/instances/y").await.status == StatusCode::OK {
        assert!(std::time::Instant::now() < deadline, "it does not wait for a host that is away");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert!(c.has("y"));
    c.back().await;
    c.beat(&platform).await;
    wait_for(|| !c.has("y")).await;
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be() {
    let (platform, a, _b) = start().await;
    deploy(&platform, "x", &a, json!({})).await;
    deploy(&platform, "files", &a, json!({ "server": "memory" })).await;
    let cordon = Some(json!({ "cordoned": true }));
    platform.send(Some(&platform.owner), Method::PATCH, &format!("{PATH}/local"), cordon).await;
    for (name, body, words) in [
        ("x", json!({ "environment": "a" }), "422 invalid | environment | `x` is in `a` already"),
        ("x", json!({ "environment": "bb" }), "422 invalid | environment | there is no environment `bb`"),
        (
            "x",
            json!({ "environment": "local" }),
            "409 conflict | environment | environment `local` is cordoned",
        ),
        (
            "x",
            json!({ "environment": "b", "environment_labels": { "a": "b" } }),
            "422 invalid | environment_labels",
        ),
        (
            "x",
            json!({ "environment": "auto", "environment_labels": { "a": "b" } }),
            "409 conflict | environment | no environment takes it: `b` is not",
        ),
        ("x", json!({}), "422 invalid | environment"),
        ("y", json!({ "environment": "b" }), "404 not_found"),
        (
            "files",
            json!({ "environment": "b" }),
            "409 conflict | - | `files` cannot be moved: it keeps files on its host",
        ),
    ] {
        let error = platform.post(&format!("/api/v1/instances/{name}/move"), body.clone()).await.error();
        assert!(error.starts_with(words), "{name} {body}: {error}");
    }
    for (name, body, words) in [
        (
            "x",
            json!({ "failover": { "lease_seconds": 5 } }),
            "422 invalid | failover.lease_seconds | a lease is at least 45 s",
        ),
        (
            "x",
            json!({ "failover": { "lost_after_seconds": 65 } }),
            "422 invalid | failover.lost_after_seconds | with a lease of 60 s it takes at least 70 s",
        ),
        ("x", json!({ "failover": { "lease": 1 } }), "422 invalid | failover.lease"),
        ("files", json!({ "failover": {} }), "422 invalid | failover | it cannot be moved to another host"),
    ] {
        let path = format!("/api/v1/instances/{name}/failover");
        let error =
            platform.send(Some(&platform.owner), Method::PUT, &path, Some(body.clone())).await.error();
        assert!(error.starts_with(words), "{name} {body}: {error}");
    }
    let body = json!({ "server": "memory", "name": "m", "environment": "a", "failover": {} });
    let error = platform.post("/api/v1/instances", body).await.error();
    assert!(error.starts_with("422 invalid | failover | it cannot be moved"), "{error}");
    assert!(a.has("x"), "nothing was changed");
    platform.stop().await;
}

#[tokio::test]
async fn a_machine_is_drained() {
    let (platform, a, b) = start().await;
    for name in ["x", "y"] {
        deploy(&platform, name, &a, json!({})).await;
    }
    deploy(&platform, "files", &a, json!({ "server": "memory" })).await;
    deploy(&platform, "large", &a, json!({ "limits": { "memory_mib": 100_000 } })).await;
    let drain = platform.post(&format!("{PATH}/a/drain"), json!({})).await.json();
    let fate = |drain: &Value| -> Vec<(String, Value, bool, bool)> {
        let of_one = |one: &Value| {
            let name = one["name"].as_str().unwrap().to_owned();
            (name, one["moved_to"].clone(), one["can_move"] == json!(true), one["why"].is_string())
        };
        drain["instances"].as_array().unwrap().iter().map(of_one).collect()
    };
    assert_eq!(
        fate(&drain),
        [
            ("files".to_owned(), Value::Null, false, true),
            ("large".to_owned(), Value::Null, true, true),
            ("x".to_owned(), json!("b"), true, false),
            ("y".to_owned(), json!("b"), true, false),
        ]
    );
    wait_for(|| b.has("x") && b.has("y") && !a.has("x") && !a.has("y")).await;
    assert!(platform.get(&format!("{PATH}/a")).await.json()["cordoned"] == json!(true));
    b.beat(&platform).await;
    platform.instance_until("y", |instance| instance["status"] == "running").await;
    let again = platform.post(&format!("{PATH}/a/drain"), json!({})).await.json();
    assert_eq!((fate(&again).len(), &again["leaving"]), (2, &json!([])));
    platform.stop().await;
}

#[tokio::test]
async fn a_lease_is_for_the_host_that_has_the_instance() {
    let (platform, mut a, b) = start().await;
    deploy(&platform, "x", &a, json!({})).await;
    assert_eq!(a.leases(&platform).await, 0, "it has none");
    let failover = json!({ "failover": { "lease_seconds": 60, "lost_after_seconds": 90 } });
    let path = "/api/v1/instances/x/failover";
    // While the host has the spec without a lease, there is nothing to grant.
    a.away().await;
    let set = platform.send(Some(&platform.owner), Method::PUT, path, Some(failover.clone())).await;
    assert_eq!(set.json()["failover"], failover["failover"]);
    assert_eq!(a.leases(&platform).await, 0, "what it has knows of no lease");
    a.back().await;
    a.beat(&platform).await;
    wait_for(|| a.dtma.spec("x").is_some_and(|spec| spec.lease_seconds == Some(60))).await;
    assert_eq!((a.leases(&platform).await, b.leases(&platform).await), (1, 0));
    a.away().await;
    move_to(&platform, "x", "b").await;
    assert_eq!(
        (a.leases(&platform).await, b.leases(&platform).await),
        (0, 0),
        "neither, until the first let go"
    );
    a.back().await;
    a.beat(&platform).await;
    wait_for(|| b.has("x")).await;
    b.is_granted(&platform).await;
    assert_eq!(a.leases(&platform).await, 0);
    let off = platform.send(Some(&platform.owner), Method::PUT, path, Some(json!({}))).await;
    assert_eq!(off.json()["failover"], Value::Null);
    wait_for(|| b.dtma.spec("x").is_some_and(|spec| spec.lease_seconds.is_none())).await;
    platform.stop().await;
}
