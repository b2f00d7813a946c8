//! The DTMA as the older backend drives it, over everything that it did: deploy, status, stop, start, remove, groups,
//! refresh, and restarts of the DTMA in between.

use domain::shim::ServerState;
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use runtime::error::RuntimeError;
use serde_json::{Value, json};
use testkit::ports;

use super::{ask, backend_id, names, server, tool, tool_with};
use crate::host::{Host, error, next};

/// As the backend's refresh reads `/status`: the word of an instance.
async fn word(host: &Host, name: &str) -> String {
    let status = ask(host, "GET", "/status", None).await.body;
    assert!(status["version"].is_string() && status["system_metrics"].is_object());
    let items = status["tool_instances"].as_array().unwrap();
    let item = items.iter().find(|item| item["instance_name_on_toolbox"] == name);
    item.map_or_else(|| "none".to_owned(), |item| item["status"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_tool_from_deployment_to_removal() {
    let mut host = Host::start().await;
    let port = ports::free();
    let options = json!({
        "Env": ["POSTGRES_PASSWORD=hunter2"],
        "HostConfig": {"PortBindings": {"5432/tcp": [{"HostPort": port.to_string()}]}, "Memory": 256 << 20}
    });
    let deployed = ask(&host, "POST", "/tools", Some(tool_with("Postgres_1", 1, &options))).await;
    assert_eq!((deployed.status, &deployed.body["data"]["state"]), (201, &json!("running")), "{deployed:?}");
    assert_eq!(word(&host, "Postgres_1").await, "running");
    let id = backend_id(1).parse().unwrap();
    let pid = host.machine.pid(id).unwrap();
    assert_eq!(host.machine.secrets.lock().unwrap()["POSTGRES_PASSWORD"].expose(), "hunter2");

    // A restart forgets nothing, and the container goes on.
    assert_eq!(ask(&host, "POST", "/restart", None).await.status, 200);
    host.ended().await;
    host.up().await;
    host.status(id, 0, InstanceStatus::Running).await;
    assert_eq!((word(&host, "Postgres_1").await.as_str(), host.machine.pid(id)), ("running", Some(pid)));

    // What sleeps until it is called is running to whoever knows no sleep.
    host.machine.say(id, ServerState::Asleep { since: Timestamp(1) });
    host.status(id, 0, InstanceStatus::Asleep).await;
    assert_eq!(word(&host, "Postgres_1").await, "running");
    let started = ask(&host, "POST", "/tools/Postgres_1/start", None).await;
    assert_eq!(started.body["message"], "Tool instance 'Postgres_1' is already running.");

    for _ in 0..2 {
        let stopped = ask(&host, "POST", "/tools/Postgres_1/stop", None).await;
        assert_eq!((stopped.status, word(&host, "Postgres_1").await.as_str()), (200, "stopped"));
    }
    assert_eq!(host.machine.pid(id), None);
    let started = ask(&host, "POST", "/tools/Postgres_1/start", None).await;
    assert_eq!(started.body["message"], "Tool instance 'Postgres_1' started successfully.");
    host.status(id, 0, InstanceStatus::Running).await;
    let started = ask(&host, "POST", "/tools/Postgres_1/start", None).await;
    assert_eq!(started.body["message"], "Tool instance 'Postgres_1' is already running.");

    let removed = ask(&host, "DELETE", "/tools/Postgres_1", None).await;
    assert_eq!((removed.status, names(&host).await), (200, Vec::new()));
    assert!(!host.layout.instance_dir(id).exists(), "nothing is left of it");
    // Its name, id and port are free again.
    assert_eq!(ask(&host, "POST", "/tools", Some(tool_with("Postgres_1", 1, &options))).await.status, 201);
}

#[tokio::test]
async fn an_image_that_cannot_be_had_leaves_nothing() {
    let host = Host::start().await;
    *host.machine.install_error.lock().unwrap() =
        Some(|| RuntimeError::Unreachable { registry: "npm", detail: "no such host".to_owned() });
    let answer = ask(&host, "POST", "/tools", Some(tool("one", 1))).await;
    assert_eq!((answer.status, &answer.body["success"]), (500, &json!(false)), "{answer:?}");
    assert!(answer.error().contains("no such host"), "{answer:?}");
    assert_eq!(answer.body["message"], "Failed to deploy tool 'one'.");
    assert_eq!(names(&host).await, Vec::<String>::new());
    *host.machine.install_error.lock().unwrap() = None;
    assert_eq!(ask(&host, "POST", "/tools", Some(tool("one", 1))).await.status, 201, "its name is free");
}

#[tokio::test]
async fn one_that_fails_says_so() {
    let host = Host::start().await;
    assert_eq!(ask(&host, "POST", "/tools", Some(tool("one", 1))).await.status, 201);
    let id = backend_id(1).parse().unwrap();
    let (since, message) = (Timestamp(1), "exit status: 1: out of cheese".to_owned());
    host.machine.say(id, ServerState::Failed { since, failures: 3, crash_loop: false, message });
    host.status(id, 0, InstanceStatus::ErrorRuntime).await;
    let status = ask(&host, "GET", "/tools/status", None).await.body;
    let item = &status["tool_instances"][0];
    assert_eq!((&item["status"], &item["state"]), (&json!("error"), &json!("restarting")));
    assert!(item["message"].as_str().unwrap().contains("out of cheese"), "{item}");
    assert_eq!(status["managed_tools"], json!([]), "only what runs");
    std::fs::create_dir_all(host.layout.state_dir(id)).unwrap();
    std::fs::write(host.layout.server_log(id), "out of cheese\n").unwrap();
    assert_eq!(ask(&host, "GET", "/logs", None).await.body["logs"], json!(["one: out of cheese"]));
    let diagnostics = ask(&host, "GET", "/diagnostics/logs", None).await.body;
    assert_eq!(diagnostics["diagnostics"]["logs"], json!({"one": ["out of cheese"]}));
}

#[tokio::test]
async fn a_group_from_deployment_to_removal() {
    let mut host = Host::start().await;
    let with = |mut server: Value, key: &str, value: Value| {
        server[key] = value;
        server
    };
    let servers = json!([
        with(server("search", 1), "environmentVariables", json!({"API_KEY": "hunter2", "DEPTH": 3})),
        with(server("files", 2), "mcpTransportType", json!("http")),
        with(server("broken", 3), "dockerImageUrl", json!("Not An Image")),
        with(server("oauth", 4), "requiredOAuthProviders", json!(["github"])),
    ]);
    let body =
        json!({"groupId": "agent-7-mcp", "servers": servers, "options": {"dependencyOrder": ["oauth"]}});
    let group = ask(&host, "POST", "/mcp/groups", Some(body)).await;
    assert_eq!((group.status, &group.body["success"]), (201, &json!(true)), "{group:?}");
    let data = &group.body["data"];
    assert_eq!(
        data["deployedServers"],
        json!(["oauth", "search", "files"]),
        "in the order that was asked for"
    );
    assert_eq!((&data["totalServers"], &data["successfulDeployments"]), (&json!(4), &json!(3)));
    assert!(data["errors"]["broken"].as_str().unwrap().contains("image reference"), "{data}");
    assert_eq!(group.body["warnings"], json!(["oauth: requiredOAuthProviders is not honoured"]));
    // Servers, not container tools: a shim speaks MCP for each.
    let spec = std::fs::read_to_string(host.spec_file(backend_id(2).parse().unwrap())).unwrap();
    let spec: Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(
        (&spec["spec"]["launch"]["transport"], &spec["spec"]["launch"]["path"]),
        (&json!("http"), &json!("/mcp"))
    );
    assert_eq!(spec["spec"]["launch"].get("container"), None);

    let health = async |host: &Host| {
        let answer = ask(host, "GET", "/mcp/health/agent-7-mcp", None).await;
        answer.body["data"]["health"]["collectiveStatus"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(health(&host).await, "healthy");
    let refreshed = ask(&host, "POST", "/mcp/credentials/refresh/search", None).await;
    assert_eq!(refreshed.body["data"]["status"], "refresh_initiated");
    host.status(backend_id(1).parse().unwrap(), 0, InstanceStatus::Running).await;
    assert_eq!(ask(&host, "POST", "/tools/search/stop", None).await.status, 200);
    assert_eq!(health(&host).await, "degraded");

    // A group outlives its DTMA.
    host.down().await;
    host.up().await;
    for number in [2, 4] {
        host.status(backend_id(number).parse().unwrap(), 0, InstanceStatus::Running).await;
    }
    assert_eq!(health(&host).await, "degraded");
    assert_eq!(ask(&host, "POST", "/tools", Some(tool("alone", 9))).await.status, 201);
    let removed = ask(&host, "DELETE", "/mcp/groups/agent-7-mcp", None).await;
    assert_eq!(removed.body["data"]["errors"], json!({}), "{removed:?}");
    assert_eq!(names(&host).await, ["alone"]);
    assert_eq!(health(&host).await, "none");
}

#[tokio::test]
async fn what_the_control_plane_deployed_is_its_own() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    assert_eq!(names(&host).await, ["everything"]);
    let refused = ask(&host, "DELETE", "/tools/everything", None).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(ask(&host, "POST", "/tools/everything/stop", None).await.status, 200);
    assert_eq!(host.report(spec.id).await.unwrap().status, InstanceStatus::Stopped);
    assert_eq!(ask(&host, "POST", "/tools", Some(tool("everything", 1))).await.status, 409, "its name too");

    // And what an older caller deployed becomes the control plane's with its first spec, which wins.
    assert_eq!(ask(&host, "POST", "/tools", Some(tool("Redis", 2))).await.status, 201);
    let mut adopted = next(&spec, domain::spec::DesiredState::Running);
    (adopted.id, adopted.generation) = (backend_id(2).parse().unwrap(), 1);
    assert_eq!(host.put(&adopted).await.status(), 200);
    host.status(adopted.id, 1, InstanceStatus::Running).await;
    assert_eq!(word(&host, "Redis").await, "running", "its older caller still finds it by its name");
    adopted.generation = 0;
    assert_eq!(error(host.put(&adopted).await).await.0, 409);
    assert_eq!(ask(&host, "DELETE", "/tools/Redis", None).await.status, 200);
}
