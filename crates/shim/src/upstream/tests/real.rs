//! A real server of each era: the fixture, whose SDK is not ours.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{Got, INITIALIZED, Pipe, Transport, modern};

/// Starts the fixture over HTTP; it ends when the child is dropped.
async fn start(era: &str) -> (Child, String) {
    let tests = std::env::current_exe().unwrap();
    let fixture = tests.parent().and_then(|deps| deps.parent()).unwrap().join("fixture");
    assert!(fixture.is_file(), "the fixture server is missing: run `cargo build -p fixture`");
    let mut child = Command::new(fixture)
        .args(["--transport", "http", "--era", era])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    (child, line.trim().to_owned())
}

const INITIALIZE: &str = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{\"sampling\":{}},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}\n";

fn call(id: i64, tool: &str, arguments: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{{{arguments}}},\"_meta\":{{\"progressToken\":{id}}}}}}}\n"
    )
}

/// Opens a session and walks through what a legacy server can do.
async fn legacy(era: &str) {
    let (_child, url) = start(era).await;
    let mut pipe = Pipe::open(&url, Transport::Streamable);
    pipe.send(INITIALIZE).await;
    assert!(pipe.message().await.1.contains("\"protocolVersion\":\"2025-11-25\""));
    pipe.send(INITIALIZED).await;
    pipe.send(&call(1, "echo", "\"message\":\"hallo\"")).await;
    let (origin, message) = pipe.message().await;
    assert!(origin == Some(1) && message.contains("hallo"), "{message}");

    pipe.send(&call(2, "test_tool_with_progress", "")).await;
    for step in ["\"progress\":0", "\"progress\":50", "\"progress\":100", "\"id\":2"] {
        let (origin, message) = pipe.message().await;
        assert!(origin == Some(2) && message.contains(step), "{step}: {message}");
    }

    // The server asks in mid-call, on the call's own stream.
    pipe.send(&call(3, "test_sampling", "\"prompt\":\"p\"")).await;
    let (origin, message) = pipe.message().await;
    assert!(origin == Some(3) && message.contains("sampling/createMessage"), "{message}");
    let asked: serde_json::Value = serde_json::from_str(&message).unwrap();
    pipe.send(&format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"role\":\"assistant\",\"content\":{{\"type\":\"text\",\"text\":\"sampled\"}},\"model\":\"m\"}}}}\n",
        asked["id"]
    ))
    .await;
    let (origin, message) = pipe.message().await;
    assert!(origin == Some(3) && message.contains("sampled"), "{message}");

    pipe.send(&call(4, "wait", "\"ms\":600000")).await;
    pipe.send("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":4}}\n")
        .await;
    pipe.send(&call(5, "echo", "\"message\":\"after\"")).await;
    let (origin, message) = pipe.message().await;
    assert!(origin == Some(5) && message.contains("after"), "{message}");
    pipe.close().await;
}

#[tokio::test]
async fn legacy_servers() {
    legacy("legacy").await;
    legacy("dual").await;
}

async fn modern_era(era: &str) {
    let (_child, url) = start(era).await;
    let mut pipe = Pipe::open(&url, Transport::Streamable);
    if era == "modern" {
        pipe.send(INITIALIZE).await;
        let (_, message) = pipe.message().await;
        assert!(message.contains("\"id\":0") && message.contains("-32022"), "{message}");
    }
    pipe.send(&modern(-1, "server/discover", "")).await;
    let (origin, message) = pipe.message().await;
    assert!(origin.is_none() && message.contains("\"id\":-1") && message.contains("2026-07-28"), "{message}");
    // The list is not known yet, so the header is found out in between.
    let params = r#""name":"test_header_parameter","arguments":{"region":" é"},"#;
    pipe.send(&modern(1, "tools/call", params)).await;
    let (origin, message) = pipe.message().await;
    assert!(origin == Some(1) && !message.contains("\"error\""), "{message}");
    pipe.send(&modern(2, "subscriptions/listen", r#""notifications":{"toolsListChanged":true},"#)).await;
    let (origin, message) = pipe.message().await;
    assert!(origin == Some(2) && message.contains("acknowledged"), "{message}");
    pipe.send(&modern(3, "tools/call", r#""name":"test_trigger_tool_change","arguments":{},"#)).await;
    let mut seen = [pipe.message().await, pipe.message().await];
    seen.sort();
    assert!(seen[0].0 == Some(2) && seen[0].1.contains("tools/list_changed"), "{seen:?}");
    assert!(seen[1].0 == Some(3) && seen[1].1.contains("\"result\""), "{seen:?}");
    pipe.send(&modern(4, "prompts/none", "")).await;
    assert!(matches!(pipe.next().await, Got::Message(Some(4), message) if message.contains("-32601")));
    pipe.close().await;
}

#[tokio::test]
async fn modern_servers() {
    modern_era("modern").await;
    modern_era("dual").await;
}
