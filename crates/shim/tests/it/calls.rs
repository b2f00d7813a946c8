//! Calls: answers, streams, cancellation, sessions, and servers that answer wrongly.

use domain::shim::{KEY_HEADER, Opening, PRINCIPAL_HEADER};
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::harness::{INITIALIZE, KEY, Shim, events, proper};

/// A request for the scripted server.
fn script(params: &serde_json::Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "script", "params": params}).to_string()
}

#[tokio::test]
async fn an_answer_comes_back_byte_for_byte() {
    let (shim, session) = Shim::with_session("normal").await;
    let answer = shim
        .post(&session, r#"{"jsonrpc":"2.0","id":1.50,"method":"script","params":{"lines":["{\"id\":$ID,\"jsonrpc\":\"2.0\",  \"result\":{\"n\":123456789012345678901234,\"é😀\":1.0}}\n"]}}"#)
        .await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        answer.text,
        r#"{"id":1.50,"jsonrpc":"2.0",  "result":{"n":123456789012345678901234,"é😀":1.0}}"#
    );
    shim.stop().await;
}

#[tokio::test]
async fn a_request_on_several_lines_is_one_line_to_the_server() {
    let (shim, session) = Shim::with_session("normal").await;
    let answer = shim
        .post(&session, "{\n\"jsonrpc\": \"2.0\",\r\n\"id\": \"a\",\n\"method\": \"echo\",\n\"params\": {\"x\": \"a\\nb\"}\n}\n")
        .await;
    assert_eq!(answer.json(), json!({"jsonrpc": "2.0", "id": "a", "result": {"x": "a\nb"}}));
    shim.stop().await;
}

#[tokio::test]
async fn progress_before_the_answer_makes_a_stream() {
    let (shim, session) = Shim::with_session("normal").await;
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":$TOKEN,"progress":1}}"#;
    let params = json!({
        "_meta": {"progressToken": "tok"},
        "lines": [progress.to_owned() + "\n", "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"],
    });
    let answer = shim.post(&session, script(&params)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    let expected =
        [progress.replace("$TOKEN", "\"tok\""), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()];
    assert_eq!(events(&answer.text), expected);

    let mut json_only = proper(&session);
    json_only[3].1 = "application/json";
    let answer = shim.ask(Method::POST, "/mcp", &json_only, script(&params)).await;
    assert_eq!(
        (answer.header("content-type"), answer.text.as_str()),
        ("application/json", expected[1].as_str())
    );

    let mut events_only = proper(&session);
    events_only[3].1 = "text/event-stream";
    let echo = r#"{"jsonrpc":"2.0","id":2,"method":"echo"}"#;
    let answer = shim.ask(Method::POST, "/mcp", &events_only, echo).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(events(&answer.text), [r#"{"jsonrpc": "2.0", "id": 2, "result": {}}"#]);
    shim.stop().await;
}

#[tokio::test]
async fn a_stream_delivers_before_the_call_ends() {
    let (shim, session) = Shim::with_session("normal").await;
    let params = json!({
        "_meta": {"progressToken": 5},
        "lines": ["{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$TOKEN}}\n"],
    });
    let mut response = shim.send(Method::POST, "/mcp", &proper(&session), script(&params)).await;
    let frame = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&frame).contains("\"progressToken\":5"));
    assert_eq!(shim.status().await.in_flight, 1, "no answer was sent yet");

    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(shim.post(&session, cancel).await.status, 202);
    assert!(response.body_mut().frame().await.is_none(), "a cancelled call's stream ends");
    let seen = shim.post(&session, r#"{"jsonrpc":"2.0","id":9,"method":"seen"}"#).await.json();
    let seen = seen["result"].as_array().unwrap().clone();
    let id_of_call = seen.iter().find(|message| message["method"] == "script").unwrap()["id"].clone();
    let cancelled = seen.iter().find(|message| message["method"] == "notifications/cancelled").unwrap();
    assert_eq!(cancelled["params"]["requestId"], id_of_call);
    assert_eq!(shim.status().await.in_flight, 0);
    shim.stop().await;
}

#[tokio::test]
async fn calls_at_once_get_their_own_answers() {
    let (shim, session) = Shim::with_session("normal").await;
    let calls = (0..8).map(|n| {
        let (shim, session) = (&shim, &session);
        async move {
            for round in 0..20 {
                let id = format!("\"{n}-{round}\"");
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"echo","params":{{"n":{n},"r":{round}}}}}"#
                );
                let answer = shim.post(session, body).await;
                let expected =
                    json!({"jsonrpc": "2.0", "id": format!("{n}-{round}"), "result": {"n": n, "r": round}});
                assert_eq!(answer.json(), expected);
            }
        }
    });
    futures(calls).await;
    shim.stop().await;
}

