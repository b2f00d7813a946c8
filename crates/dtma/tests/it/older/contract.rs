//! Every row of the older contract: its shape is checked here, or it is named in the table of docs/older-dtma.md. A row of
//! that table that nothing here names fails too.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::ports;

use super::{ask, backend_id, server, tool, tool_with};
use crate::host::Host;

const DEVIATIONS: &str = include_str!("../../../../../docs/older-dtma.md");

/// A row: the older path, what is asked, the status, where (as JSON pointers) the answer has something, and the
/// deviations that concern it.
struct Row {
    asked: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    status: u16,
    has: &'static str,
    differs: &'static str,
}

fn row(
    asked: &'static str,
    path: &str,
    body: Option<Value>,
    status: u16,
    has: &'static str,
    differs: &'static str,
) -> Row {
    let (method, _) = asked.split_once(' ').unwrap();
    Row { asked, method, path: path.to_owned(), body, status, has, differs }
}

const ITEM: [&str; 17] = [
    "id",
    "names",
    "image",
    "image_id",
    "command",
    "created",
    "state",
    "status",
    "ports",
    "container_id",
    "instance_name_on_toolbox",
    "account_tool_instance_id",
    "status_text",
    "metrics/memory_bytes",
    "metrics/cpu_percent",
    "metrics/network_rx_bytes",
    "metrics/network_tx_bytes",
];
const MEASURED: &str = "/cpu_load_percent /memory/total_bytes /memory/active_bytes /memory/free_bytes \
    /memory/used_bytes /disk/mount /disk/total_bytes /disk/used_bytes \
    /disk/free_bytes /uptime_seconds";

/// The rows of §1.1 to §1.4, in an order in which they can be asked; the last one ends the DTMA.
fn rows() -> Vec<Row> {
    let restart = row("POST /restart", "/restart", None, 200, "/success /message /timestamp", "open restart");
    let all = [host_rows(), tool_rows(), first_rows(), mcp_rows(), vec![restart]];
    all.into_iter().flatten().collect()
}

/// The host: §1.1.
fn host_rows() -> Vec<Row> {
    vec![
        row(
            "GET /status",
            "/status",
            None,
            200,
            "/status /timestamp /version /dtma_version /service /environment/hasAuthToken \
             /environment/hasApiKey /environment/hasApiBaseUrl /environment/port \
             /tool_instances /system_metrics/memory/total_bytes /system_metrics/uptime_seconds",
            "open keys unconfigured metrics words container-id managed",
        ),
        row("GET /system", "/system", None, 200, MEASURED, "open"),
        row("GET /logs", "/logs", None, 200, "/logs /timestamp", "open logs"),
        row("POST /redeploy", "/redeploy", None, 200, "/success /message /timestamp", "open restart"),
        row(
            "POST /ssh/execute",
            "/ssh/execute",
            Some(json!({"command": "docker ps", "timeout": 5})),
            403,
            "/success /error /message",
            "shell",
        ),
        row(
            "GET /diagnostics/docker",
            "/diagnostics/docker",
            None,
            200,
            "/success /diagnostics/containers /timestamp",
            "open diagnostics",
        ),
        row(
            "GET /diagnostics/system",
            "/diagnostics/system",
            None,
            200,
            "/success /diagnostics/system/memory /timestamp",
            "open diagnostics",
        ),
        row(
            "GET /diagnostics/logs",
            "/diagnostics/logs?lines=5",
            None,
            200,
            "/success /diagnostics/logs /timestamp",
            "open diagnostics",
        ),
        row("GET /", "/", None, 404, "/error", "stub-root errors"),
        row("GET /nothing", "/nothing", None, 404, "/error", "errors"),
    ]
}

/// Tools: §1.2, and what the second generation had beside it.
fn tool_rows() -> Vec<Row> {
    vec![
        row("GET /tools", "/tools", None, 200, "/status /tools /message", ""),
        row(
            "POST /tools",
            "/tools",
            Some(tool("one", 1)),
            201,
            "/success /message /data/container_id /data/instance_name_on_toolbox \
             /data/account_tool_instance_id /data/image /data/ports /data/state",
            "pull wait names ids options ports secrets body-size",
        ),
        row("POST /tools", "/tools", Some(tool("one", 9)), 409, "/success /error", ""),
        row("POST /tools", "/tools", Some(json!({})), 400, "/success /error", "malformed"),
        row(
            "GET /tools/status",
            "/tools/status",
            None,
            200,
            "/status /timestamp /version /service /environment \
             /tool_instances/0/account_tool_instance_id /tool_instances/0/container_id \
             /success /dtma_status /managed_tools/0/id /managed_tools/0/name \
             /managed_tools/0/image /managed_tools/0/state /managed_tools/0/status \
             /managed_tools/0/ports",
            "words container-id managed metrics",
        ),
        row("POST /tools/:name/start", "/tools/one/start", None, 200, "/success /message", ""),
        row("POST /tools/:name/start", "/tools/none/start", None, 404, "/success /error", ""),
        row("POST /tools/:name/stop", "/tools/one/stop", None, 200, "/success /message", ""),
        row("POST /tools/:name/stop", "/tools/one/stop", None, 200, "/success /message", "stop"),
        row(
            "POST /tools/:name/execute",
            "/tools/one/execute",
            Some(json!({"agentId": "a", "capabilityName": "c", "payload": {}})),
            501,
            "/success /error",
            "execute",
        ),
        row("DELETE /tools/:name", "/tools/one", None, 200, "/success /message", "foreign"),
        row("DELETE /tools/:name", "/tools/one", None, 404, "/success /error", ""),
    ]
}

