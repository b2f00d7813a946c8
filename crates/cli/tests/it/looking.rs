//! Looking at instances from the command line: what happened to one, all of them at once, and one put into a client's file.

use testkit::platform::Platform;

use crate::BERTH;

#[test]
fn events_top_and_a_clients_file() {
    let platform = Platform::start(BERTH);
    platform.wait_for("welcome", "running");
    let events = platform.json(&["events", "welcome"]);
    let words: Vec<&str> = events
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["action"].as_str().or(event["status"].as_str()))
        .collect();
    assert_eq!((words.first(), words.last()), (Some(&"running"), Some(&"instance.deploy")), "{events:#}");

    platform.ok(&["call", "welcome", "echo", "{\"message\":\"hi\"}"]);
    let top = testkit::wait::until("a call that was counted", || {
        let top = platform.json(&["top", "--once"]);
        (0.0 < top["instances"][0]["calls_per_second"].as_f64()?).then_some(top)
    });
    assert_eq!(top["instances"][0]["status"], "running", "{top:#}");
    assert_eq!(top["environments"][0]["name"], "local", "{top:#}");
    assert!(platform.ok(&["top", "--once", "--filter", "welc"]).contains("running"));

    let home = tempfile::tempdir().expect("a temporary directory");
    let mut command = platform.command(&["--json", "connect", "welcome", "--client", "cursor", "--write"]);
    let output = command.env("HOME", home.path()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let file = std::fs::read_to_string(home.path().join(".cursor/mcp.json")).expect("a file");
    let file: serde_json::Value = serde_json::from_str(&file).expect("JSON");
    let server = &file["mcpServers"]["welcome"];
    assert_eq!(server["url"], platform.mcp_url("welcome"));
    assert_eq!(server["headers"]["Authorization"], format!("Bearer {}", platform.token()));
}
