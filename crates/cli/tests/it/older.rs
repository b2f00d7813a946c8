//! A caller of the older DTMA and a whole platform: what it deploys on the host is an instance like any other, and what it
//! removes there is gone.

use serde_json::{Value, json};
use testkit::docker::engine;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// The DTMA's address, as `berth up` notes it.
fn dtma(platform: &Platform) -> String {
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
