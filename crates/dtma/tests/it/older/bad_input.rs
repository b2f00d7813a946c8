//! What older callers may get wrong: the status, the field and the words; nothing is left of it.

use serde_json::{Value, json};
use testkit::ports;

use super::{ask, backend_id, names, server, tool, tool_with};
use crate::host::{Host, next, spec};

fn without(mut body: Value, key: &str) -> Value {
    body.as_object_mut().unwrap().remove(key);
    body
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

fn bound(ports: &Value) -> Value {
    tool_with("new", 2, &json!({"HostConfig": {"PortBindings": ports}}))
}

/// A row: what is wrong, the body, the status, the field that is named, words of the error.
type Row<'a> = (&'a str, Value, u16, &'a str, &'a str);

async fn refused(host: &Host, rows: Vec<Row<'_>>) {
    for (what, body, status, field, words) in rows {
        let answer = ask(host, "POST", "/tools", Some(body)).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        let named = answer.body["field"].as_str().unwrap_or_default();
        assert_eq!(named.trim_start_matches("baseConfigOverrideJson"), field, "{what}: {answer:?}");
        assert!(answer.error().contains(words), "{what}: {answer:?}");
        assert_eq!(answer.body["success"], false, "{what}");
        assert!(!answer.body.to_string().contains("hunter2"), "{what}: a value in an error");
    }
}

#[tokio::test]
async fn deployments() {
    let host = Host::start().await;
    assert_eq!(ask(&host, "POST", "/tools", Some(tool("first", 1))).await.status, 201);
    let options = |options: Value| tool_with("new", 2, &options);
    let rows = vec![
        ("nothing", json!({}), 400, "dockerImageUrl", "accountToolInstanceId"),
        ("no image", without(tool("new", 2), "dockerImageUrl"), 400, "dockerImageUrl", "Missing"),
        (
            "no name",
            without(tool("new", 2), "instanceNameOnToolbox"),
            400,
            "instanceNameOnToolbox",
            "Missing",
        ),
        ("no id", without(tool("new", 2), "accountToolInstanceId"), 400, "accountToolInstanceId", "Missing"),
        ("an empty name", tool("", 2), 400, "instanceNameOnToolbox", "Missing"),
        (
            "a number",
            with(tool("new", 2), "dockerImageUrl", json!(7)),
            400,
            "dockerImageUrl",
            "must be a text",
        ),
        (
            "a name with spaces",
            tool("Context7 MCP Server-175", 2),
            400,
            "instanceNameOnToolbox",
            "`Context7-MCP-Server-175`",
        ),
        ("a path as a name", tool("../x", 2), 400, "instanceNameOnToolbox", "is not a name"),
        ("a long name", tool(&"x".repeat(129), 2), 400, "instanceNameOnToolbox", "at most 128"),
        ("a name that is taken", tool("first", 2), 409, "", "Instance with name 'first' already exists."),
        ("an id that is taken", tool("new", 1), 409, "", "belongs to the instance 'first'"),
        (
            "no UUID",
            with(tool("new", 2), "accountToolInstanceId", json!("42")),
            400,
            "accountToolInstanceId",
            "not a UUID",
        ),
        (
            "no image reference",
            with(tool("new", 2), "dockerImageUrl", json!("Redis 7")),
            400,
            "dockerImageUrl",
            "image reference",
        ),
        ("options that are no object", options(json!("x")), 400, "", "must be an object"),
        ("Env of another shape", options(json!({"Env": {"A": "b"}})), 400, ".Env", "NAME=VALUE"),
        ("Env without a value", options(json!({"Env": ["hunter2"]})), 400, ".Env", "NAME=VALUE"),
        ("Env with a NUL", options(json!({"Env": ["A=\0"]})), 400, ".Env", "NUL"),
        (
            "little memory",
            options(json!({"HostConfig": {"Memory": 4 << 20}})),
            400,
            ".HostConfig.Memory",
            "16 MiB",
        ),
        (
            "little processor",
            options(json!({"HostConfig": {"NanoCpus": 1}})),
            400,
            ".HostConfig.NanoCpus",
            "hundredth of a core",
        ),
        (
            "negative memory",
            options(json!({"HostConfig": {"Memory": -1}})),
            400,
            ".HostConfig.Memory",
            "bytes",
        ),
    ];
    refused(&host, rows).await;
    for (what, body) in [("cut off", "{\"dockerImageUrl\":"), ("a list", "[]"), ("text", "x")] {
        let request = host.request("POST", "/tools").header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 400, "{what}");
        let body: Value = response.json().await.unwrap();
        assert!(body["error"].as_str().unwrap().contains("JSON"), "{what}: {body}");
    }
    assert_eq!(names(&host).await, ["first"], "nothing is left of what was refused");
    assert_eq!(std::fs::read_dir(host.layout.instances()).unwrap().count(), 1);
}

