//! `/api/mcp`, as the older MCP client calls it.

use api::users::Role;
use http::Method;
use serde_json::{Value, json};

use crate::platform::{Life, Platform, nobody};

#[tokio::test]
async fn a_server_from_template_to_removal() {
    let platform = Platform::start(nobody()).await;
    let templates = platform.get("/api/mcp/marketplace/templates").await.json();
    let template = templates["data"].as_array().unwrap().iter().find(|one| one["name"] == "time").unwrap();
    assert!(!templates.to_string().contains("docker.io/library/nginx"), "it would take a tool for a server");
    let environment = platform.get("/api/v1/environments/local").await.json();
    let body = json!({
        "templateId": template["id"], "name": "clock", "environmentId": environment["id"],
        "environmentVariables": {"timezone": "Europe/Berlin"}
    });
    let deployed = platform.post("/api/mcp/deploy", body).await;
    assert_eq!(deployed.status, 201, "{deployed:?}");
    let deployed = deployed.json();
    assert_eq!((&deployed["success"], &deployed["error"]), (&json!(true), &Value::Null));
    let id = deployed["data"]["id"].as_str().unwrap().to_owned();
    let status = platform.get(&format!("/api/mcp/deploy/{id}/status")).await.json();
    assert_eq!((&status["data"]["id"], &status["data"]["status"]), (&json!(id), &json!("pending")));

    let server = format!("/api/mcp/servers/{id}");
    let change =
        async |body: Value| platform.send(Some(&platform.owner), Method::PUT, &server, Some(body)).await;
    assert_eq!(change(json!({"is_active": false})).await.json()["data"]["is_active"], false);
    assert_eq!(platform.get("/api/v1/instances/clock").await.json()["desired"], "stopped");
    assert_eq!(change(json!({"is_active": true, "name": "clock"})).await.json()["data"]["is_active"], true);
    for (what, body, field) in [
        ("another name", json!({"name": "other"}), "name"),
        ("a timeout", json!({"timeout_ms": 5000}), "timeout_ms"),
        ("no truth", json!({"is_active": "yes"}), "is_active"),
    ] {
        let answer = change(body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["field"]),
            (422, &json!(field)),
            "{what}: {answer:?}"
        );
        assert_eq!(answer.json()["success"], false, "{what}");
    }
    let names = |servers: Value| {
        let servers = servers["data"].as_array().unwrap().clone();
        servers.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(platform.get("/api/mcp/servers").await.json()), ["clock", "welcome"]);
    let removed = platform.send(Some(&platform.owner), Method::DELETE, &server, None).await;
    assert_eq!((removed.status.as_u16(), &removed.json()["data"]["status"]), (200, &json!("stopping")));
    platform.stop().await;
}

#[tokio::test]
async fn credentials_are_names() {
    let platform = Platform::start(nobody()).await;
    let body = json!({
        "dockerImage": "ghcr.io/owner/mcp:1", "name": "box", "secrets": {"API_KEY": "hunter2"}
    });
    let deployed = platform.post("/api/mcp/deploy", body).await.json();
    assert_eq!(deployed["success"], true, "{deployed}");
    let shown = platform.get("/api/v1/instances/box").await.json();
    assert_eq!(shown["package"], "oci:ghcr.io/owner/mcp:1");
    let credentials = platform.get("/api/mcp/credentials").await.json();
    let expected = json!([{"server_id": shown["id"], "server_name": "box", "name": "API_KEY"}]);
    assert_eq!(credentials["data"], expected);
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be() {
    let platform = Platform::start(nobody()).await;
    let post = |body: Value| (Method::POST, "/api/mcp/deploy".to_owned(), Some(body));
    let get = |path: &str| (Method::GET, path.to_owned(), None);
    let unknown = "/api/mcp/servers/00000000-0000-4000-8000-000000000000";
    for (what, (method, path, body), status, field) in [
        ("an older number", get("/api/mcp/servers/0"), 400, "id"),
        ("a name", get("/api/mcp/deploy/welcome/status"), 400, "id"),
        ("nobody's", get(unknown), 404, ""),
        ("nothing", post(json!({})), 422, "templateId"),
        ("an unknown template", post(json!({"templateId": "nothing"})), 422, "templateId"),
        (
            "a template and an image",
            post(json!({"templateId": "time", "dockerImage": "x"})),
            422,
            "dockerImage",
        ),
        ("no image", post(json!({"dockerImage": "Not An Image"})), 422, "server"),
        (
            "an unknown environment",
            post(json!({"templateId": "welcome", "environmentId": "x"})),
            422,
            "environmentId",
        ),
        ("an unknown field", post(json!({"templateId": "welcome", "colour": "red"})), 422, "colour"),
        ("a name with spaces", post(json!({"templateId": "welcome", "name": "a b"})), 422, "name"),
        ("a name that is taken", post(json!({"templateId": "welcome", "name": "welcome"})), 409, "name"),
    ] {
        let answer = platform.send(Some(&platform.owner), method, &path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert_eq!(answer.json()["field"].as_str().unwrap_or_default(), field, "{what}: {answer:?}");
        assert_eq!(answer.json()["success"], false, "{what}");
    }
    let raw = platform.send_raw("/api/mcp/deploy", "{").await;
    assert_eq!((raw.status.as_u16(), &raw.json()["success"]), (400, &json!(false)));
    platform.stop().await;
}

#[tokio::test]
async fn the_token_of_an_environment_is_shown_and_noted() {
    let platform = Platform::start(nobody()).await;
    let admin = platform.person("default", Role::Admin, Life::Good).await;
    let path = "/api/v1/environments/local/token";
    let answer = platform.send(Some(&admin), Method::POST, path, None).await;
    let expected = json!({"environment": "local", "token": platform.local.dtma_token.expose()});
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
    assert_eq!(answer.headers["cache-control"], "no-store");
    let account = store::accounts::account_by_name(&platform.store, &"default".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let lines = crate::platform::audit_lines(&platform.store, account.id, 100).await.unwrap();
    let noted: Vec<_> = lines.iter().filter(|line| line.action == "environment.token").collect();
    assert_eq!(noted.len(), 1, "{lines:?}");
    assert!(noted[0].actor.starts_with("user:") && noted[0].object_name.as_deref() == Some("local"));
    assert!(!format!("{noted:?}").contains(platform.local.dtma_token.expose()), "the line has no token");
    let answer = platform.send(Some(&admin), Method::POST, "/api/v1/environments/lokal/token", None).await;
    assert!(answer.error().contains("did you mean `local`?"), "{}", answer.error());
    platform.stop().await;
}
