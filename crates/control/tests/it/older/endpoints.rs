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
    let nothing = "00000000-0000-4000-8000-000000000000";
    let brought = || Some(json!({"agentId": nothing, "accountToolInstanceId": nothing}));
    let host = |status| [401, 401, status, 401, 401, 401];
    vec![
        (post.clone(), "/heartbeat", beat(), host(204)),
        (post.clone(), "/functions/v1/heartbeat", beat(), host(204)),
        (post.clone(), "/dtma/heartbeat", beat(), host(204)),
        (post.clone(), "/fetch-tool-secrets", secrets(), host(404)),
        (post.clone(), "/functions/v1/fetch-tool-secrets", secrets(), host(404)),
        (post.clone(), "/get-agent-tool-credentials", brought(), host(404)),
        (post.clone(), "/functions/v1/get-agent-tool-credentials", brought(), host(404)),
        (post.clone(), "/dtma/get-agent-tool-credentials", brought(), host(404)),
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
    ]
    .into_iter()
    .chain(functions())
    // The last, since nothing is left of it.
    .chain([(delete, "/api/mcp/servers/{id}", None, [401, 401, 401, 404, 403, 200])])
    .collect()
}

/// What the older front end calls. The stranger is an admin, of another account.
fn functions() -> Vec<Row> {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let user = |others, viewer, member| [401, 401, 401, others, viewer, member];
    let toolboxes = "/functions/v1/toolboxes-user";
    let toolbox = "/functions/v1/toolboxes-user/{toolbox}";
    let tools = "/functions/v1/toolbox-tools/{toolbox}/tools";
    let tool = "/functions/v1/toolbox-tools/{toolbox}/tools/{tool}";
    let templates = "/functions/v1/mcp-template-manager";
    let order = json!({"name": "far", "regionSlug": "fra1", "sizeSlug": "s-1vcpu-1gb"});
    let stop = json!({"toolboxId": "{toolbox}", "action": "stop", "instanceId": "{tool}"});
    let deploy = json!({"toolCatalogId": "00000000-0000-0000-0000-000000000001", "instanceNameOnToolbox": "Box One",
        "baseConfigOverrideJson": {"dockerImage": "ghcr.io/owner/mcp:1"}});
    let template = json!({"name": "notes", "displayName": "Notes", "description": "Notes.", "category": "productivity",
        "dockerImage": "ghcr.io/owner/notes:1", "resourceHint": "light"});
    vec![
        (get.clone(), toolboxes, None, user(200, 200, 200)),
        (post.clone(), toolboxes, Some(order), user(503, 403, 403)),
        (get.clone(), toolbox, None, user(404, 200, 200)),
        (
            post.clone(),
            "/functions/v1/toolboxes-user/{toolbox}/refresh-status",
            Some(json!({})),
            // Its host is away.
            user(404, 503, 503),
        ),
        (get.clone(), "/functions/v1/toolbox-tools?toolboxId={toolbox}", None, user(404, 200, 200)),
        (post.clone(), "/functions/v1/toolbox-tools", Some(stop), user(404, 403, 200)),
        (get.clone(), tools, None, user(404, 200, 200)),
        (post.clone(), tools, Some(deploy), user(404, 403, 201)),
        (get.clone(), tool, None, user(404, 200, 200)),
        (
            post.clone(),
            "/functions/v1/toolbox-tools/{toolbox}/tools/{tool}/{action}",
            None,
            user(404, 403, 200),
        ),
        (delete.clone(), tool, None, user(404, 403, 200)),
        (
            post.clone(),
            "/functions/v1/toolbox-dtma-console",
            Some(json!({"toolboxId": "{toolbox}", "action": "restart"})),
            user(404, 403, 403),
        ),
        (get.clone(), "/functions/v1/digitalocean-options/regions", None, user(503, 403, 403)),
        (get.clone(), "/functions/v1/digitalocean-options/sizes", None, user(503, 403, 403)),
        (get, templates, None, user(200, 200, 200)),
        (post, templates, Some(template), user(403, 403, 403)),
        (
            put,
            "/functions/v1/mcp-template-manager/{template}",
            Some(json!({"description": "Other."})),
            user(403, 403, 403),
        ),
        (delete.clone(), "/functions/v1/mcp-template-manager/{template}", None, user(403, 403, 403)),
        (delete, toolbox, None, user(404, 403, 403)),
    ]
    .into_iter()
    .chain(agents())
    .collect()
}

