//! `agent-toolbelt`, `mcp-server-manager` and `get-agent-tool-credentials`: what agents have and may, item by item and as a whole.

use http::Method;
use serde_json::{Value, json};

use super::supabase::{User, platform};

const NOTHING: &str = "00000000-0000-4000-8000-000000000000";

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}")).to_owned()
}

impl User<'_> {
    /// An agent of theirs.
    async fn agent(&self, name: &str) -> String {
        id_of(&self.post(201, "/api/v1/agents", json!({ "name": name })).await)
    }

    /// A server of theirs, from an image.
    async fn server(&self, environment: &str, name: &str) -> String {
        let body = json!({ "server": "oci:ghcr.io/owner/mcp:1", "name": name, "environment": environment });
        id_of(&self.post(201, "/api/v1/instances", body).await)
    }
}

#[tokio::test]
async fn what_an_agent_has_item_by_item() {
    let platform = platform(|_| {}).await;
    let (ada, bob) = (User::new(&platform, "ada"), User::new(&platform, "bob"));
    let (toolbox, agent) = (ada.host("far").await, ada.agent("helper").await);
    let server = ada.server("far", "box").await;
    let belt = format!("agent-toolbelt/agents/{agent}/toolbelt");
    let (accesses, items) = (format!("{belt}/toolbox-access"), format!("{belt}/items"));
    assert_eq!(ada.get(&accesses).await, json!([]));

    // Nothing of a toolbox without access to it.
    let add = json!({ "account_tool_instance_id": server });
    let refused = ada.refusal(Method::POST, &items, Some(add.clone())).await;
    assert!(refused.starts_with("403 | instance | the agent `helper` has no access"), "{refused}");
    let grant = json!({ "account_tool_environment_id": toolbox });
    let access = ada.post(201, &accesses, grant.clone()).await;
    let expected = json!({ "id": toolbox, "name": "far", "status": "awaiting_heartbeat" });
    assert_eq!(access["account_tool_environments"], expected, "{access}");
    assert_eq!(
        (&access["agent_id"], &access["account_tool_environment_id"]),
        (&json!(agent), &json!(toolbox))
    );
    assert_eq!(ada.get(&accesses).await, json!([access]));
    assert_eq!(ada.post(201, &accesses, grant.clone()).await, access, "again is no error");

    let item = ada.post(201, &items, add.clone()).await;
    for (column, value) in [
        ("agent_id", json!(agent)),
        ("account_tool_instance_id", json!(server)),
        ("is_active_for_agent", json!(true)),
    ] {
        assert_eq!(item[column], value, "{column} of {item}");
    }
    assert_eq!(ada.get(&items).await, json!([item]));
    let twice = ada.refusal(Method::POST, &items, Some(add.clone())).await;
    assert!(twice.starts_with("409"), "{twice}");
    let one = format!("{items}/{}", id_of(&item));

    // Permissions: what no row allows is denied, and each tool has one row.
    let permissions = format!("{one}/permissions");
    let said = |is: bool| json!({ "capability_name": "echo", "is_permitted": is });
    let allowed = ada.post(201, &permissions, said(true)).await;
    assert_eq!((&allowed["capability_name"], &allowed["is_allowed"]), (&json!("echo"), &json!(true)));
    assert_eq!(allowed["agent_toolbelt_item_id"], item["id"]);
    let denied = ada.post(201, &permissions, said(false)).await;
    assert_eq!((&denied["id"], &denied["is_allowed"]), (&allowed["id"], &json!(false)));
    assert_eq!(ada.get(&permissions).await, json!([denied]));

    // What it brings is kept and never shown.
    let credentials = format!("{one}/credentials");
    let bring = json!({
        "credential_type": "api_key", "credential_value": "hunter2", "metadata": {"account_identifier": "ada@x"},
    });
    let kept = ada.post(201, &credentials, bring.clone()).await;
    assert_eq!((&kept["status"], &kept["account_identifier"]), (&json!("active"), &json!("ada@x")));
    let listed = ada.get(&credentials).await;
    assert_eq!(listed, json!([kept]));
    assert!(!format!("{kept}{listed}").contains("hunter2"));

    // Somebody else finds none of it, and changes nothing.
    let credential = format!("{credentials}/{}", id_of(&kept));
    for (method, path, body) in [
        (Method::GET, accesses.clone(), None),
        (Method::POST, accesses.clone(), Some(grant.clone())),
        (Method::DELETE, format!("{accesses}/{}", id_of(&access)), None),
        (Method::GET, items.clone(), None),
        (Method::POST, items.clone(), Some(add.clone())),
        (Method::DELETE, one.clone(), None),
        (Method::GET, permissions.clone(), None),
        (Method::POST, permissions.clone(), Some(said(true))),
        (Method::GET, credentials.clone(), None),
        (Method::POST, credentials.clone(), Some(bring)),
        (Method::DELETE, credential.clone(), None),
    ] {
        let refused = bob.refusal(method.clone(), &path, body).await;
        assert!(refused.starts_with("404"), "{method} {path}: {refused}");
    }
    // Nor does an agent of theirs get at it.
    let theirs = format!("agent-toolbelt/agents/{}/toolbelt", bob.agent("helper").await);
    let refused = bob.refusal(Method::POST, &format!("{theirs}/toolbox-access"), Some(grant)).await;
    assert!(refused.starts_with("404 | - | there is no toolbox"), "{refused}");
    let refused = bob.refusal(Method::POST, &format!("{theirs}/items"), Some(add)).await;
    assert!(refused.starts_with("404"), "{refused}");
    let other = format!("{theirs}/items/{}", id_of(&item));
    for path in [other.clone(), format!("{other}/credentials/{}", id_of(&kept))] {
        let refused = bob.refusal(Method::DELETE, &path, None).await;
        assert!(refused.starts_with("404"), "{path}: {refused}");
    }

    assert_eq!(ada.expect(200, Method::DELETE, &credential, None).await["id"], kept["id"]);
    assert_eq!(ada.get(&credentials).await, json!([]));
    // Without access to its toolbox an item is not active; then it goes.
    let revoke = format!("{accesses}/{}", id_of(&access));
    assert_eq!(ada.expect(200, Method::DELETE, &revoke, None).await["id"], access["id"]);
    assert_eq!(ada.get(&items).await[0]["is_active_for_agent"], false);
    assert_eq!(ada.expect(200, Method::DELETE, &one, None).await["id"], item["id"]);
    assert_eq!(ada.get(&items).await, json!([]));
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_in_a_toolbelt() {
    let platform = platform(|_| {}).await;
    let ada = User::new(&platform, "ada");
    let (toolbox, agent) = (ada.host("far").await, ada.agent("helper").await);
    let server = ada.server("far", "box").await;
    let belt = format!("agent-toolbelt/agents/{agent}/toolbelt");
    let (accesses, items) = (format!("{belt}/toolbox-access"), format!("{belt}/items"));
    ada.post(201, &accesses, json!({ "account_tool_environment_id": toolbox })).await;
    let item = ada.post(201, &items, json!({ "account_tool_instance_id": server })).await;
    let one = format!("{items}/{}", id_of(&item));
    let (credentials, permissions) = (format!("{one}/credentials"), format!("{one}/permissions"));
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), Some(body));
    for (what, (method, path, body), words) in [
        ("no agent", (Method::GET, format!("agent-toolbelt/agents/{NOTHING}/toolbelt/items"), None), "404"),
        (
            "no path",
            (Method::GET, format!("agent-toolbelt/agents/{agent}"), None),
            "404 | - | there is no function",
        ),
        ("no toolbox", post(&accesses, json!({})), "422 | account_tool_environment_id"),
        ("a word", post(&accesses, json!({"account_tool_environment_id": "far"})), "400 | id"),
        ("an unknown one", post(&accesses, json!({"account_tool_environment_id": NOTHING})), "404"),
        ("no instance", post(&items, json!({})), "422 | account_tool_instance_id"),
        ("a word", post(&items, json!({"account_tool_instance_id": "box"})), "400 | id"),
        (
            "an unknown item",
            (Method::DELETE, format!("{items}/{NOTHING}"), None),
            "404 | - | there is no item",
        ),
        ("an unknown access", (Method::DELETE, format!("{accesses}/{NOTHING}"), None), "404"),
        ("no kind", post(&credentials, json!({"credential_value": "x"})), "422 | credential_type"),
        ("no value", post(&credentials, json!({"credential_type": "x"})), "422 | credential_value"),
        (
            "a number",
            post(&credentials, json!({"credential_type": "x", "credential_value": 7})),
            "422 | credential_value",
        ),
        (
            "another status",
            post(&credentials, json!({"credential_type": "x", "credential_value": "y", "status": "good"})),
            "422 | status | `good` is no status",
        ),
        ("no tool", post(&permissions, json!({"is_permitted": true})), "422 | capability_name"),
        (
            "no truth",
            post(&permissions, json!({"capability_name": "echo", "is_permitted": "yes"})),
            "422 | is_permitted",
        ),
        (
            "an empty tool",
            post(&permissions, json!({"capability_name": "", "is_permitted": true})),
            "422 | tool",
        ),
    ] {
        let refused = ada.refusal(method.clone(), &path, body).await;
        assert!(refused.starts_with(words), "{what}: {method} {path}: {refused}");
    }
    assert_eq!(ada.get(&credentials).await, json!([]));
    assert_eq!(ada.get(&permissions).await, json!([]));
    platform.stop().await;
}