/// The first generation: §1.4.
fn first_rows() -> Vec<Row> {
    let container = |name: &str| Some(json!({"container_id_or_name": name}));
    vec![
        row(
            "POST /tools/install",
            "/tools/install",
            Some(json!({"image_name": "redis:7"})),
            200,
            "/success /message",
            "install",
        ),
        row("POST /tools/install", "/tools/install", Some(json!({})), 400, "/error", ""),
        row(
            "POST /tools/start",
            "/tools/start",
            Some(
                json!({"agent_droplet_tool_id": backend_id(2), "image_name": "redis:7", "container_name": "two", "create_options": {"Env": ["A=b"]}}),
            ),
            200,
            "/success /message /container_id /ports",
            "fetch",
        ),
        row("POST /tools/stop", "/tools/stop", container("two"), 200, "/success /message", "stop"),
        row("POST /tools/stop", "/tools/stop", container("none"), 404, "/success /error", ""),
        row(
            "DELETE /tools/uninstall",
            "/tools/uninstall",
            container("two"),
            200,
            "/success /message",
            "uninstall",
        ),
    ]
}

/// Groups and servers: §1.3.
fn mcp_rows() -> Vec<Row> {
    vec![
        row(
            "POST /mcp/groups",
            "/mcp/groups",
            Some(
                json!({"groupId": "agent-7-mcp", "servers": [server("a", 3), server("b", 4)], "options": {"sharedNetworking": true, "dependencyOrder": ["b"], "maxConcurrentDeployments": 3}}),
            ),
            201,
            "/success /message /data/groupId /data/deployedServers/1 /data/errors \
             /data/totalServers /data/successfulDeployments",
            "groups websocket oauth",
        ),
        row(
            "GET /mcp/status",
            "/mcp/status",
            None,
            200,
            "/success /mcp_servers /timestamp /data/summary/totalGroups \
             /data/summary/totalServers /data/summary/runningServers \
             /data/summary/healthyServers /data/summary/timestamp /data/groups/agent-7-mcp",
            "open",
        ),
        row(
            "GET /mcp/health/:groupId",
            "/mcp/health/agent-7-mcp",
            None,
            200,
            "/success /data/groupId /data/health/collectiveStatus /data/health/totalInstances \
             /data/health/runningInstances /data/health/healthyInstances \
             /data/health/sharedNetworking /data/health/instances/a/status \
             /data/health/instances/a/healthStatus /data/health/instances/a/containerId \
             /data/health/instances/a/startTime /data/health/instances/a/restartCount \
             /data/health/instances/a/mcpEndpoint /data/health/instances/a/transportType",
            "health",
        ),
        row("GET /mcp/health/:groupId", "/mcp/health/none", None, 404, "/success /error", ""),
        row(
            "POST /mcp/servers/:name/restart",
            "/mcp/servers/a/restart",
            None,
            200,
            "/success /message",
            "unknown",
        ),
        row(
            "GET /mcp/servers/:name/logs",
            "/mcp/servers/a/logs?tail=5",
            None,
            200,
            "/success /data/instanceName /data/logs /data/timestamp",
            "logs unknown",
        ),
        row(
            "POST /mcp/credentials/refresh/:name",
            "/mcp/credentials/refresh/a",
            None,
            200,
            "/success /message /data/instanceName /data/status /data/timestamp",
            "refresh",
        ),
        row("GET /mcp/templates", "/mcp/templates", None, 200, "/success /data/templates/2/name", ""),
        row(
            "POST /mcp/validate",
            "/mcp/validate",
            Some(json!({"servers": [server("c", 5), {}]})),
            200,
            "/success /data/valid /data/results/1/instanceName /data/results/1/valid \
             /data/results/1/warnings /data/results/1/errors/0 /data/summary/total \
             /data/summary/valid /data/summary/invalid /data/summary/withWarnings",
            "",
        ),
        row("GET /mcp/nothing", "/mcp/nothing", None, 404, "/success /error /availableEndpoints/8", ""),
        row(
            "DELETE /mcp/groups/:groupId",
            "/mcp/groups/agent-7-mcp?forceRemove=true&gracefulTimeoutMs=1",
            None,
            200,
            "/success /message /data/groupId /data/removedServers/1 /data/errors",
            "graceful",
        ),
        row(
            "DELETE /mcp/groups/:groupId",
            "/mcp/groups/agent-7-mcp",
            None,
            404,
            "/success /error",
            "unknown",
        ),
    ]
}