/// Runs several at once, on this thread.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_answered_in_the_one_revision_that_has_them() {
    let shim = Shim::start("normal");
    let mut headers = proper("");
    headers.truncate(4);
    let initialize = INITIALIZE.replace("2025-06-18", "2025-03-26");
    let session =
        shim.ask(Method::POST, "/mcp", &headers, initialize).await.header("mcp-session-id").to_owned();
    let batch = r#" [ {"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":1}},
        {"jsonrpc":"2.0","method":"notifications/initialized"}, {"id":"no"},
        {"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-03-26"}},
        MODERN, {"jsonrpc":"2.0","id":"b","method":"echo","params":{"b":[]}} ]"#;
    let batch = batch.replace("MODERN", MODERN_CALL);
    let mut answer = shim.post(&session, batch.clone()).await.json();
    for refused in &mut answer.as_array_mut().unwrap()[..3] {
        refused["error"].as_object_mut().unwrap().remove("message");
    }
    assert_eq!(
        answer,
        json!([
            {"jsonrpc": "2.0", "id": null, "error": {"code": -32600}},
            {"jsonrpc": "2.0", "id": "i", "error": {"code": -32600}},
            {"jsonrpc": "2.0", "id": "m", "error": {"code": -32020}},
            {"jsonrpc": "2.0", "id": 1, "result": {"a": 1}},
            {"jsonrpc": "2.0", "id": "b", "result": {"b": []}},
        ])
    );
    let notes = r#"[{"jsonrpc":"2.0","method":"notifications/initialized"}]"#;
    assert_eq!(shim.post(&session, notes).await.status, 202);
    let empty = shim.post(&session, "[]").await;
    assert_eq!((empty.status, empty.code()), (400, -32600));
    let newer = shim.session("user:a").await;
    let refused = shim.post(&newer, batch).await;
    assert_eq!((refused.status, refused.code()), (400, -32600));
    assert_eq!(shim.status().await.in_flight, 0);
    shim.stop().await;
}

