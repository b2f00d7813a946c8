//! Bad input as a table: the exact status and JSON-RPC code for each.

use domain::shim::{KEY_HEADER, MAX_MESSAGE, PRINCIPAL_HEADER};
use http::Method;

use crate::harness::{KEY, Shim, proper};

/// A name, a header that differs, the body, the status, the code.
type Case<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a str, u16, i64);

const ECHO: &str = r#"{"jsonrpc":"2.0","id":"i","method":"echo"}"#;

#[tokio::test]
async fn each_fault_has_its_status_and_code() {
    let (shim, session) = Shim::with_session("normal").await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"echo","params":{}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    // What differs from a proper request: a header (an empty value removes it), or the body.
    let cases: &[Case<'_>] = &[
        ("no key", Some((KEY_HEADER, "")), ECHO, 401, -32000),
        ("a wrong key", Some((KEY_HEADER, "the-keys")), ECHO, 401, -32000),
        ("no principal", Some((PRINCIPAL_HEADER, "")), ECHO, 400, -32000),
        ("no content type", Some(("content-type", "")), ECHO, 415, -32000),
        ("a wrong content type", Some(("content-type", "text/plain")), ECHO, 415, -32000),
        (
            "a content type with a charset",
            Some(("content-type", "Application/JSON; charset=utf-8")),
            ECHO,
            200,
            0,
        ),
        ("nothing acceptable", Some(("accept", "text/html")), ECHO, 406, -32000),
        ("anything acceptable", Some(("accept", "*/*")), ECHO, 200, 0),
        ("an unknown revision", Some(("mcp-protocol-version", "1999-01-01")), ECHO, 400, -32000),
        ("no revision", Some(("mcp-protocol-version", "")), ECHO, 200, 0),
        ("a modern revision without _meta", Some(("mcp-protocol-version", "2026-07-28")), ECHO, 400, -32602),
        ("no session", Some(("mcp-session-id", "")), ECHO, 400, -32000),
        ("a foreign session", Some(("mcp-session-id", "nonsense")), ECHO, 404, -32000),
        (
            "an unknown session",
            Some(("mcp-session-id", "00000000000000000000000000000000")),
            ECHO,
            404,
            -32000,
        ),
        ("no body", None, "", 400, -32700),
        ("no JSON", None, "{\"jsonrpc\":", 400, -32700),
        ("too deep", None, &deep, 400, -32700),
        ("a batch", None, "[]", 400, -32600),
        ("no object", None, "\"x\"", 400, -32600),
        ("no jsonrpc", None, r#"{"id":1,"method":"echo"}"#, 400, -32600),
        ("a wrong jsonrpc", None, r#"{"jsonrpc":"1.0","id":1,"method":"echo"}"#, 400, -32600),
        ("a null id", None, r#"{"jsonrpc":"2.0","id":null,"method":"echo"}"#, 400, -32600),
        ("an object as id", None, r#"{"jsonrpc":"2.0","id":{},"method":"echo"}"#, 400, -32600),
        ("two ids", None, r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"echo"}"#, 400, -32600),
        ("an escaped key", None, r#"{"jsonrpc":"2.0","\u0069d":1,"method":"echo"}"#, 400, -32600),
        ("a number as method", None, r#"{"jsonrpc":"2.0","id":1,"method":1}"#, 400, -32600),
        ("neither request nor answer", None, r#"{"jsonrpc":"2.0","id":1}"#, 400, -32600),
        (
            "initialize without a version",
            None,
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#,
            400,
            -32602,
        ),
        (
            "initialize with a number as version",
            None,
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}"#,
            400,
            -32602,
        ),
        (
            "discover without _meta",
            None,
            r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#,
            400,
            -32602,
        ),
        ("a notification", None, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, 202, 0),
        ("an answer", None, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 202, 0),
        ("proper", None, ECHO, 200, 0),
    ];
    for (name, header, body, status, code) in cases {
        let mut headers = proper(&session);
        if let Some((key, value)) = header {
            headers.retain(|(name, _)| name != key);
            if !value.is_empty() {
                headers.push((key, value));
            }
        }
        let answer = shim.ask(Method::POST, "/mcp", &headers, (*body).to_owned()).await;
        assert_eq!((answer.status, answer.code()), (*status, *code), "{name}: {answer:?}");
    }
    // The id is in the error as soon as it could be read.
    let answer = shim.post("nonsense", ECHO).await;
    assert_eq!(answer.json()["id"], "i");
    assert_eq!(shim.status().await.restarts, 0);
    shim.stop().await;
}

const CAPABILITIES: &str = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
const CALL: &str = r#"{"jsonrpc":"2.0","id":"i","method":"tools/call","params":{"name":"n","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

#[tokio::test]
async fn each_fault_of_a_modern_client_has_its_status_and_code() {
    let shim = Shim::start("normal");
    let plain = |method: &str| CALL.replace("tools/call", method).replace(r#""name":"n","#, "");
    let state = CALL.replace(r#""name":"n""#, r#""name":"n","requestState":"x""#);
    let cases: &[Case<'_>] = &[
        ("proper", None, CALL, 200, 0),
        ("no version header", Some(("mcp-protocol-version", "")), CALL, 400, -32020),
        ("another version header", Some(("mcp-protocol-version", "2025-11-25")), CALL, 400, -32020),
        ("no method header", Some(("mcp-method", "")), CALL, 400, -32020),
        ("another method header", Some(("mcp-method", "tools/list")), CALL, 400, -32020),
        ("no name header", Some(("mcp-name", "")), CALL, 400, -32020),
        ("another name header", Some(("mcp-name", "m")), CALL, 400, -32020),
        ("a coded name header", Some(("mcp-name", "=?base64?bg==?=")), CALL, 200, 0),
        ("a name header that is badly coded", Some(("mcp-name", "=?base64?!?=")), CALL, 400, -32020),
        ("a session is ignored", Some(("mcp-session-id", "nonsense")), CALL, 200, 0),
        (
            "an unknown revision",
            Some(("mcp-protocol-version", "2027-01-01")),
            &CALL.replace("2026-07-28", "2027-01-01"),
            400,
            -32022,
        ),
        ("no capabilities", None, &CALL.replace(&format!(",{CAPABILITIES}"), ""), 400, -32602),
        (
            "capabilities that are none",
            None,
            &CALL.replace(CAPABILITIES, &CAPABILITIES.replace("{}", "1")),
            400,
            -32602,
        ),
        (
            "no _meta",
            None,
            r#"{"jsonrpc":"2.0","id":"i","method":"tools/call","params":{"name":"n"}}"#,
            400,
            -32602,
        ),
        ("two names", None, &CALL.replace(r#""name":"n""#, r#""name":"n","name":"m""#), 400, -32600),
        (
            "two versions",
            None,
            &CALL.replace(CAPABILITIES, &format!("{CAPABILITIES},{CAPABILITIES}")),
            400,
            -32600,
        ),
        ("a state that is not ours", None, &state, 200, -32602),
        (
            "two states",
            None,
            &state.replace(r#""requestState""#, r#""requestState":"y","requestState""#),
            400,
            -32600,
        ),
        ("a removed method", Some(("mcp-method", "ping")), &plain("ping"), 404, -32601),
        (
            "a removed subscription",
            Some(("mcp-method", "resources/subscribe")),
            &plain("resources/subscribe"),
            404,
            -32601,
        ),
        (
            "initialize in a modern shape",
            Some(("mcp-method", "initialize")),
            &plain("initialize"),
            404,
            -32601,
        ),
        ("a name header of no task", Some(("mcp-method", "tasks/get")), &plain("tasks/get"), 400, -32020),
        (
            "nothing to listen to",
            Some(("mcp-method", "subscriptions/listen")),
            &plain("subscriptions/listen"),
            400,
            -32602,
        ),
        ("a batch", None, &format!("[{CALL}]"), 400, -32000),
        ("nothing acceptable", Some(("accept", "text/html")), CALL, 406, -32000),
    ];
    for (name, header, body, status, code) in cases {
        let mut headers = vec![
            (KEY_HEADER, KEY),
            (PRINCIPAL_HEADER, "user:a"),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "n"),
        ];
        if let Some((key, value)) = header {
            headers.retain(|(name, _)| name != key);
            if !value.is_empty() {
                headers.push((key, value));
            }
        }
        let answer = shim.ask(Method::POST, "/mcp", &headers, (*body).to_owned()).await;
        assert_eq!((answer.status, answer.code()), (*status, *code), "{name}: {answer:?}");
        assert_eq!(answer.header("mcp-session-id"), "", "{name}");
    }
    shim.stop().await;
}

#[tokio::test]
async fn headers_sent_twice_are_refused() {
    let (shim, session) = Shim::with_session("normal").await;
    for (name, value, status) in [
        (KEY_HEADER, KEY, 401),
        (PRINCIPAL_HEADER, "user:a", 400),
        ("mcp-session-id", session.as_str(), 400),
        ("mcp-protocol-version", "2025-06-18", 400),
    ] {
        let mut headers = proper(&session);
        headers.push((name, value));
        assert_eq!(shim.ask(Method::POST, "/mcp", &headers, ECHO).await.status, status, "{name}");
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_message_above_the_limit_is_413() {
    let (shim, session) = Shim::with_session("normal").await;
    let message = |len: usize| {
        let empty = r#"{"jsonrpc":"2.0","id":1,"method":"seen","params":""}"#.len();
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"seen","params":"{}"}}"#, "x".repeat(len - empty))
    };
    let answer = shim.post(&session, message(MAX_MESSAGE + 1)).await;
    assert_eq!((answer.status, answer.code()), (413, -32600));
    assert_eq!(shim.post(&session, message(MAX_MESSAGE)).await.status, 200);
    shim.stop().await;
}

#[tokio::test]
async fn other_methods_and_paths() {
    let (shim, session) = Shim::with_session("normal").await;
    for (method, path, with_session, status, allow) in [
        (Method::GET, "/mcp", false, 405, "POST"),
        (Method::PUT, "/mcp", true, 405, "GET, POST, DELETE"),
        (Method::DELETE, "/mcp", false, 405, "POST"),
        (Method::POST, "/status", true, 405, "GET"),
        (Method::GET, "/shutdown", true, 405, "POST"),
        (Method::GET, "/", true, 404, ""),
        (Method::POST, "/mcp/", true, 404, ""),
    ] {
        let mut headers = proper(&session);
        if !with_session {
            headers.retain(|(name, _)| *name != "mcp-session-id");
        }
        let answer = shim.ask(method.clone(), path, &headers, "").await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
    }
    for path in ["/mcp", "/status", "/shutdown", "/else"] {
        assert_eq!(shim.ask(Method::POST, path, &[], "").await.status, 401, "{path} without the key");
    }
    shim.stop().await;
}
