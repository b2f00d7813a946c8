//! What older callers deployed on a host becomes an ordinary instance of its environment; an id that is another's does
//! not.

use std::sync::Arc;

use domain::ids::InstanceId;
use domain::status::InstanceStatus;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::{FakeDtma, heartbeat};
use crate::platform::Platform;

async fn start() -> (Platform, Arc<FakeDtma>) {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    (platform, dtma)
}

/// What a host says of an instance that an older caller deployed there.
fn adoption(id: &str, name: &str) -> Value {
    json!({
        "name_on_toolbox": name,
        "spec": {
            "id": id, "account": "older", "name": "redis-1", "generation": 0, "desired": "running",
            "restarts_asked": 0, "package": {"kind": "oci", "image": "redis:7"},
            "launch": {"container": {"ports": [{"container": 6379, "host": 7001, "address": "0.0.0.0"}]}},
            "secrets": {"PASSWORD": "hunter2"}, "key": "the-host-s-own"
        }
    })
}

async fn beat(platform: &Platform, sequence: u64, adopt: Value, removed: Value) {
    let mut body = heartbeat(&platform.local.id.to_string(), sequence, &json!([]));
    (body["adopt"], body["removed"]) = (adopt, removed);
    let token = platform.local.dtma_token.expose();
    let answer = platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
}

async fn actions(platform: &Platform) -> Vec<(String, String)> {
    let account = store::accounts::account_by_name(&platform.store, &"default".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let lines = crate::platform::audit_lines(&platform.store, account.id, 100).await.unwrap();
    let ours = lines.into_iter().filter(|line| line.actor.starts_with("environment:"));
    ours.map(|line| (line.action, line.object_name.unwrap_or_default())).collect()
}

const ID: &str = "b0000000-0000-4000-8000-000000000001";

#[tokio::test]
async fn it_becomes_an_ordinary_instance() {
    let (platform, dtma) = start().await;
    beat(&platform, 1, json!([adoption(ID, "Redis_1")]), json!([])).await;
    let instance = platform.get("/api/v1/instances/redis-1").await.json();
    assert_eq!((&instance["id"], &instance["environment"]), (&json!(ID), &json!("local")));
    assert_eq!((&instance["generation"], &instance["package"]), (&json!(1), &json!("oci:redis:7")));
    assert_eq!(instance["secret_names"], json!(["PASSWORD"]));
    assert!(!instance.to_string().contains("hunter2"));
    // The control plane's spec, newer and under the key that the gateway knows, goes to the host.
    platform.instance_until("redis-1", |instance| instance["status"] == "installing").await;
    let spec = dtma.spec("redis-1").unwrap();
    assert_eq!((spec.id.to_string().as_str(), spec.generation, spec.account.as_str()), (ID, 1, "default"));
    assert_eq!(spec.secrets["PASSWORD"].expose(), "hunter2");
    assert_ne!(spec.key.expose(), "the-host-s-own");
    assert_eq!(spec.launch.container.unwrap().ports[0].host, 7001);
    // Told again, it is the same one.
    beat(&platform, 2, json!([adoption(ID, "Redis_1")]), json!([])).await;
    assert_eq!(platform.get("/api/v1/instances").await.json().as_array().unwrap().len(), 2);
    // Its owner has it like any other.
    let stopped = platform.post("/api/v1/instances/redis-1/stop", json!({})).await.json();
    assert_eq!((&stopped["desired"], &stopped["generation"]), (&json!("stopped"), &json!(2)));
    assert_eq!(actions(&platform).await, [("instance.adopt".to_owned(), "redis-1".to_owned())]);
    platform.stop().await;
}

#[tokio::test]
async fn names_give_way_and_ids_do_not() {
    let (platform, dtma) = start().await;
    let other = "b0000000-0000-4000-8000-000000000002";
    beat(&platform, 1, json!([adoption(ID, "welcome"), adoption(other, "Welcome")]), json!([])).await;
    for (name, id) in [("welcome-2", ID), ("welcome-3", other)] {
        assert_eq!(platform.get(&format!("/api/v1/instances/{name}")).await.json()["id"], id);
    }
    // A host of another environment, even of the same account, does not get one of these.
    let token = "berth_the-token-of-another-host";
    let stranger = platform.environment("elsewhere", token).await;
    let mut body = heartbeat(&stranger.id.to_string(), 1, &json!([]));
    let not_a_container = json!({"kind": "npm", "name": "x"});
    let mut npm = adoption("b0000000-0000-4000-8000-000000000003", "npm");
    npm["spec"]["package"] = not_a_container;
    let mut newer = adoption("b0000000-0000-4000-8000-000000000004", "newer");
    newer["spec"]["generation"] = json!(7);
    body["adopt"] = json!([adoption(ID, "mine"), npm, newer]);
    body["removed"] = json!([ID]);
    for _ in 0..2 {
        let answer =
            platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let instance = platform.get("/api/v1/instances/welcome-2").await.json();
    assert_eq!((&instance["id"], &instance["environment"]), (&json!(ID), &json!("local")));
    assert_eq!(platform.get("/api/v1/instances").await.json().as_array().unwrap().len(), 3);
    let mut told = actions(&platform).await;
    told.sort();
    let expected = [
        ("instance.adopt", "welcome-2"),
        ("instance.adopt", "welcome-3"),
        ("instance.adopt_refused", "mine"),
        ("instance.adopt_refused", "newer"),
        ("instance.adopt_refused", "npm"),
    ];
    assert_eq!(told, expected.map(|(action, name)| (action.to_owned(), name.to_owned())), "each once");
    drop(dtma);
    platform.stop().await;
}

#[tokio::test]
async fn what_its_caller_removed_is_not_deployed_again() {
    let (platform, dtma) = start().await;
    beat(&platform, 0, json!([adoption(ID, "redis-1")]), json!([])).await;
    platform.instance_until("redis-1", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    platform.instance_until("redis-1", |instance| instance["status"] == "running").await;
    dtma.specs.lock().unwrap().remove(&ID.parse::<InstanceId>().unwrap());
    beat(&platform, 50, json!([]), json!([ID])).await;
    let gone = platform.get("/api/v1/instances/redis-1").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(dtma.spec("redis-1"), None, "and its host is left alone");
    let told = actions(&platform).await;
    assert!(told.contains(&("instance.removed_on_host".to_owned(), "redis-1".to_owned())), "{told:?}");
    // Deployed again under the same id, in the same breath even, it is a new one.
    beat(&platform, 51, json!([adoption(ID, "redis-1")]), json!([ID])).await;
    assert_eq!(platform.get("/api/v1/instances/redis-1").await.json()["generation"], 1);
    platform.stop().await;
}
