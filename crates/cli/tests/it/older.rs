//! A caller of the older DTMA and a whole platform: what it deploys on the host is an instance like any other, and what it
//! removes there is gone.

use serde_json::{Value, json};
use testkit::docker::engine;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// The DTMA's address, as `berth up` notes it.
pub(crate) fn dtma(platform: &Platform) -> String {
    let lock = std::fs::read_to_string(platform.data().join("up.lock")).expect("the lock");
    let address = lock.lines().find_map(|line| line.strip_prefix("dtma: ")).expect("an address");
    format!("http://{address}")
}

/// Asks as the older backend does; gives status and body.
pub(crate) fn ask(platform: &Platform, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let token = platform.ok(&["env", "token", "local"]);
    let url = format!("{}{path}", dtma(platform));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        let mut request = client.request(method.parse().expect("a method"), url).bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    })
}

#[test]
fn what_an_older_caller_deploys_is_adopted_and_what_it_removes_is_gone() {
    let docker = engine();
    docker.image("older:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, "USER 65534"]);
    let platform = Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())]);
    let id = "b0000000-0000-4000-8000-000000000001";
    let server = json!({
        "accountToolInstanceId": id, "instanceNameOnToolbox": "Fixture_1", "dockerImageUrl": "older:1",
        "mcpTransportType": "stdio", "mcpEndpointPath": "/mcp", "environmentVariables": {"TOKEN": "hush-hush"}
    });
    let group = json!({"groupId": "agent-7-mcp", "servers": [server]});
    let (status, answer) = ask(&platform, "POST", "/mcp/groups", Some(&group));
    assert_eq!((status, &answer["data"]["deployedServers"]), (201, &json!(["Fixture_1"])), "{answer}");

    // Its row came with a heartbeat, and the control plane's spec went back: the gateway reaches it under its own key.
    wait::until("its row", || platform.instance("fixture-1"));
    platform.wait_for("fixture-1", "running");
    let answer = platform.ok(&["call", "fixture-1", "test_simple_text"]);
    assert!(answer.contains("simple text response"), "{answer}");
    let instance = platform.instance("fixture-1").expect("it is there");
    assert_eq!((&instance["id"], &instance["secret_names"]), (&json!(id), &json!(["TOKEN"])));
    assert!(
        !docker
            .get(&format!("/containers/berth-{id}/json"))
            .expect("its container")
            .to_string()
            .contains("hush-hush")
    );
    let shown = wait::until("what it uses", || {
        Some(platform.ok(&["status", "fixture-1"])).filter(|text| text.contains("network"))
    });
    assert!(shown.contains("network") && shown.contains("MiB"), "{shown}");

    // Its older caller sees it under its own name, and what it stops is seen as stopped.
    let (_, status) = ask(&platform, "GET", "/status", None);
    let items = status["tool_instances"].as_array().expect("a list");
    let item = items.iter().find(|item| item["account_tool_instance_id"] == id).expect("it is listed");
    assert_eq!((&item["names"], &item["status"]), (&json!(["Fixture_1"]), &json!("running")));
    assert_eq!(ask(&platform, "POST", "/tools/Fixture_1/stop", None).0, 200);
    platform.wait_for("fixture-1", "stopped");

    let (status, answer) = ask(&platform, "DELETE", "/mcp/groups/agent-7-mcp", None);
    assert_eq!((status, &answer["data"]["removedServers"]), (200, &json!(["Fixture_1"])), "{answer}");
    wait::until("its end", || platform.instance("fixture-1").is_none().then_some(()));
    assert_eq!(docker.get(&format!("/containers/berth-{id}/json")), None, "nothing is left of it");
}

#[test]
fn tools_of_an_older_caller_are_reached_on_the_ports_of_either_shape() {
    let docker = engine();
    let command = r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#;
    docker.image("web:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, command]);
    let platform = Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())]);
    let id = |number: u8| format!("b0000000-0000-4000-8000-0000000000{number:02x}");
    let tool = |name: &str, number: u8, options: Value| {
        json!({
            "dockerImageUrl": "web:1", "instanceNameOnToolbox": name, "accountToolInstanceId": id(number),
            "baseConfigOverrideJson": options,
        })
    };
    let get = |port: u16, path: &str| docker.talk(port, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
    let shapes = [
        (
            "Web_1",
            1,
            7286,
            json!({"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "7286"}]}}),
        ),
        ("Web_2", 2, 7287, json!({"PortBindings": {"80": "7287"}})),
    ];
    for (name, number, port, host) in shapes {
        let options = json!({"Env": ["TOKEN=hush-hush"], "HostConfig": host, "Colour": "red"});
        let (status, answer) = ask(&platform, "POST", "/tools", Some(&tool(name, number, options)));
        assert_eq!((status, &answer["data"]["state"]), (201, &json!("running")), "{answer}");
        assert!(answer["warnings"].to_string().contains("Colour is not honoured"), "{answer}");
        let said = wait::until("its answer", || get(port, "/env/TOKEN").filter(|said| !said.is_empty()));
        assert!(said.ends_with("hush-hush"), "{name}: {said}");
        let container = docker.get(&format!("/containers/berth-{}/json", id(number))).expect("its container");
        assert!(!container.to_string().contains("hush-hush"), "{container}");
    }
    for (what, body, status, words) in [
        ("a name with spaces", tool("a b", 3, json!({})), 400, "`a-b`"),
        (
            "a port that is taken",
            tool("third", 3, json!({"HostConfig": {"PortBindings": {"80": "7286"}}})),
            409,
            "7286",
        ),
    ] {
        let (given, answer) = ask(&platform, "POST", "/tools", Some(&body));
        assert_eq!(given, status, "{what}: {answer}");
        assert!(answer["error"].to_string().contains(words), "{what}: {answer}");
        assert_eq!(docker.get(&format!("/containers/berth-{}/json", id(3))), None, "{what}");
    }

    // They are instances like any other, container tools among them.
    platform.wait_for("web-1", "running");
    let status = platform.ok(&["status", "web-1"]);
    for word in ["container tool", "127.0.0.1:7286:80", "standard"] {
        assert!(status.contains(word), "no `{word}` in {status}");
    }
    assert_eq!(ask(&platform, "POST", "/tools/Web_1/stop", None).0, 200);
    assert_eq!(get(7286, "/kept"), None, "it is stopped");
    assert_eq!(ask(&platform, "POST", "/tools/Web_1/start", None).0, 200);
    wait::until("its answer", || get(7286, "/kept").filter(|said| !said.is_empty()));
    for (name, number) in [("Web_1", 1), ("Web_2", 2)] {
        assert_eq!(ask(&platform, "DELETE", &format!("/tools/{name}"), None).0, 200);
        assert_eq!(docker.get(&format!("/containers/berth-{}/json", id(number))), None, "{name}");
    }
}
