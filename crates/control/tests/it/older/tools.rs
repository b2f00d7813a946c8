//! `toolbox-tools` in its three generations: the same instance, told apart by path and body.

use http::Method;
use serde_json::{Value, json};

use super::supabase::{User, platform};

const GENERIC: &str = "00000000-0000-0000-0000-000000000001";

/// The template that a name has, by its id.
async fn template(user: &User<'_>, name: &str) -> String {
    let all = user.get("mcp-template-manager").await;
    let found = all["data"].as_array().unwrap().iter().find(|one| one["tool_name"] == name).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_instance_in_all_three_generations() {
    let platform = platform(|_| {}).await;
    let (ada, bob) = (User::new(&platform, "ada"), User::new(&platform, "bob"));
    let toolbox = ada.host("far").await;
    let tools = format!("toolbox-tools/{toolbox}/tools");
    let time = template(&ada, "time").await;
    let deploy = json!({
        "toolCatalogId": time, "instanceNameOnToolbox": "Time Server_1",
        "baseConfigOverrideJson": {
            "Env": ["timezone=Europe/Berlin"],
            "HostConfig": {"Memory": 268_435_456, "PortBindings": {"8080/tcp": [{"HostPort": "30000"}]}},
        },
    });
    let made = ada.post(201, &tools, deploy).await;
    let id = made["id"].as_str().unwrap().to_owned();
    for (column, value) in [
        // The first generation reads the row, the second what is beside it.
        ("account_tool_environment_id", json!(toolbox)),
        ("tool_catalog_id", json!(time)),
        ("status_on_toolbox", json!("pending_deploy")),
        ("instance_name_on_toolbox", json!("time-server-1")),
        ("config_values", json!({"timezone": "Europe/Berlin"})),
        ("mcp_server_type", json!("mcp_server")),
        ("mcp_endpoint_path", json!("/mcp")),
        ("success", json!(true)),
        ("status", json!("deploying")),
        ("serverName", json!("time-server-1")),
        ("warnings", json!(["`baseConfigOverrideJson.HostConfig.PortBindings` is not honoured"])),
    ] {
        assert_eq!(made[column], value, "{column} of {made}");
    }
    let instance = ada.get("/api/v1/instances/time-server-1").await;
    assert_eq!((&instance["id"], &instance["environment"]), (&json!(id), &json!("far")));

    let one = format!("{tools}/{id}");
    let row = ada.rows(&one).await;
    assert_eq!(made["data"], row);
    assert_eq!(ada.rows(&tools).await, json!([row]));
    let listed = ada.get(&format!("toolbox-tools?toolboxId={toolbox}")).await;
    assert_eq!((&listed["success"], &listed["tool_instances"][0]["id"]), (&json!(true), &json!(id)));
    assert_eq!(listed["dtma_connected"], false);
    assert!(listed["connection_error"].as_str().unwrap().contains("no heartbeat yet"), "{listed}");

    // Stopping and starting by path, by body, and with what stands for the container's id.
    let container = row["container_id"].as_str().unwrap();
    assert_eq!(container, id.replace('-', ""));
    let act = |action: &str, id: &str| json!({"toolboxId": toolbox, "action": action, "instanceId": id});
    for (what, path, body, desired) in [
        ("first, by path", format!("{one}/stop"), json!({}), "stopped"),
        ("first, by path", format!("{one}/start"), json!({}), "running"),
        ("third, by body", "toolbox-tools".to_owned(), act("stop", &id), "stopped"),
        ("third, by path and body", tools.clone(), act("start", container), "running"),
        ("third, restart", "toolbox-tools".to_owned(), act("restart", container), "running"),
    ] {
        let done = ada.post(200, &path, body).await;
        assert_eq!(
            (&done["success"], &done["instanceId"], &done["id"]),
            (&json!(true), &json!(id), &json!(id))
        );
        assert_eq!(done["result"]["id"], json!(id), "{what}: {done}");
        let instance = ada.get("/api/v1/instances/time-server-1").await;
        assert_eq!(instance["desired"], desired, "{what}");
    }
    let refused = ada.refusal(Method::POST, "toolbox-tools", Some(act("logs", &id))).await;
    assert!(refused.starts_with("503 | - | environment `far`"), "no log is made up: {refused}");

    for (method, path, body) in [
        (Method::GET, tools.clone(), None),
        (Method::GET, format!("toolbox-tools?toolboxId={toolbox}"), None),
        (Method::GET, one.clone(), None),
        (Method::DELETE, one.clone(), None),
        (Method::POST, format!("{one}/stop"), None),
        (Method::POST, "toolbox-tools".to_owned(), Some(act("delete", &id))),
        (Method::POST, "toolbox-tools".to_owned(), Some(json!({"action": "delete", "instanceId": id}))),
        (Method::POST, tools.clone(), Some(json!({"toolCatalogId": time, "instanceNameOnToolbox": "x"}))),
    ] {
        let refused = bob.refusal(method.clone(), &path, body).await;
        assert!(refused.starts_with("404"), "{method} {path}: {refused}");
    }
    assert_eq!(ada.get(&tools).await.as_array().unwrap().len(), 1);
    // One in another toolbox of one's own is not in this one either.
    let elsewhere = json!({"name": "near", "kind": "host"});
    let near = ada.post(201, "/api/v1/environments", elsewhere).await["id"].as_str().unwrap().to_owned();
    let refused = ada.refusal(Method::GET, &format!("toolbox-tools/{near}/tools/{id}"), None).await;
    assert!(refused.starts_with("404"), "{refused}");
    let occupied = ada.refusal(Method::DELETE, &format!("toolboxes-user/{toolbox}"), None).await;
    assert!(occupied.starts_with("409 | - | `far` has an instance: `time-server-1`"), "{occupied}");

    let removed = ada.expect(200, Method::DELETE, &one, None).await;
    assert_eq!(removed["status_on_toolbox"], "deleting");
    platform.stop().await;
}

#[tokio::test]
async fn variables_of_an_image_are_secrets() {
    let platform = platform(|_| {}).await;
    let ada = User::new(&platform, "ada");
    let tools = format!("toolbox-tools/{}/tools", ada.host("far").await);
    let deploy = json!({
        "toolCatalogId": GENERIC, "instanceNameOnToolbox": "box",
        "baseConfigOverrideJson": {
            "dockerImage": "ghcr.io/owner/mcp:1", "environmentVariables": {"API_KEY": "hunter2"},
        },
    });
    let made = ada.post(201, &tools, deploy).await;
    assert_eq!((&made["image"], &made["tool_catalog_id"]), (&json!("ghcr.io/owner/mcp:1"), &json!(GENERIC)));
    assert!(!made.to_string().contains("hunter2"), "{made}");
    let instance = ada.get("/api/v1/instances/box").await;
    assert_eq!((&instance["secret_names"], &instance["settings"]), (&json!(["API_KEY"]), &json!({})));
    platform.stop().await;
}

#[tokio::test]
async fn what_cannot_be_deployed_or_done() {
    let platform = platform(|_| {}).await;
    let ada = User::new(&platform, "ada");
    let toolbox = ada.host("far").await;
    let tools = format!("toolbox-tools/{toolbox}/tools");
    let time = template(&ada, "time").await;
    let deploy = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({"toolCatalogId": time, "instanceNameOnToolbox": "clock"});
        change(&mut body);
        body
    };
    let config = |config: Value| deploy(&|body| body["baseConfigOverrideJson"] = config.clone());
    for (what, body, words) in [
        (
            "no entry",
            deploy(&|body| drop(body.as_object_mut().unwrap().remove("toolCatalogId"))),
            "422 | toolCatalogId",
        ),
        (
            "an unknown entry",
            deploy(&|body| body["toolCatalogId"] = json!("00000000-0000-4000-8000-000000000000")),
            "422 | toolCatalogId | the catalog has no entry",
        ),
        (
            "the generic one without an image",
            deploy(&|body| body["toolCatalogId"] = json!(GENERIC)),
            "422 | dockerImage",
        ),
        (
            "no name",
            deploy(&|body| drop(body.as_object_mut().unwrap().remove("instanceNameOnToolbox"))),
            "422 | instanceNameOnToolbox",
        ),
        ("another field", deploy(&|body| body["colour"] = json!("red")), "422 | colour"),
        (
            "a setting it has not",
            config(json!({"Env": ["COLOUR=red"]})),
            "422 | settings.COLOUR | `time` has no setting `COLOUR`",
        ),
        ("no pair", config(json!({"Env": ["COLOUR"]})), "422 | baseConfigOverrideJson.Env"),
        (
            "an object as a value",
            config(json!({"environmentVariables": {"A": {}}})),
            "422 | baseConfigOverrideJson.environmentVariables.A",
        ),
        (
            "a text as memory",
            config(json!({"HostConfig": {"Memory": "1g"}})),
            "422 | baseConfigOverrideJson.HostConfig.Memory",
        ),
        ("little memory", config(json!({"HostConfig": {"Memory": 2_097_152}})), "422 | limits.memory_mib"),
        ("no object", deploy(&|body| body["baseConfigOverrideJson"] = json!("x")), "422"),
        ("an action without a tool", json!({"action": "start"}), "422 | instanceId"),
        (
            "two toolboxes",
            json!({"action": "start", "instanceId": time, "toolboxId": "x"}),
            "422 | toolboxId",
        ),
        (
            "no action",
            json!({"action": "explode", "instanceId": time}),
            "422 | action | `explode` is no action",
        ),
    ] {
        let refused = ada.refusal(Method::POST, &tools, Some(body)).await;
        assert!(refused.starts_with(words), "{what}: {refused}");
    }
    assert_eq!(ada.get(&tools).await, json!([]), "nothing was made of it");
    let refused = ada.refusal(Method::GET, "toolbox-tools", None).await;
    assert!(refused.starts_with("422 | toolboxId"), "{refused}");
    ada.post(201, &tools, deploy(&|_| {})).await;
    let taken = ada.refusal(Method::POST, &tools, Some(deploy(&|_| {}))).await;
    assert!(taken.starts_with("409 | name | an instance `clock` exists already"), "{taken}");
    platform.stop().await;
}