#[tokio::test]
async fn servers_as_a_whole() {
    let platform = platform(|_| {}).await;
    let (ada, bob) = (User::new(&platform, "ada"), User::new(&platform, "bob"));
    ada.host("near").await;
    let (toolbox, agent) = (ada.host("far").await, ada.agent("helper").await);
    let belt = format!("agent-toolbelt/agents/{agent}/toolbelt");
    let grant = json!({ "account_tool_environment_id": toolbox });
    ada.post(201, &format!("{belt}/toolbox-access"), grant).await;

    // It goes to the one toolbox that the agent has.
    let deploy = json!({
        "agentId": agent, "grantAccess": true, "permissionScope": "read_only",
        "serverConfig": {
            "dockerImageUrl": "ghcr.io/owner/github:1", "instanceNameOnToolbox": "GitHub MCP 1", "mcpServerType": "github",
            "mcpEndpointPath": "/sse", "mcpTransportType": "sse", "portBindings": {"3000": "3000"},
            "environmentVariables": {"GITHUB_TOKEN": "hunter2"}, "resourceLimits": {"memory": "512m", "cpu": 0.5},
        },
    });
    let made = ada.post(200, "mcp-server-manager/deploy", deploy.clone()).await;
    assert_eq!((&made["success"], &made["data"]["accessGranted"]), (&json!(true), &json!(true)), "{made}");
    let id = made["data"]["instanceId"].as_str().unwrap().to_owned();
    let instance = ada.get("/api/v1/instances/github-mcp-1").await;
    assert_eq!((&instance["id"], &instance["environment"]), (&json!(id), &json!("far")));
    assert_eq!(instance["secret_names"], json!(["GITHUB_TOKEN"]));

    let status = ada.get(&format!("mcp-server-manager/status?agentId={agent}")).await;
    let server = &status["data"]["servers"][0];
    for (column, value) in [
        ("id", json!(id)),
        ("docker_image_url", json!("ghcr.io/owner/github:1")),
        ("mcp_transport_type", json!("sse")),
        ("is_active", json!(true)),
        ("deployment_status", json!("pending")),
    ] {
        assert_eq!(server[column], value, "{column} of {server}");
    }
    let access = &server["agent_mcp_server_access"][0];
    assert_eq!((&access["agent_id"], &access["permission_scope"]), (&json!(agent), &json!("read_only")));
    assert_eq!(status["data"]["dtmaStatus"]["summary"]["totalServers"], 1);
    let items = ada.get(&format!("{belt}/items")).await;
    assert_eq!(items[0]["account_tool_instance_id"], json!(id));

    let permission =
        |scope: &str| json!({"agentId": agent, "serverInstanceId": id, "permissionScope": scope});
    let scope_now = async || {
        let status = ada.get(&format!("mcp-server-manager/status?agentId={agent}")).await;
        status["data"]["servers"][0]["agent_mcp_server_access"][0]["permission_scope"].clone()
    };
    ada.post(200, "mcp-server-manager/permissions/grant", permission("full_access")).await;
    assert_eq!(scope_now().await, "full_access");
    let mut custom = permission("custom");
    custom["allowedTools"] = json!(["echo"]);
    ada.post(200, "mcp-server-manager/permissions/grant", custom).await;
    assert_eq!(scope_now().await, "custom");

    for (method, path, body) in [
        (Method::POST, "mcp-server-manager/deploy".to_owned(), Some(deploy.clone())),
        (Method::DELETE, format!("mcp-server-manager/remove/{id}"), None),
        (Method::GET, format!("mcp-server-manager/status?agentId={agent}"), None),
        (Method::POST, "mcp-server-manager/permissions/grant".to_owned(), Some(permission("full_access"))),
        (Method::POST, "mcp-server-manager/permissions/revoke".to_owned(), Some(permission("full_access"))),
    ] {
        let refused = bob.refusal(method.clone(), &path, body).await;
        assert!(refused.starts_with("404"), "{method} {path}: {refused}");
    }
    assert_eq!(bob.get("mcp-server-manager/status").await["data"]["servers"], json!([]));
    assert_eq!(scope_now().await, "custom", "nobody else changed it");

    ada.post(200, "mcp-server-manager/permissions/revoke", permission("custom")).await;
    let none = ada.get(&format!("mcp-server-manager/status?agentId={agent}")).await;
    assert_eq!(none["data"]["servers"], json!([]), "{none}");
    let again =
        ada.refusal(Method::POST, "mcp-server-manager/permissions/revoke", Some(permission("custom"))).await;
    assert!(again.starts_with("404"), "{again}");

    let config = |field: &str, value: Value| {
        let mut body = deploy.clone();
        body["serverConfig"][field] = value;
        body
    };
    let with = |field: &str, value: Value| {
        let mut body = deploy.clone();
        body[field] = value;
        body
    };
    for (body, words) in [
        (config("mcpTransportType", json!("websocket")), "422 | serverConfig.mcpTransportType"),
        (config("portBindings", json!({"http": "x"})), "422 | serverConfig.portBindings"),
        (config("dockerImageUrl", json!("Not An Image")), "422 | server"),
        (config("resourceLimits", json!({"memory": "much"})), "422 | serverConfig.resourceLimits.memory"),
        (config("resourceLimits", json!({"cpu": -1})), "422 | serverConfig.resourceLimits.cpu"),
        (config("environmentVariables", json!({"A": []})), "422 | serverConfig.environmentVariables.A"),
        (with("permissionScope", json!("root")), "422 | permissionScope"),
        (with("agentId", json!(NOTHING)), "404"),
        (with("toolboxId", json!(NOTHING)), "404"),
        (with("colour", json!("red")), "422 | colour"),
        (deploy.clone(), "409 | name"),
    ] {
        let refused = ada.refusal(Method::POST, "mcp-server-manager/deploy", Some(body.clone())).await;
        assert!(refused.starts_with(words), "{body}: {refused}");
    }
    let gone = ada
        .expect(200, Method::DELETE, &format!("mcp-server-manager/remove/{id}?agentId={agent}"), None)
        .await;
    assert_eq!(gone["data"]["status_on_toolbox"], "deleting");
    platform.stop().await;
}

