//! Every older path as everybody: one table, compared with what is served.

use std::collections::BTreeSet;

use api::users::Role;
use http::Method;
use serde_json::{Value, json};

use crate::platform::{Life, Platform, nobody};

/// Method, path as it is served, body; what nobody, an expired token, a DTMA, another account's owner, a viewer and a
/// member get.
type Row = (Method, &'static str, Option<Value>, [u16; 6]);

fn table() -> Vec<Row> {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let beat = || Some(json!({"dtma_version": "0.1.0", "system_status": {}, "tool_statuses": []}));
    let secrets = || Some(json!({"tool_instance_db_id": "00000000-0000-4000-8000-000000000000"}));
    let host = |status| [401, 401, status, 401, 401, 401];
    vec![
        (post.clone(), "/heartbeat", beat(), host(204)),
        (post.clone(), "/functions/v1/heartbeat", beat(), host(204)),
        (post.clone(), "/dtma/heartbeat", beat(), host(204)),
        (post.clone(), "/fetch-tool-secrets", secrets(), host(404)),
        (post.clone(), "/functions/v1/fetch-tool-secrets", secrets(), host(404)),
        (get.clone(), "/api/mcp/servers", None, [401, 401, 401, 200, 200, 200]),
        (get.clone(), "/api/mcp/servers/{id}", None, [401, 401, 401, 404, 200, 200]),
        (put, "/api/mcp/servers/{id}", Some(json!({"is_active": true})), [401, 401, 401, 404, 403, 200]),
        (get.clone(), "/api/mcp/marketplace/templates", None, [401, 401, 401, 200, 200, 200]),
        (
            post,
            "/api/mcp/deploy",
            Some(json!({"templateId": "welcome"})),
            // The stranger's account has no environment.
            [401, 401, 401, 422, 403, 201],
        ),
        (get.clone(), "/api/mcp/deploy/{id}/status", None, [401, 401, 401, 404, 200, 200]),
        (get, "/api/mcp/credentials", None, [401, 401, 401, 200, 200, 200]),
        (delete, "/api/mcp/servers/{id}", None, [401, 401, 401, 404, 403, 200]),
    ]
}

#[tokio::test]
async fn every_older_path_as_everybody() {
    // The host is away, so that nothing changes while the table runs.
    let platform = Platform::start(nobody()).await;
    let expired = platform.person("default", Role::Owner, Life::Expired).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let member = platform.person("default", Role::Member, Life::Good).await;
    let dtma = platform.local.dtma_token.expose();
    let callers: [(&str, Option<&str>); 6] = [
        ("nobody", None),
        ("expired", Some(&expired)),
        ("a DTMA", Some(dtma)),
        ("a stranger", Some(&stranger)),
        ("a viewer", Some(&viewer)),
        ("a member", Some(&member)),
    ];
    let welcome = platform.get("/api/v1/instances/welcome").await.json();
    let id = welcome["id"].as_str().unwrap();
    for (method, path, body, expected) in table() {
        for ((who, token), status) in callers.iter().zip(expected) {
            let asked = path.replace("{id}", id);
            let answer = platform.send(*token, method.clone(), &asked, body.clone()).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path} as {who}: {answer:?}");
            let challenged = answer.headers.contains_key("www-authenticate");
            assert_eq!(challenged, status == 401, "{method} {path} as {who}");
            if 400 <= status {
                assert!(answer.json()["error"].is_string(), "{method} {path} as {who}: {answer:?}");
            }
        }
    }
    platform.stop().await;
}

#[test]
fn the_table_has_every_path_that_is_served() {
    let served: BTreeSet<(String, &str)> =
        control::older_paths().iter().map(|(method, path)| ((*method).to_owned(), *path)).collect();
    let tested: BTreeSet<(String, &str)> =
        table().into_iter().map(|(method, path, ..)| (method.to_string(), path)).collect();
    assert_eq!(served, tested);
}
