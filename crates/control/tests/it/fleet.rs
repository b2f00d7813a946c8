//! The machines together: names, labels, cordons, and where an instance goes that may go anywhere.

use api::users::Role;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::dtma::heartbeat;
use crate::platform::{Life, Platform, nobody};

const PATH: &str = "/api/v1/environments";

/// Adds a host that reports so much free memory.
async fn host(platform: &Platform, name: &str, free_mib: u64) {
    let added = platform.post(PATH, json!({ "name": name, "kind": "host" })).await.json();
    let token = platform.post(&format!("{PATH}/{name}/token"), json!({})).await.json();
    let mut body = heartbeat(added["id"].as_str().unwrap(), 1, &json!([]));
    body["system"]["memory"] = json!({
        "total_bytes": 8_u64 << 30, "active_bytes": 0, "free_bytes": free_mib << 20, "used_bytes": 0,
    });
    body["system"]["cpu_load_percent"] = json!(0.0);
    let token = token["token"].as_str().unwrap();
    let beat = platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
    assert_eq!(beat.status, StatusCode::NO_CONTENT, "{beat:?}");
}

async fn patch(platform: &Platform, name: &str, body: Value) -> crate::platform::Answer {
    platform.send(Some(&platform.owner), Method::PATCH, &format!("{PATH}/{name}"), Some(body)).await
}

/// Where a deployment goes, or why nowhere.
async fn deploy(platform: &Platform, more: Value) -> Result<String, String> {
    let mut body = json!({ "server": "welcome", "environment": "auto" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = platform.post("/api/v1/instances", body).await;
    match answer.status {
        StatusCode::CREATED => Ok(answer.json()["environment"].as_str().unwrap().to_owned()),
        _ => Err(answer.error()),
    }
}

#[tokio::test]
async fn an_instance_goes_where_most_room_is() {
    let platform = Platform::start(nobody()).await;
    assert_eq!(
        deploy(&platform, json!({})).await.unwrap_err().split(" | ").nth(2),
        Some("no environment takes it: `local` does not report")
    );
    host(&platform, "big", 4000).await;
    host(&platform, "small", 1000).await;
    assert_eq!(deploy(&platform, json!({})).await, Ok("big".to_owned()));
    // What is on its way there is counted, though the host has not measured it.
    let large = json!({ "limits": { "memory_mib": 3000 } });
    assert_eq!(deploy(&platform, large.clone()).await, Ok("big".to_owned()));
    assert_eq!(deploy(&platform, json!({})).await, Ok("small".to_owned()));
    let error = deploy(&platform, large).await.unwrap_err();
    assert!(
        error.starts_with("409 conflict | environment | no environment takes it: `big` has 744 MiB"),
        "{error}"
    );

    assert_eq!(patch(&platform, "small", json!({ "labels": { "gpu": "yes" } })).await.status, StatusCode::OK);
    let gpu = json!({ "environment_labels": { "gpu": "yes" } });
    assert_eq!(deploy(&platform, gpu.clone()).await, Ok("small".to_owned()));
    assert_eq!(
        patch(&platform, "small", json!({ "labels": { "gpu": null } })).await.json()["labels"],
        json!({})
    );
    let error = deploy(&platform, gpu).await.unwrap_err();
    assert!(error.contains("`small` is not labelled gpu=yes"), "{error}");
    let named = json!({ "environment": "big", "environment_labels": { "gpu": "yes" } });
    let error = deploy(&platform, named).await.unwrap_err();
    assert!(error.starts_with("422 invalid | environment_labels"), "{error}");

    let cordoned = patch(&platform, "big", json!({ "cordoned": true })).await.json();
    assert_eq!(cordoned["cordoned"], json!(true));
    assert_eq!(deploy(&platform, json!({})).await, Ok("small".to_owned()));
    let error = deploy(&platform, json!({ "environment": "big" })).await.unwrap_err();
    assert!(error.starts_with("409 conflict | environment | environment `big` is cordoned"), "{error}");
    patch(&platform, "big", json!({ "cordoned": false })).await;
    assert_eq!(deploy(&platform, json!({ "environment": "big" })).await, Ok("big".to_owned()));
    platform.stop().await;
}

#[tokio::test]
async fn a_machine_is_renamed_and_labelled() {
    let platform = Platform::start(nobody()).await;
    host(&platform, "one", 1000).await;
    host(&platform, "two", 1000).await;
    let added = platform.post(PATH, json!({ "name": "auto", "kind": "host" })).await.error();
    assert!(added.starts_with("422 invalid | name | `auto` stands for"), "{added}");
    for (name, body, words) in [
        ("one", json!({ "name": "two" }), "409 conflict | name | an environment `two` exists already"),
        ("one", json!({ "name": "Two" }), "422 invalid | name"),
        ("one", json!({ "name": "auto" }), "422 invalid | name"),
        (
            "local",
            json!({ "name": "here" }),
            "409 conflict | name | `local` is the control plane's own machine",
        ),
        ("one", json!({ "labels": { "region": "fra1" } }), "422 invalid | labels"),
        ("one", json!({ "labels": { "A": "b" } }), "422 invalid | labels"),
        ("one", json!({ "labels": { "a": "" } }), "422 invalid | labels"),
        ("one", json!({ "size": 1 }), "422 invalid | size"),
        ("ona", json!({ "cordoned": true }), "404 not_found"),
    ] {
        let error = patch(&platform, name, body.clone()).await.error();
        assert!(error.starts_with(words), "{name} {body}: {error}");
    }
    let deployed = platform
        .post("/api/v1/instances", json!({ "server": "welcome", "name": "w", "environment": "one" }))
        .await
        .json();
    let renamed = patch(&platform, "one", json!({ "name": "uno" })).await.json();
    assert_eq!(renamed["name"], json!("uno"));
    let seen = platform.get("/api/v1/instances/w").await.json();
    assert_eq!((&seen["environment"], &seen["url"]), (&json!("uno"), &deployed["url"]));
    assert_eq!(platform.get(&format!("{PATH}/one")).await.status, StatusCode::NOT_FOUND);

    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let body = Some(json!({ "cordoned": true }));
    let theirs = platform.send(Some(&stranger), Method::PATCH, &format!("{PATH}/uno"), body).await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    platform.stop().await;
}