/// What no request of the table above can show: rows about callers and configuration (§1.5, §2, §4) whose tests are elsewhere, or
/// that are deviations as a whole.
const ELSEWHERE: [&str; 11] = [
    "browser-tools",
    "conf-file",
    "heartbeat-sent",
    // crates/control/tests/it/older.
    "heartbeat-heals",
    "heartbeat-own",
    "heartbeat-words",
    "secrets-null",
    "agent-credentials",
    "mcp-api",
    // crates/dtma/tests/it/older/endpoints.rs.
    "keys",
    "unconfigured",
];

#[tokio::test]
async fn every_row() {
    let mut host = Host::start().await;
    let health = host.stranger("GET", "/health").send().await.unwrap();
    assert_eq!((health.status().as_u16(), health.text().await.unwrap().as_str()), (200, "OK"));
    for row in rows() {
        let answer = ask(&host, row.method, &row.path, row.body).await;
        assert_eq!(answer.status, row.status, "{}: {answer:?}", row.asked);
        for pointer in row.has.split_whitespace() {
            assert!(
                answer.body.pointer(pointer).is_some(),
                "{}: no {pointer} in {:#}",
                row.asked,
                answer.body
            );
        }
        if let Some(success) = answer.body.get("success") {
            assert_eq!(*success, json!(row.status < 300), "{}: {answer:?}", row.asked);
        }
    }
    host.ended().await;
}

#[test]
fn every_deviation_is_in_the_table_and_has_a_reason() {
    let listed: BTreeSet<&str> = DEVIATIONS
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | ").map(|(id, _)| id))
        .filter(|id| *id != "id")
        .collect();
    let rows = rows();
    let named: BTreeSet<&str> =
        rows.iter().flat_map(|row| row.differs.split_whitespace()).chain(ELSEWHERE).collect();
    assert_eq!(named, listed);
    for line in DEVIATIONS.lines().filter(|line| line.starts_with("| ")) {
        assert_eq!(
            line.split(" | ").filter(|cell| !cell.trim_matches('|').trim().is_empty()).count(),
            4,
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_item_is_the_union_of_all_shapes() {
    let host = Host::start().await;
    let (http, dns) = (ports::free(), ports::free());
    let bindings = json!({
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": http.to_string()}],
        "53/udp": [{"HostPort": dns.to_string()}],
    });
    let body = tool_with("Union_1.x", 1, &json!({"HostConfig": {"PortBindings": bindings}}));
    assert_eq!(ask(&host, "POST", "/tools", Some(body)).await.status, 201);
    let item = ask(&host, "GET", "/status", None).await.body["tool_instances"][0].clone();
    for key in ITEM {
        assert!(item.pointer(&format!("/{key}")).is_some(), "no {key} in {item:#}");
    }
    assert_eq!(
        (&item["names"], &item["status"], &item["state"]),
        (&json!(["Union_1.x"]), &json!("running"), &json!("running"))
    );
    assert_eq!(item["account_tool_instance_id"], backend_id(1));
    assert!(item["status_text"].as_str().unwrap().starts_with("Up "), "{item}");
    let ports: BTreeSet<String> = item["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| {
            format!("{}:{}:{}/{}", port["ip"], port["public_port"], port["private_port"], port["type"])
        })
        .collect();
    let expected = [format!("\"0.0.0.0\":{dns}:53/\"udp\""), format!("\"127.0.0.1\":{http}:80/\"tcp\"")];
    assert_eq!(ports, BTreeSet::from(expected));
    let port = &item["ports"][0];
    assert_eq!((&port["IP"], &port["PublicPort"]), (&port["ip"], &port["public_port"]), "in both spellings");
    // Both shapes of bindings give the same.
    let server = |name: &str, number: u8, bindings: Value| {
        let mut server = server(name, number);
        server["portBindings"] = bindings;
        server
    };
    let (one, two) = (ports::free(), ports::free());
    let servers = json!([
        server("short", 2, json!({"8080": one.to_string()})),
        server("long", 3, json!({"8080/tcp": [{"HostPort": two.to_string()}]})),
    ]);
    let group = ask(&host, "POST", "/mcp/groups", Some(json!({"groupId": "g", "servers": servers}))).await;
    assert_eq!(group.body["data"]["successfulDeployments"], 2, "{group:?}");
    let items = ask(&host, "GET", "/tools/status", None).await.body["tool_instances"].clone();
    for (name, port) in [("short", one), ("long", two)] {
        let item = items.as_array().unwrap().iter().find(|item| item["names"][0] == name).unwrap();
        let found = &item["ports"][0];
        assert_eq!((&found["public_port"], &found["private_port"]), (&json!(port), &json!(8080)), "{name}");
    }
}