#[tokio::test]
async fn a_host_fetches_what_agents_bring_to_its_own_instances() {
    let platform = platform(|_| {}).await;
    let ada = User::new(&platform, "ada");
    let (toolbox, agent) = (ada.host("far").await, ada.agent("helper").await);
    ada.host("near").await;
    let (server, elsewhere) = (ada.server("far", "box").await, ada.server("near", "other").await);
    let token = |of: Value| of["token"].as_str().unwrap().to_owned();
    let far = token(ada.post(200, "/api/v1/environments/far/token", json!({})).await);
    let near = token(ada.post(200, "/api/v1/environments/near/token", json!({})).await);
    let belt = format!("agent-toolbelt/agents/{agent}/toolbelt");
    ada.post(201, &format!("{belt}/toolbox-access"), json!({ "account_tool_environment_id": toolbox })).await;
    let item = ada.post(201, &format!("{belt}/items"), json!({ "account_tool_instance_id": server })).await;
    let credentials = format!("{belt}/items/{}/credentials", id_of(&item));
    let bring = json!({ "credential_type": "api_key", "credential_value": "hunter2" });
    ada.post(201, &credentials, bring).await;
    let revoked = json!({
        "credential_type": "oauth2", "credential_value": {"OLD_TOKEN": "gone"}, "status": "revoked",
    });
    ada.post(201, &credentials, revoked).await;

    let ask = async |token: &str, agent: &str, server: &str, path: &str| {
        let body = json!({ "agentId": agent, "accountToolInstanceId": server });
        let answer = platform.send(Some(token), Method::POST, path, Some(body)).await;
        (answer.status.as_u16(), answer.json())
    };
    let path = "/functions/v1/get-agent-tool-credentials";
    for path in [path, "/get-agent-tool-credentials", "/dtma/get-agent-tool-credentials"] {
        let expected = (200, json!({ "secrets": { "API_KEY": "hunter2" } }));
        assert_eq!(ask(&far, &agent, &server, path).await, expected, "{path}");
    }
    let bob = User::new(&platform, "bob");
    let theirs = bob.agent("helper").await;
    for (what, token, agent, server, status) in [
        ("another host", &near, agent.as_str(), server.as_str(), 404),
        ("another host's instance", &far, &agent, &elsewhere, 404),
        ("an instance of its own that no agent has", &near, &agent, &elsewhere, 404),
        ("another account's agent", &far, &theirs, &server, 404),
        ("no agent", &far, NOTHING, &server, 404),
        ("no id", &far, "helper", &server, 400),
        ("a user", &ada.token, &agent, &server, 401),
    ] {
        let (found, body) = ask(token, agent, server, path).await;
        assert_eq!(found, status, "{what}: {body}");
        assert!(body["error"].is_string() && !body.to_string().contains("hunter2"), "{what}: {body}");
    }
    // Of an item that is not active nothing is handed out.
    let access = ada.get(&format!("{belt}/toolbox-access")).await;
    let revoke = format!("{belt}/toolbox-access/{}", id_of(&access[0]));
    ada.expect(200, Method::DELETE, &revoke, None).await;
    assert_eq!(ask(&far, &agent, &server, path).await.0, 404);
    platform.stop().await;
}
