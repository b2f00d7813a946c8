//! Toolbelts and agents from the command line to the server's process.

use std::process::Output;

use serde_json::{Value, json};
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

fn run(platform: &Platform, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = platform.command(arguments).output().expect("`berth` starts");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// What is answered to somebody who calls a tool at an MCP address with a token.
fn call(platform: &Platform, token: &str, instance: &str, tool: &str) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let url = format!("{}/mcp/default/{instance}", platform.url());
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {
                "name": tool,
                "arguments": { "message": "hi" },
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        });
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        let sent = client
            .post(url)
            .bearer_auth(token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool)
            .json(&message)
            .send()
            .await
            .expect("an answer");
        let status = sent.status().as_u16();
        let text = sent.text().await.expect("a body");
        let json = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
        (status, serde_json::from_str(json).unwrap_or(Value::String(text)))
    })
}

#[test]
fn an_agent_calls_through_its_toolbelt_what_it_was_granted_with_what_it_brings() {
    let platform = Platform::start(BERTH);
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "notes", "--each-caller", "NAME", "--wait"]);

    // Each step says what is missing until it is done.
    let made = platform.json(&["agent", "create", "writer", "--description", "writes"]);
    assert_eq!((&made["toolbelt"], &made["created_by_name"]), (&json!("writer"), &json!("admin")));
    let (code, said) = run(&platform, &["toolbelt", "add", "writer", "notes"]);
    assert!(code == Some(1) && said.contains("berth agent grant writer --environment local"), "{said}");
    platform.ok(&["agent", "grant", "writer", "--environment", "local"]);
    platform.ok(&["toolbelt", "add", "writer", "notes", "welcome"]);
    let token = platform.ok(&["agent", "token", "create", "writer"]).trim().to_owned();
    let (_, refused) = call(&platform, &token, "welcome", "echo");
    assert!(refused.to_string().contains("is not available to this caller"), "{refused}");
    let (status, refused) = call(&platform, &token, "nothing", "echo");
    assert_eq!(status, 403, "{refused}");
    platform.ok(&["agent", "grant", "writer", "--tool", "welcome/ec*"]);
    let (_, answer) = call(&platform, &token, "welcome", "echo");
    assert_eq!(answer["result"]["content"][0]["text"], "hi", "{answer}");
    let (_, refused) = call(&platform, &token, "welcome", "add");
    assert!(refused.to_string().contains("is not available to this caller"), "{refused}");

    // What it brings is for its calls.
    platform.ok(&[
        "agent",
        "grant",
        "writer",
        "--server",
        "notes",
        "--level",
        "full-access",
        "--expires",
        "1h",
    ]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "of-the-agent").expect("it is written");
    let typed = format!("NAME=@{}", file.path().display());
    let kept = platform.json(&["agent", "credential", "add", "writer", "notes", &typed]);
    assert_eq!((&kept["names"], &kept["is_used"]), (&json!(["NAME"]), &json!(true)));
    wait::until("the agent's own value", || {
        let (_, answer) = call(&platform, &token, "notes", "who");
        answer.to_string().contains("of-the-agent").then_some(())
    });
    let (code, said) = run(&platform, &["call", "notes", "who"]);
    assert!(code == Some(1) && said.contains("berth secret own notes NAME=@FILE"), "nobody else's: {said}");

    let shown = platform.ok(&["agent", "show", "writer"]);
    for word in ["writes", "local", "allowed", "welcome/ec*", "full_access", "NAME"] {
        assert!(shown.contains(word), "{word}:\n{shown}");
    }
    assert!(!shown.contains("of-the-agent"), "{shown}");
    platform.ok(&["agent", "revoke", "writer", "--tool", "welcome/ec*"]);
    let (_, refused) = call(&platform, &token, "welcome", "echo");
    assert!(refused.to_string().contains("is not available to this caller"), "{refused}");
    let (code, said) = run(&platform, &["agent", "delete", "writer"]);
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    platform.ok(&["agent", "delete", "writer", "--yes"]);
    assert_eq!(call(&platform, &token, "welcome", "echo").0, 401);
    assert_eq!(platform.json(&["toolbelt", "list"]), json!([]));
}

#[test]
fn a_toolbelt_is_called_as_an_instance_is() {
    let platform = Platform::start(BERTH);
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "notes", "--wait"]);
    let belt = platform.json(&["toolbelt", "create", "work", "welcome", "notes"]);
    let members: Vec<&Value> =
        belt["members"].as_array().expect("a list").iter().map(|one| &one["instance"]).collect();
    assert_eq!(members, ["welcome", "notes"]);
    let tools = platform.ok(&["tools", "work"]);
    assert!(tools.contains("echo"), "{tools}");
    platform.ok(&["call", "work", "echo", r#"{"message":"hi"}"#]);
    platform.ok(&["toolbelt", "rename", "work", "echo", "say"]);
    assert!(platform.ok(&["call", "work", "say", r#"{"message":"hello"}"#]).contains("hello"));
    platform.ok(&["toolbelt", "set", "work", "--tool", "say", "--off"]);
    let (code, said) = run(&platform, &["call", "work", "say", r#"{"message":"hello"}"#]);
    assert_eq!(code, Some(1), "{said}");
    let shown = platform.ok(&["toolbelt", "show", "work", "--features"]);
    assert!(shown.contains("say") && shown.contains("hidden"), "{shown}");
    assert!(platform.ok(&["connect", "work", "--no-token"]).contains("/mcp/default/work"));
    for (arguments, words) in [
        (&["toolbelt", "add", "work", "work"][..], "a toolbelt has no toolbelts in it"),
        (&["toolbelt", "add", "work", "welcom"], "did you mean `welcome`?"),
        (&["toolbelt", "create", "welcome"], "`welcome-2` is free"),
        (&["toolbelt", "set", "work"], "say what is to change"),
        (&["toolbelt", "set", "work", "--tool", "say"], "say what is to become of `say`"),
        (&["toolbelt", "delete", "work"], "--yes"),
        (&["deploy", &server, "--name", "work"], "a toolbelt `work` exists already"),
    ] {
        let (code, said) = run(&platform, arguments);
        assert!(code != Some(0) && said.contains(words), "{arguments:?}: {said}");
    }
    platform.ok(&["toolbelt", "delete", "work", "--yes"]);
}
