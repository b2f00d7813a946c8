//! The legacy transports: HTTP+SSE of 2024-11-05, and streams that are resumed.

use domain::shim::{KEY_HEADER, PRINCIPAL_HEADER};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{INITIALIZE, KEY, Shim, Stream, proper};

fn plain(principal: &str) -> Vec<(&str, &str)> {
    vec![(KEY_HEADER, KEY), (PRINCIPAL_HEADER, principal), ("content-type", "application/json")]
}

/// Opens a session of HTTP+SSE; also gives the path for its messages.
async fn old_session(shim: &Shim) -> (Stream, String) {
    let mut stream = Stream::open(shim, Method::GET, "/mcp/sse", &plain("user:a"), "").await;
    let endpoint = stream.event().await.unwrap();
    assert_eq!(endpoint.event, "endpoint");
    assert!(endpoint.data.starts_with("sse?sessionId="), "relative: {}", endpoint.data);
    (stream, format!("/mcp/{}", endpoint.data))
}

#[tokio::test]
async fn http_and_sse_of_2024_11_05() {
    let shim = Shim::start("full");
    let (mut stream, path) = old_session(&shim).await;
    let post =
        async |body: &str| shim.ask(Method::POST, &path, &plain("user:a"), body.to_owned()).await.status;
    assert_eq!(post(&INITIALIZE.replace("2025-06-18", "2024-11-05")).await, 202);
    let answer = stream.next().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["protocolVersion"]), (&json!("init"), &json!("2024-11-05")));
    assert_eq!(post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await, 202);
    for n in 1..4 {
        assert_eq!(
            post(&format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"echo","params":{{"n":{n}}}}}"#)).await,
            202
        );
        assert_eq!(stream.next().await.unwrap(), json!({"jsonrpc": "2.0", "id": n, "result": {"n": n}}));
    }
    // What the server says by itself, and before an answer, comes on the same stream.
    let notify = |method: &str| {
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{method}\",\"params\":{{\"progressToken\":$TOKEN}}}}\n"
        );
        let lines = json!([line, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"]);
        json!({"jsonrpc": "2.0", "id": 7, "method": "script", "params": {"_meta": {"progressToken": "t"}, "lines": lines}})
            .to_string()
    };
    for method in ["tools/list_changed", "progress"] {
        post(&notify(method)).await;
        assert_eq!(stream.next().await.unwrap()["method"], format!("notifications/{method}"));
        assert_eq!(stream.next().await.unwrap()["id"], 7);
    }

    // A cancelled call is not answered, and its end is not that of the stream.
    post(&slow_call("never")).await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/progress");
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(post(cancelled).await, 202);
    std::fs::write(shim.dir.path().join("work/never"), "").unwrap();
    let echo = r#"{"jsonrpc":"2.0","id":1,"method":"echo"}"#;
    assert_eq!(post(echo).await, 202);
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert_eq!(stream.next().await.unwrap(), answer);

    for (path, principal, body, status) in [
        (path.as_str(), "user:b", echo, 404),
        ("/mcp/sse", "user:a", echo, 400),
        ("/mcp/sse?sessionId=x", "user:a", echo, 404),
        (path.as_str(), "user:a", "[]", 400),
        (path.as_str(), "user:a", "{", 400),
    ] {
        let answer = shim.ask(Method::POST, path, &plain(principal), body).await;
        assert_eq!(answer.status, status, "{path} {principal} {body}");
    }
    drop(stream);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while post(echo).await != 404 {
        assert!(tokio::time::Instant::now() < deadline, "a session ends with its stream");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    shim.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_the_streams() {
    let shim = Shim::start("full");
    let (mut stream, _) = old_session(&shim).await;
    shim.stop().await;
    assert_eq!(stream.event().await, None);
}

/// A call that says something at once and is answered when `file` exists in the server's directory.
fn slow_call(file: &str) -> String {
    let progress =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$TOKEN}}\n";
    let params = json!({
        "_meta": {"progressToken": 5}, "lines": [progress], "then_wait_for": file,
        "then_lines": [progress, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"done\":true}}\n"],
    });
    json!({"jsonrpc": "2.0", "id": 1, "method": "script", "params": params}).to_string()
}

#[tokio::test]
async fn a_stream_that_broke_off_is_resumed_behind_what_was_seen() {
    for (revision, is_primed) in [("2025-06-18", false), ("2025-11-25", true)] {
        let shim = Shim::start("full");
        let session = shim.session_of("user:a", revision).await;
        let mut headers = proper(&session);
        headers[4].1 = revision;
        let mut stream = Stream::open(&shim, Method::POST, "/mcp", &headers, slow_call("go")).await;
        let mut event = stream.event().await.unwrap();
        if is_primed {
            assert_eq!(event.data, "");
            let first = event.id.unwrap();
            event = stream.event().await.unwrap();
            assert_ne!(event.id.as_ref(), Some(&first));
        }
        let seen = event.id.clone().unwrap();
        assert!(event.data.contains("progressToken"), "{event:?}");
        drop(stream);
        std::fs::write(shim.dir.path().join("work/go"), "").unwrap();
        shim.until("answered", |status| status.in_flight == 0).await;

        let resume = |last: String| {
            let mut headers = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect::<Vec<_>>();
            headers.push(("last-event-id", last));
            headers
        };
        let resumed = resume(seen.clone());
        let resumed: Vec<(&str, &str)> = resumed.iter().map(|(n, v)| (*n, v.as_str())).collect();
        // Twice, because that connection can break too.
        for _ in 0..2 {
            let mut stream = Stream::open(&shim, Method::GET, "/mcp", &resumed, "").await;
            assert_eq!(stream.next().await.unwrap()["params"]["progressToken"], 5);
            let answer: Value = stream.next().await.unwrap();
            assert_eq!((&answer["id"], &answer["result"]["done"]), (&json!(1), &json!(true)));
            assert_eq!(stream.next().await, None);
        }
        // Another session's stream, and one that never was, are gone.
        let other = shim.session_of("user:a", revision).await;
        for (session, last) in [(&other, seen), (&session, "c1-1".to_owned())] {
            let mut headers = proper(session);
            headers.push(("last-event-id", &last));
            let answer = shim.ask(Method::GET, "/mcp", &headers, "").await;
            assert_eq!((answer.status, answer.code()), (400, -32000));
        }
        shim.stop().await;
    }
}

#[tokio::test]
async fn a_session_hears_what_was_said_while_its_stream_was_broken() {
    let shim = Shim::start("full");
    let session = shim.session_of("user:a", "2025-11-25").await;
    let mut stream = Stream::open(&shim, Method::GET, "/mcp", &proper(&session), "").await;
    let first = stream.event().await.unwrap().id.unwrap();
    drop(stream);
    let changed = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n";
    let lines = json!([changed, "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{}}\n"]);
    let script = json!({"jsonrpc": "2.0", "id": 1, "method": "script", "params": {"lines": lines}});
    shim.post(&session, script.to_string()).await;
    let mut headers = proper(&session);
    headers.push(("last-event-id", &first));
    let mut stream = Stream::open(&shim, Method::GET, "/mcp", &headers, "").await;
    assert_eq!(stream.next().await.unwrap()["method"], "notifications/tools/list_changed");
    assert_eq!(shim.ask(Method::DELETE, "/mcp", &proper(&session), "").await.status, 204);
    assert_eq!(stream.event().await, None);
    shim.stop().await;
}
