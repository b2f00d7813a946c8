//! Every older path with no token, wrong tokens, the right one, and the backend's shared key.

use std::collections::BTreeSet;

use domain::secret::Secret;
use serde_json::{Value, json};

use super::{ask, server};
use crate::host::{Host, TOKEN};

const BACKEND_KEY: &str = "the-key-of-the-older-backend";

/// Method, path as it is served, path asked, body, status with the right token. No instance exists.
fn table() -> Vec<(&'static str, &'static str, &'static str, Option<Value>, u16)> {
    let body = |value: Value| Some(value);
    vec![
        ("GET", "/status", "/status", None, 200),
        ("GET", "/system", "/system", None, 200),
        ("GET", "/logs", "/logs?lines=5", None, 200),
        ("POST", "/redeploy", "/redeploy", None, 200),
        ("POST", "/ssh/execute", "/ssh/execute", body(json!({"command": "id"})), 403),
        ("GET", "/diagnostics/docker", "/diagnostics/docker", None, 200),
        ("GET", "/diagnostics/system", "/diagnostics/system", None, 200),
        ("GET", "/diagnostics/logs", "/diagnostics/logs?lines=5", None, 200),
        ("GET", "/tools", "/tools", None, 200),
        ("POST", "/tools", "/tools", body(json!({})), 400),
        ("GET", "/tools/status", "/tools/status", None, 200),
        ("DELETE", "/tools/{name}", "/tools/none", None, 404),
        ("POST", "/tools/{name}/start", "/tools/none/start", None, 404),
        ("POST", "/tools/{name}/stop", "/tools/none/stop", None, 404),
        ("POST", "/tools/{name}/execute", "/tools/none/execute", body(json!({})), 404),
        ("POST", "/tools/install", "/tools/install", body(json!({"image_name": "redis:7"})), 200),
        ("POST", "/tools/start", "/tools/start", body(json!({})), 400),
        ("POST", "/tools/stop", "/tools/stop", body(json!({"container_id_or_name": "none"})), 404),
        (
            "DELETE",
            "/tools/uninstall",
            "/tools/uninstall",
            body(json!({"container_id_or_name": "none"})),
            404,
        ),
        ("POST", "/mcp/groups", "/mcp/groups", body(json!({"groupId": "g"})), 400),
        ("DELETE", "/mcp/groups/{group}", "/mcp/groups/none", None, 404),
        ("GET", "/mcp/status", "/mcp/status", None, 200),
        ("GET", "/mcp/health/{group}", "/mcp/health/none", None, 404),
        ("POST", "/mcp/servers/{name}/restart", "/mcp/servers/none/restart", None, 404),
        ("GET", "/mcp/servers/{name}/logs", "/mcp/servers/none/logs", None, 404),
        ("POST", "/mcp/credentials/refresh/{name}", "/mcp/credentials/refresh/none", None, 404),
        ("GET", "/mcp/templates", "/mcp/templates", None, 200),
        ("POST", "/mcp/validate", "/mcp/validate", body(json!({"servers": [server("a", 1)]})), 200),
        // The last row ends the DTMA.
        ("POST", "/restart", "/restart", None, 200),
    ]
}

#[test]
fn the_table_has_every_path_that_is_served() {
    let served: BTreeSet<_> = dtma::older_paths().iter().copied().collect();
    let tested: BTreeSet<_> = table().into_iter().map(|(method, path, ..)| (method, path)).collect();
    assert_eq!(served, tested);
}

#[tokio::test]
async fn every_older_path_asks_for_the_token() {
    let mut host = Host::start().await;
    let nowhere = [
        ("GET", "", "/tools/none", None, 404),
        ("PUT", "", "/tools", None, 404),
        ("GET", "", "/mcp/nothing", None, 404),
        ("GET", "", "/ssh", None, 404),
    ];
    let rows: Vec<_> = nowhere.into_iter().chain(table()).collect();
    for (method, _, path, body, _) in &rows {
        for (what, header, status) in [
            ("no token", None, 401),
            ("an empty one", Some("Bearer ".to_owned()), 401),
            ("another", Some("Bearer berth_dtma_wrong".to_owned()), 403),
            ("a longer one", Some(format!("Bearer {TOKEN}x")), 403),
            ("the key that is switched off", Some(format!("Bearer {BACKEND_KEY}")), 403),
            ("no scheme", Some(TOKEN.to_owned()), 401),
            ("another scheme", Some(format!("Basic {TOKEN}")), 401),
        ] {
            let mut request = host.stranger(method, path);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{method} {path} with {what}");
            assert!(response.headers().contains_key("www-authenticate"), "{method} {path} with {what}");
            let body: Value = response.json().await.unwrap();
            let error = if status == 401 { "Unauthorized: " } else { "Forbidden: Invalid token" };
            assert!(body["error"].as_str().unwrap().starts_with(error), "{body}");
        }
    }
    for (method, _, path, body, status) in rows {
        let answer = ask(&host, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if 400 <= status {
            assert!(!answer.error().is_empty(), "{method} {path}: {answer:?}");
        }
    }
    host.ended().await;
}

#[tokio::test]
async fn the_backends_key_opens_the_older_paths_alone() {
    let mut host = Host::new();
    host.backend_key = Some(Secret::new(BACKEND_KEY));
    host.up().await;
    for (path, status) in [
        ("/status", 200),
        ("/tools/status", 200),
        ("/mcp/status", 200),
        ("/mcp/nothing", 404),
        ("/v1/info", 401),
        ("/v1/instances", 401),
        ("/metrics", 401),
        ("/nothing", 401),
    ] {
        let response = host.stranger("GET", path).bearer_auth(BACKEND_KEY).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    for wrong in ["y", "the-key-of-the-older-backen", "x"] {
        let response = host.stranger("GET", "/status").bearer_auth(wrong).send().await.unwrap();
        assert_eq!(response.status(), 403, "`{wrong}`");
    }
    let status: Value = host.request("GET", "/status").send().await.unwrap().json().await.unwrap();
    assert_eq!(status["environment"]["hasApiKey"], true);
}