#[tokio::test]
async fn ports() {
    let host = Host::start().await;
    let (taken, used) = (ports::free(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let (in_use, own) = (used.local_addr().unwrap().port().to_string(), host.port().to_string());
    let binding = json!({"80/tcp": [{"HostPort": taken.to_string()}]});
    let first = tool_with("first", 1, &json!({"HostConfig": {"PortBindings": binding}}));
    assert_eq!(ask(&host, "POST", "/tools", Some(first)).await.status, 201);
    let rows = vec![
        (
            "the DTMA's default port",
            bound(&json!({"80/tcp": [{"HostPort": "30000"}]})),
            400,
            "PortBindings",
            "30000 is the DTMA's own",
        ),
        (
            "the DTMA's port",
            bound(&json!({"80/tcp": [{"HostPort": own}]})),
            400,
            "PortBindings",
            "is the DTMA's own",
        ),
        (
            "a port that an instance has",
            bound(&json!({"80": taken.to_string()})),
            409,
            "",
            "already in use by a managed instance",
        ),
        (
            "a port that is in use",
            bound(&json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": in_use}]})),
            409,
            "",
            "already in use on this host",
        ),
        ("a port twice", bound(&json!({"80": "7801", "81": "7801"})), 400, "PortBindings", "each port once"),
        (
            "no port of the host",
            bound(&json!({"80/tcp": [{}]})),
            400,
            ".HostConfig.PortBindings.80/tcp",
            "names its port",
        ),
        (
            "port 0",
            bound(&json!({"80/tcp": [{"HostPort": "0"}]})),
            400,
            ".HostConfig.PortBindings.80/tcp",
            "names its port",
        ),
        ("a large port", bound(&json!({"80": "70000"})), 400, ".HostConfig.PortBindings.80", "no port"),
        (
            "a range",
            bound(&json!({"80-90/tcp": [{"HostPort": "80"}]})),
            400,
            ".HostConfig.PortBindings.80-90/tcp",
            "no port",
        ),
        (
            "another protocol",
            bound(&json!({"80/sctp": "80"})),
            400,
            ".HostConfig.PortBindings.80/sctp",
            "8080/udp",
        ),
        (
            "no address",
            bound(&json!({"80/tcp": [{"HostIp": "x", "HostPort": "81"}]})),
            400,
            ".HostConfig.PortBindings.80/tcp",
            "no IP address",
        ),
    ];
    refused(&host, rows).await;
    assert_eq!(names(&host).await, ["first"], "nothing is left of what was refused");
}

#[tokio::test]
async fn what_is_not_honoured_is_said() {
    let host = Host::start().await;
    let options = json!({
        "Env": ["A=b"], "Cmd": ["x"], "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"Privileged": true, "RestartPolicy": {"Name": "no"}, "Memory": 64 << 20}
    });
    let body = with(tool_with("redis", 1, &options), "colour", json!("red"));
    let answer = ask(&host, "POST", "/tools", Some(body)).await;
    assert_eq!(answer.status, 201);
    let warnings: Vec<&str> =
        answer.body["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(
        warnings,
        [
            "baseConfigOverrideJson.Cmd is not honoured",
            "baseConfigOverrideJson.HostConfig.Privileged is not honoured",
            "colour is not honoured",
        ]
    );
    let spec = std::fs::read_to_string(host.spec_file(backend_id(1).parse().unwrap())).unwrap();
    let spec: Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec["spec"]["limits"]["memory_mib"], 64);
    assert!(!spec.to_string().contains("A=b") && !spec["spec"]["env"].to_string().contains('A'), "{spec}");
    assert_eq!(host.machine.secrets.lock().unwrap()["A"].expose(), "b");
}

#[tokio::test]
async fn groups_and_queries() {
    let host = Host::start().await;
    let group = |servers: Value| json!({"groupId": "g", "servers": servers});
    for (what, method, path, body, status, words) in [
        ("no group", "POST", "/mcp/groups", Some(json!({"servers": []})), 400, "groupId"),
        (
            "a group with spaces",
            "POST",
            "/mcp/groups",
            Some(json!({"groupId": "a b", "servers": []})),
            400,
            "`a-b`",
        ),
        ("no servers", "POST", "/mcp/groups", Some(group(json!([]))), 400, "at least one"),
        ("servers of another shape", "POST", "/mcp/groups", Some(group(json!("x"))), 400, "must be a list"),
        (
            "an order of another shape",
            "POST",
            "/mcp/groups",
            Some(json!({"groupId": "g", "servers": [server("a", 1)], "options": {"dependencyOrder": [1]}})),
            400,
            "list of names",
        ),
        ("validating nothing", "POST", "/mcp/validate", Some(json!({})), 400, "must be a list"),
        ("lines", "GET", "/logs?lines=;id", None, 400, "lines is a number"),
        ("many lines", "GET", "/diagnostics/logs?lines=99999999", None, 400, "at most"),
        ("since", "GET", "/mcp/servers/a/logs?since=5", None, 400, "use `tail`"),
        ("no command", "POST", "/ssh/execute", Some(json!({})), 400, "command"),
        (
            "a container of another type",
            "DELETE",
            "/tools/uninstall",
            Some(json!({"container_id_or_name": 7})),
            400,
            "text",
        ),
    ] {
        let answer = ask(&host, method, path, body).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.error().contains(words), "{what}: {answer:?}");
    }
    // When no server of a group can be deployed that is no success.
    let broken = json!([
        with(server("a", 1), "mcpTransportType", json!("telepathy")),
        with(server("b", 2), "portBindings", json!({"80": "30000"})),
        json!(7),
        with(server("d d", 3), "mcpEndpointPath", json!("mcp")),
    ]);
    let answer = ask(&host, "POST", "/mcp/groups", Some(group(broken))).await;
    assert_eq!((answer.status, &answer.body["success"]), (422, &json!(false)), "{answer:?}");
    let errors = &answer.body["data"]["errors"];
    for (name, words) in
        [("a", "websocket"), ("b", "DTMA's own"), ("servers[2]", "object"), ("d d", "must begin with `/`")]
    {
        assert!(errors[name].as_str().unwrap().contains(words), "{name}: {errors}");
    }
    assert_eq!(names(&host).await, [""; 0]);
}

#[tokio::test]
async fn ports_of_the_control_planes_specs_too() {
    let host = Host::start().await;
    let taken = ports::free();
    let first = tool_with("first", 1, &json!({"HostConfig": {"PortBindings": {"80": taken.to_string()}}}));
    assert_eq!(ask(&host, "POST", "/tools", Some(first)).await.status, 201);
    let with_port = |port: u16| {
        let mut spec = spec();
        let container = json!({"ports": [{"container": 80, "host": port}]});
        spec.launch.container = Some(serde_json::from_value(container).unwrap());
        spec
    };
    for (port, status) in [(30000, 422), (host.port(), 422), (taken, 409)] {
        let (found, body) = crate::host::error(host.put(&with_port(port)).await).await;
        assert_eq!(
            (found, body.error.field.as_deref()),
            (status, Some("launch.container.ports")),
            "{body:?}"
        );
    }
    // What an instance has it keeps through its next generation, though by then it is in use.
    let spec = with_port(ports::free());
    assert_eq!(host.put(&spec).await.status(), 200);
    let _held =
        std::net::TcpListener::bind(("127.0.0.1", spec.launch.container.as_ref().unwrap().ports[0].host));
    assert_eq!(host.put(&next(&spec, spec.desired)).await.status(), 200);
}
