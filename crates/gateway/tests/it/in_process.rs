//! A call that this process makes in somebody's name is the call that they would make with their token.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;

use crate::platform::{Platform, answering};

const CALL: &str = r#"{"jsonrpc":"2.0","id":"abc-1","method":"tools/call","params":{"name":"echo"}}"#;

async fn call_as(platform: &Platform, bearer: &str, path: &str, body: Bytes) -> (StatusCode, Bytes) {
    let principal = platform.directory.authenticate_known(bearer).unwrap().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("mcp-name", HeaderValue::from_static("echo"));
    // What stands for the gateway's own never passes, whoever calls.
    headers.insert("berth-rule", HeaderValue::from_static("e30="));
    headers.insert("authorization", HeaderValue::from_static("Bearer x"));
    let response = platform.gateway.call_as(&principal, path.parse().unwrap(), headers, body).await;
    let (parts, body) = response.into_parts();
    (parts.status, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn it_is_answered_forwarded_and_noted_alike() {
    let (platform, records) = Platform::recorded(answering(r#"{"id":"abc-1","result":{}}"#), true).await;
    for (bearer, path, expected) in [
        ("berth_good", "/mcp/acme/echo", 200),
        ("berth_good", "/mcp/acme/behind", 200),
        ("berth_good", "/mcp/acme/stopped", 503),
        ("berth_good", "/mcp/acme/starting", 503),
        ("berth_good", "/mcp/acme/tool", 404),
        ("berth_good", "/mcp/acme/nothing", 404),
        ("berth_good", "/mcp/other/echo", 404),
        ("berth_good", "/elsewhere", 404),
        ("berth_scoped_mcp:call:echo/get*", "/mcp/acme/echo", 200),
        ("berth_scoped_mcp:call:echo", "/mcp/acme/behind", 403),
        ("berth_scoped_read", "/mcp/acme/echo", 403),
        ("berth_for_the_api", "/mcp/acme/echo", 401),
    ] {
        platform.seen.lock().unwrap().clear();
        let authorization = format!("Bearer {bearer}");
        let headers =
            [("authorization", authorization.as_str()), ("mcp-name", "echo"), ("berth-rule", "e30=")];
        let sent = platform.send_bare(Method::POST, path, &headers, CALL).await;
        let made = call_as(&platform, bearer, path, Bytes::from_static(CALL.as_bytes())).await;
        assert_eq!((made.0, &made.1), (sent.status, &sent.body), "{bearer} {path}");
        assert_eq!(made.0.as_u16(), expected, "{bearer} {path}");
        let seen: Vec<_> = platform.seen.lock().unwrap().drain(..).collect();
        assert_eq!(seen.len(), if expected == 200 { 2 } else { 0 }, "{bearer} {path}");
        if let [sent, made] = seen.as_slice() {
            assert_eq!((&made.uri, &made.body), (&sent.uri, &sent.body));
            for name in ["berth-key", "berth-principal", "berth-rule", "authorization", "mcp-name", "host"] {
                assert_eq!(made.headers.get(name), sent.headers.get(name), "{bearer} {path}: {name}");
            }
        }
    }
    // Two lines of each but for those whose token was refused before anything was read.
    let mut lines = Vec::new();
    while lines.len() < 24 {
        let due = tokio::time::timeout(std::time::Duration::from_secs(10), records.due());
        due.await.unwrap_or_else(|_| panic!("lines are missing: {}", lines.len()));
        lines.extend(records.take());
    }
    for pair in lines.chunks(2) {
        let shown = |line: &gateway::Line| {
            (
                line.instance.clone(),
                line.method.clone(),
                line.name.clone(),
                line.arguments.clone(),
                line.result,
                line.status,
            )
        };
        assert_eq!(shown(&pair[0]), shown(&pair[1]));
    }
}

#[tokio::test]
async fn limits_are_the_same_and_shared() {
    let platform = Platform::start(answering("{}")).await;
    let headers = [("authorization", "Bearer berth_slow")];
    // The rate's burst is what may come at once.
    let mut taken = 0;
    loop {
        let (status, _) =
            call_as(&platform, "berth_slow", "/mcp/acme/echo", Bytes::from_static(CALL.as_bytes())).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        taken += 1;
        assert!(taken < 100, "there is no limit");
    }
    let sent = platform.send_bare(Method::POST, "/mcp/acme/echo", &headers, CALL).await;
    assert_eq!(sent.status, StatusCode::TOO_MANY_REQUESTS);
    let large = Bytes::from(vec![b' '; domain::shim::MAX_MESSAGE + 1]);
    let (status, _) = call_as(&platform, "berth_good", "/mcp/acme/echo", large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
