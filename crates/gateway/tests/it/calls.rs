//! What reaches the shim, and what of its answer reaches the client.

use http::{Method, StatusCode};

use crate::platform::{Platform, answering};

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;

#[tokio::test]
async fn a_call_passes_byte_for_byte_and_secrets_stay_here() {
    let odd = r#"{"jsonrpc":"2.0", "id":12345678901234567890,"method":"tools/call","params":{"b":1e400,"a":"\u00e9"}}"#;
    let platform = Platform::start(answering(r#"{"jsonrpc":"2.0","id":1,"result":{"x":1e400}}"#)).await;
    let headers = [
        ("cookie", "session=1"),
        ("berth-key", "forged"),
        ("Berth-Principal", "forged"),
        ("berth-anything", "forged"),
        ("connection", "x-drop, close"),
        ("x-drop", "1"),
        ("mcp-session-id", "s1"),
        ("mcp-protocol-version", "2025-11-25"),
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
    ];
    let answer = platform.send(Method::POST, "/mcp/acme/echo?token=x", &headers, odd).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, r#"{"jsonrpc":"2.0","id":1,"result":{"x":1e400}}"#);
    assert_eq!(answer.headers["mcp-session-id"], "s1");

    let seen = platform.last_seen();
    assert_eq!(seen.body, odd);
    assert_eq!((seen.method, seen.uri.to_string()), (Method::POST, "/mcp".to_owned()));
    for gone in ["authorization", "cookie", "berth-anything", "x-drop"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(seen.headers.get_all("berth-key").iter().collect::<Vec<_>>(), ["the-key"]);
    assert_eq!(seen.headers.get_all("berth-principal").iter().collect::<Vec<_>>(), ["user:1"]);
    for kept in ["mcp-session-id", "mcp-protocol-version", "accept", "content-type"] {
        assert!(seen.headers.contains_key(kept), "{kept}");
    }
}

#[tokio::test]
async fn get_and_delete_pass_too() {
    let platform = Platform::start(answering("{}")).await;
    for method in [Method::GET, Method::DELETE] {
        let answer = platform.send(method.clone(), "/mcp/acme/echo", &[("mcp-session-id", "s")], "").await;
        assert_eq!((answer.status, platform.last_seen().method), (StatusCode::OK, method));
    }
}

#[tokio::test]
async fn a_dtma_in_between_gets_its_own_token() {
    let platform = Platform::start(answering("{}")).await;
    platform.send(Method::POST, "/mcp/acme/behind", &[], CALL).await;
    let seen = platform.last_seen();
    assert_eq!(seen.headers["authorization"], "Bearer dtma");
    assert_eq!(seen.headers["berth-key"], "the-key");
    assert_eq!(seen.uri, "/v1/instances/x/mcp");
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let platform = Platform::start(answering("{}")).await;
    for _ in 0..50 {
        assert_eq!(platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await.status, StatusCode::OK);
    }
    assert_eq!(platform.seen.lock().unwrap().len(), 50, "no call is sent twice");
}
