//! Rules that depend on what tools say of themselves.

use base64::Engine as _;
use domain::shim::{KEY_HEADER, Mode, PRINCIPAL_HEADER, RULE_HEADER};
use http::Method;
use serde_json::json;

use crate::harness::{Answer, KEY, Shim, proper};

const META: &str = "io.modelcontextprotocol";
const RULE: &str = r#"{"tools":{"deny":[{"name":"*","hint":"destructive"}]}}"#;

/// A request in a session, or without one as a modern client makes it.
async fn ask(shim: &Shim, session: Option<&str>, rule: Option<&str>, method: &str, tool: &str) -> Answer {
    let mut params = if tool.is_empty() { json!({}) } else { json!({ "name": tool }) };
    let mut headers = match session {
        Some(session) => proper(session),
        None => vec![
            (KEY_HEADER, KEY),
            (PRINCIPAL_HEADER, "user:a"),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ],
    };
    if session.is_none() {
        params["_meta"] = json!({
            format!("{META}/protocolVersion"): "2026-07-28",
            format!("{META}/clientCapabilities"): {},
        });
        if !tool.is_empty() {
            headers.push(("mcp-name", tool));
        }
    }
    let rule = rule.map(|rule| base64::engine::general_purpose::STANDARD.encode(rule));
    headers.extend(rule.as_deref().map(|rule| (RULE_HEADER, rule)));
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    shim.ask(Method::POST, "/mcp", &headers, body).await
}

/// How often the server was asked for its tools since the last time.
async fn lists(shim: &Shim, session: &str) -> usize {
    let seen = ask(shim, Some(session), None, "seen", "").await.json();
    seen["result"].as_array().unwrap().iter().filter(|message| message["method"] == "tools/list").count()
}

#[tokio::test]
async fn what_a_tool_says_decides_for_calls_and_lists_of_both_eras() {
    let shim = Shim::start_with("hints", |config| config.mode = Mode::Shared);
    let session = shim.session("user:a").await;
    ask(&shim, Some(&session), None, "seen", "").await;
    for session in [Some(session.as_str()), None] {
        for (tool, allowed) in [("read", true), ("drop", false), ("add", true), ("nobody-knows-it", false)] {
            let answer = ask(&shim, session, Some(RULE), "tools/call", tool).await;
            let expected = if allowed { 0 } else { -32602 };
            let code = answer.json()["error"]["code"].as_i64().unwrap_or_default();
            assert_eq!((answer.status, code), (200, expected), "{tool}: {answer:?}");
        }
        let listed = ask(&shim, session, Some(RULE), "tools/list", "").await.json();
        let names: Vec<_> = listed["result"]["tools"].as_array().unwrap().iter().collect();
        assert_eq!((names.len(), &names[0]["name"]), (1, &json!("read")), "{listed}");
    }
    // Two pages once, and what the clients themselves asked for.
    assert_eq!(lists(&shim, &session).await, 2 + 2);

    // The server says that its tools are others.
    let tame = ask(&shim, Some(&session), None, "tools/call", "tame").await;
    assert_eq!(tame.status, 200, "{tame:?}");
    let answer = ask(&shim, Some(&session), Some(RULE), "tools/call", "drop").await;
    assert!(answer.json()["error"].is_null(), "{answer:?}");
    assert_eq!(lists(&shim, &session).await, 2);

    // A rule that the name decides asks for nothing.
    let rule = r#"{"tools":{"allow":["read"],"deny":[{"name":"drop","hint":"destructive"}]}}"#;
    ask(&shim, None, Some(rule), "tools/call", "read").await;
    assert_eq!(lists(&shim, &session).await, 0);
    shim.stop().await;
}

#[tokio::test]
async fn a_call_that_depends_on_a_list_that_does_not_come_is_refused() {
    let shim = Shim::start("unlisted");
    let session = shim.session("user:a").await;
    let answer = ask(&shim, Some(&session), Some(RULE), "tools/call", "read").await;
    let said = answer.json()["error"]["message"].to_string();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(said.contains("a rule depends on what this tool says of itself"), "{said}");
    assert_eq!(ask(&shim, Some(&session), None, "tools/call", "read").await.status, 200);
    shim.stop().await;
}