#[tokio::test]
async fn servers_that_answer_wrongly_harm_nobody() {
    let (shim, session) = Shim::with_session("normal").await;
    let good = "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"good\"}\n";
    let cases: &[(&str, serde_json::Value)] = &[
        ("an answer to nobody", json!({"lines": ["{\"jsonrpc\":\"2.0\",\"id\":9999,\"result\":0}\n", good]})),
        (
            "an id of another type",
            json!({"lines": ["{\"jsonrpc\":\"2.0\",\"id\":\"$ID\",\"result\":0}\n", good]}),
        ),
        ("two answers", json!({"lines": [good, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":\"second\"}\n"]})),
        ("garbage before", json!({"lines": ["oops\n", "{\"half\":\n", "\n", good]})),
        ("not UTF-8", json!({"bytes": [[0xff, 0xfe, 0x0a]], "lines": [good]})),
        ("a batch", json!({"lines": ["[{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":0}]\n", good]})),
        (
            "a repeated id",
            json!({"lines": ["{\"jsonrpc\":\"2.0\",\"id\":$ID,\"id\":$ID,\"result\":0}\n", good]}),
        ),
        ("CRLF", json!({"lines": [good.replace('\n', "\r\n")]})),
        (
            "a request to the client",
            json!({"lines": ["{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\"}\n", good]}),
        ),
        (
            "pieces within a character",
            json!({"bytes": [b"{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{\"\xc3".to_vec(), b"\xa9\":1}}\n".to_vec()], "lines": [good]}),
        ),
    ];
    for (name, params) in cases {
        let answer = shim.post(&session, script(params)).await;
        assert_eq!((answer.status, answer.json()["result"].as_str()), (200, Some("good")), "{name}");
    }
    assert_eq!(shim.status().await.restarts, 0);
    let log = shim.log();
    assert!(log.contains("shim line 1 on standard output that is no MCP message"), "{log}");
    shim.stop().await;
}

#[tokio::test]
async fn a_message_just_below_the_limit_passes_and_one_above_is_skipped() {
    let (shim, session) = Shim::with_session("normal").await;
    let answer = shim.post(&session, script(&json!({"sizes": [(16 << 20) - 100]}))).await;
    assert_eq!(answer.text.len(), (16 << 20) - 100 + r#"{"jsonrpc":"2.0","id":1,"result":""}"#.len());
    let both = json!({"sizes": [(16 << 20), 10]});
    assert_eq!(shim.post(&session, script(&both)).await.json()["result"], "x".repeat(10));
    shim.logged("bytes was dropped: the limit is 16777216").await;
    shim.stop().await;
}

#[tokio::test]
async fn sessions_belong_to_their_principal_and_end() {
    let (shim, session) = Shim::with_session("old").await;
    let echo = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
    assert_eq!(shim.post(&session, echo).await.status, 200);
    let other = shim.session("user:b").await;
    assert_ne!(session, other);
    assert_eq!(shim.post(&other, echo).await.status, 404, "another principal's session");
    assert_eq!(shim.ask(Method::DELETE, "/mcp", &proper(&other), "").await.status, 404);
    assert_eq!(shim.ask(Method::DELETE, "/mcp", &proper(&session), "").await.status, 204);
    assert_eq!(shim.post(&session, echo).await.status, 404);
    assert_eq!(shim.ask(Method::DELETE, "/mcp", &proper(&session), "").await.status, 404);
    shim.stop().await;
}

#[tokio::test]
async fn initialize_is_answered_with_what_the_server_said() {
    for (mode, asked, expected) in [
        ("normal", "2025-06-18", "2025-06-18"),
        ("normal", "2026-07-28", "2025-11-25"),
        ("normal", "nonsense", "2025-11-25"),
        ("old", "2025-11-25", "2024-11-05"),
    ] {
        let shim = Shim::start(mode);
        let mut headers = proper("");
        headers.truncate(4);
        let answer = shim.ask(Method::POST, "/mcp", &headers, INITIALIZE.replace("2025-06-18", asked)).await;
        assert_eq!(
            answer.json(),
            json!({"jsonrpc": "2.0", "id": "init", "result": {
                "protocolVersion": expected, "capabilities": {"tools": {}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }}),
            "{mode} {asked}"
        );
        let session = answer.header("mcp-session-id");
        assert!(session.starts_with("7.") && session.len() <= 512, "{session}");
        shim.stop().await;
    }
}

const MODERN_CALL: &str = r#"{"jsonrpc":"2.0","id":"m","method":"echo","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;

fn modern<'a>() -> Vec<(&'a str, &'a str)> {
    vec![
        (KEY_HEADER, KEY),
        (PRINCIPAL_HEADER, "user:a"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "echo"),
    ]
}

#[tokio::test]
async fn a_modern_request_passes_where_the_server_serves_both() {
    let shim = Shim::start_with("normal", |config| config.opening = Opening::Both);
    let answer = shim.ask(Method::POST, "/mcp", &modern(), MODERN_CALL).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (200, Some("m")));
    assert_eq!(answer.header("mcp-session-id"), "");
    for (code, status) in
        [(-32601, 404), (-32602, 200), (-32020, 400), (-32021, 400), (-32022, 400), (-32603, 200)]
    {
        let line =
            format!("{{\"jsonrpc\":\"2.0\",\"id\":$ID,\"error\":{{\"code\":{code},\"message\":\"m\"}}}}\n");
        let mut message: serde_json::Value = serde_json::from_str(MODERN_CALL).unwrap();
        message["method"] = "script".into();
        message["params"]["lines"] = json!([line]);
        let mut headers = modern();
        headers[5].1 = "script";
        let answer = shim.ask(Method::POST, "/mcp", &headers, message.to_string()).await;
        assert_eq!((answer.status, answer.code()), (status, code));
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_client_who_leaves_cancels_a_modern_call_and_not_a_legacy_one() {
    let shim = Shim::start_with("normal", |config| config.opening = Opening::Both);
    let session = shim.session("user:a").await;
    let hang = MODERN_CALL.replace("\"echo\"", "\"script\"");
    let mut headers = modern();
    headers[5].1 = "script";
    {
        let call = shim.send(Method::POST, "/mcp", &headers, hang);
        let in_flight = shim.until("in flight", |status| status.in_flight == 1);
        tokio::select! {
            _ = call => panic!("it hangs"),
            _ = in_flight => {}
        }
    }
    shim.until("cancelled", |status| status.in_flight == 0).await;
    let seen = shim.post(&session, r#"{"jsonrpc":"2.0","id":9,"method":"seen"}"#).await.text;
    assert!(seen.contains("notifications/cancelled"), "{seen}");
    {
        let headers = proper(&session);
        let call = shim.send(Method::POST, "/mcp", &headers, r#"{"jsonrpc":"2.0","id":2,"method":"script"}"#);
        let in_flight = shim.until("in flight", |status| status.in_flight == 1);
        tokio::select! {
            _ = call => panic!("it hangs"),
            _ = in_flight => {}
        }
    }
    let seen = shim.post(&session, r#"{"jsonrpc":"2.0","id":9,"method":"seen"}"#).await.text;
    assert!(seen.contains("script") && !seen.contains("notifications/cancelled"), "{seen}");
    assert_eq!(shim.status().await.in_flight, 1);
    shim.stop().await;
}

#[tokio::test]
async fn too_many_calls_are_told_to_come_back() {
    let shim = Shim::start_with("normal", |config| config.max_in_flight = 1);
    let session = shim.session("user:a").await;
    let headers = proper(&session);
    let call = shim.send(Method::POST, "/mcp", &headers, r#"{"jsonrpc":"2.0","id":1,"method":"script"}"#);
    let second = async {
        shim.until("in flight", |status| status.in_flight == 1).await;
        shim.post(&session, r#"{"jsonrpc":"2.0","id":"two","method":"echo"}"#).await
    };
    let answer = tokio::select! {
        _ = call => panic!("it hangs"),
        answer = second => answer,
    };
    assert_eq!((answer.status, answer.code(), answer.header("retry-after")), (503, -32603, "1"));
    assert_eq!(answer.json()["id"], "two");
    shim.stop().await;
}
