//! Hosts of an older platform that was imported under a running control plane: they go on with the token that they have.

use control::{ImportOptions, import_legacy};
use domain::secret::Secret;
use http::{Method, StatusCode};
use serde_json::json;
use testkit::legacy::{INSTANCE, Legacy, id};

use crate::platform::{Platform, config, nobody};

#[tokio::test]
async fn hosts_keep_their_tokens_and_get_their_secrets() {
    let platform = Platform::start(nobody()).await;
    let legacy = Legacy::instances();
    let beat = json!({
        "dtma_version": "0.1.0",
        "system_status": {},
        "tool_statuses": [
            {"account_tool_instance_id": id(INSTANCE, 10), "status_on_toolbox": "running"},
            // Another user's, which its token does not reach.
            {"account_tool_instance_id": id(INSTANCE, 20), "status_on_toolbox": "running"},
        ],
    });
    let sent = async |token| {
        let path = "/functions/v1/heartbeat";
        platform.send(Some(token), Method::POST, path, Some(beat.clone())).await.status
    };
    assert_eq!(sent("token-1").await, StatusCode::UNAUTHORIZED, "nobody knows it yet");

    let config = config(platform.dir.path(), "http://127.0.0.1:1", nobody());
    let options =
        ImportOptions { account: Some("default".parse().unwrap()), apply: true, ..ImportOptions::default() };
    import_legacy(&config, &Secret::new(legacy.url.clone()), &options).await.unwrap();

    assert_eq!(sent("token-1").await, StatusCode::NO_CONTENT);
    let instance = platform.instance_until("db", |instance| instance["status"] == "running").await;
    assert_eq!(instance["id"], json!(id(INSTANCE, 10)));
    let other = platform.get("/api/v1/instances/db-2").await.json();
    assert_eq!((&other["id"], &other["status"]), (&json!(id(INSTANCE, 20)), &json!("pending_deploy")));
    let environment = platform.get("/api/v1/environments/my-toolbox").await.json();
    assert_eq!(environment["status"], "active");

    let wanted = Some(json!({"tool_instance_db_id": id(INSTANCE, 10)}));
    let answer =
        platform.send(Some("token-1"), Method::POST, "/functions/v1/fetch-tool-secrets", wanted).await;
    assert_eq!(answer.json(), json!({"secrets": {"POSTGRES_PASSWORD": "hunter2"}}));
}