/// What agents have. The agent, and the item in its toolbelt, are the member's.
fn agents() -> Vec<Row> {
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let user = |others, viewer, member| [401, 401, 401, others, viewer, member];
    let accesses = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/toolbox-access";
    let items = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items";
    let credentials = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}/credentials";
    let permissions = "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}/permissions";
    let whole = json!({"agentId": "{agent}", "serverInstanceId": "{id}", "permissionScope": "read_only"});
    let deploy = json!({"agentId": "{agent}", "serverConfig": {
        "dockerImageUrl": "ghcr.io/owner/mcp:1", "instanceNameOnToolbox": "Managed One"}});
    vec![
        (get.clone(), accesses, None, user(404, 200, 200)),
        (
            post.clone(),
            accesses,
            Some(json!({"account_tool_environment_id": "{toolbox}"})),
            user(404, 403, 201),
        ),
        (get.clone(), items, None, user(404, 200, 200)),
        (post.clone(), items, Some(json!({"account_tool_instance_id": "{second}"})), user(404, 403, 201)),
        (get.clone(), credentials, None, user(404, 200, 200)),
        (
            post.clone(),
            credentials,
            Some(json!({"credential_type": "api_key", "credential_value": "x"})),
            user(404, 403, 201),
        ),
        (
            delete.clone(),
            "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}/credentials/{credential}",
            None,
            user(404, 403, 200),
        ),
        (get.clone(), permissions, None, user(404, 200, 200)),
        (
            post.clone(),
            permissions,
            Some(json!({"capability_name": "echo", "is_permitted": true})),
            user(404, 403, 201),
        ),
        (
            delete.clone(),
            "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/items/{item}",
            None,
            user(404, 403, 200),
        ),
        (
            delete.clone(),
            "/functions/v1/agent-toolbelt/agents/{agent}/toolbelt/toolbox-access/{access}",
            None,
            user(404, 403, 200),
        ),
        (post.clone(), "/functions/v1/mcp-server-manager/deploy", Some(deploy), user(404, 403, 200)),
        (get, "/functions/v1/mcp-server-manager/status", None, user(200, 200, 200)),
        (
            post.clone(),
            "/functions/v1/mcp-server-manager/permissions/grant",
            Some(whole.clone()),
            user(404, 403, 200),
        ),
        (post, "/functions/v1/mcp-server-manager/permissions/revoke", Some(whole), user(404, 403, 200)),
        (delete, "/functions/v1/mcp-server-manager/remove/{id}", None, user(404, 403, 200)),
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
    let other =
        platform.post("/api/v1/instances", json!({"server": "welcome", "name": "other"})).await.json();
    let local = platform.get("/api/v1/environments/local").await.json();
    let id_of = |one: &Value| one["id"].as_str().unwrap().to_owned();
    let entry = welcome["catalog_entry"].as_str().unwrap();
    let as_member = async |path: &str, body: Value| {
        platform.send(Some(&member), Method::POST, path, Some(body)).await.json()
    };
    let agent = id_of(&as_member("/api/v1/agents", json!({"name": "helper"})).await);
    let belt = format!("/functions/v1/agent-toolbelt/agents/{agent}/toolbelt");
    let to_local = json!({"account_tool_environment_id": id_of(&local)});
    let access = as_member(&format!("{belt}/toolbox-access"), to_local).await;
    let to_welcome = json!({"account_tool_instance_id": id});
    let item = id_of(&as_member(&format!("{belt}/items"), to_welcome).await);
    let second = as_member("/api/v1/instances", json!({"server": "welcome", "name": "second"})).await;
    let brought = json!({"credential_type": "api_key", "credential_value": "first"});
    let credential = as_member(&format!("{belt}/items/{item}/credentials"), brought).await;
    let words = [
        ("{agent}", agent),
        ("{access}", id_of(&access)),
        ("{item}", item),
        ("{second}", id_of(&second)),
        ("{credential}", id_of(&credential)),
        ("{id}", id.to_owned()),
        ("{toolbox}", id_of(&local)),
        ("{tool}", id_of(&other)),
        ("{template}", entry.to_owned()),
        ("{action}", "start".to_owned()),
    ];
    let filled = |text: &str| words.iter().fold(text.to_owned(), |text, (word, by)| text.replace(word, by));
    for (method, path, body, expected) in table() {
        for ((who, token), status) in callers.iter().zip(expected) {
            let body = body.as_ref().map(|body| serde_json::from_str(&filled(&body.to_string())).unwrap());
            let answer = platform.send(*token, method.clone(), &filled(path), body).await;
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
        control::older_paths().into_iter().map(|(method, path)| (method.to_owned(), path)).collect();
    let path_of = |asked: &'static str| asked.split('?').next().unwrap_or(asked);
    let tested: BTreeSet<(String, &str)> =
        table().into_iter().map(|(method, asked, ..)| (method.to_string(), path_of(asked))).collect();
    assert_eq!(served, tested);
}

#[test]
fn every_function_is_in_the_document() {
    let document = include_str!("../../../../../docs/older-platform.md");
    let functions =
        control::older_paths().into_iter().filter_map(|(_, path)| path.strip_prefix("/functions/v1/"));
    for function in functions.filter_map(|path| path.split('/').next()) {
        assert!(document.contains(&format!("`{function}`")), "{function}");
    }
}
