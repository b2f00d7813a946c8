//! The line that each request leaves.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::{Arguments, Line, Records};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::AsyncWriteExt as _;

use crate::platform::{Platform, Shim};

const DEADLINE: Duration = Duration::from_secs(10);
const CALL: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"a":1}}}"#;

/// A shim whose every answer has this status, content type and body, in pieces of seven bytes.
fn answering(status: u16, content_type: &'static str, body: &'static str) -> Shim {
    Arc::new(move |_| {
        Box::pin(async move {
            let pieces = body
                .as_bytes()
                .chunks(7)
                .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))));
            let body = StreamBody::new(futures_util::stream::iter(pieces.collect::<Vec<_>>())).boxed_unsync();
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("content-type", HeaderValue::from_static(content_type));
            response
        })
    })
}

async fn lines(records: &Records) -> Vec<Line> {
    tokio::time::timeout(DEADLINE, records.due()).await.expect("a line came");
    records.take()
}

fn shown(line: &Line) -> String {
    format!(
        "{} {} {} {} {:?} {}",
        line.principal.header.to_str().unwrap(),
        line.instance,
        line.method,
        line.name.as_deref().unwrap_or("-"),
        line.result,
        line.status
    )
}

#[tokio::test]
async fn what_came_of_a_call() {
    let json = "application/json";
    let events = "text/event-stream";
    for (status, kind, body, expected) in [
        (200, json, r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#, "Ok 200"),
        (200, json, r#"{"jsonrpc":"2.0","id":7,"result":{"content":[],"isError":true}}"#, "Error 200"),
        (200, json, r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no"}}"#, "Error 200"),
        (
            200,
            events,
            "data: {\"method\":\"notifications/progress\"}\n\ndata: {\"id\":7,\"result\":{}}\n\n",
            "Ok 200",
        ),
        (200, events, "data: {\"id\":7,\"result\":{\"isError\":true}}\n\n", "Error 200"),
        // Its client took it back.
        (200, events, ": nothing more\n\n", "Cancelled 200"),
        (202, json, "", "Accepted 202"),
        (
            404,
            json,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#,
            "Refused 404",
        ),
        (503, json, r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"busy"}}"#, "Refused 503"),
        (500, json, "", "Error 500"),
    ] {
        let (platform, records) = Platform::recorded(answering(status, kind, body), false).await;
        platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
        let found: Vec<String> = lines(&records).await.iter().map(shown).collect();
        assert_eq!(found, [format!("user:1 echo tools/call echo {expected}")], "{body}");
    }
}

#[tokio::test]
async fn a_call_that_goes_nowhere_leaves_a_line_too() {
    let (platform, records) = Platform::recorded(answering(200, "application/json", "{}"), false).await;
    for (token, path, expected) in [
        ("berth_good", "/mcp/acme/stopped", "user:1 stopped tools/call echo Refused 503"),
        ("berth_good", "/mcp/acme/nothing", "user:1 nothing tools/call echo Refused 404"),
        ("berth_good", "/mcp/acme/nothing/sse", "user:1 nothing tools/call echo Refused 404"),
        ("berth_good", "/mcp/other/echo", "user:1 echo tools/call echo Refused 404"),
        ("berth_scoped_mcp:call:time", "/mcp/acme/echo", "user:1 echo tools/call echo Refused 403"),
    ] {
        let authorization = format!("Bearer {token}");
        platform.send_bare(Method::POST, path, &[("authorization", &authorization)], CALL).await;
        let found = lines(&records).await;
        assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), [expected]);
        assert_eq!(&*found[0].principal.credential, "token:1");
    }
    // Nobody's, and what is no request, leaves none.
    platform.send_bare(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        platform.send(Method::POST, "/mcp/acme/echo", &[], body).await;
    }
    platform.send(Method::GET, "/mcp/acme/echo", &[], "").await;
    platform.send(Method::DELETE, "/mcp/acme/echo", &[], "").await;
    platform
        .send(Method::POST, "/mcp/acme/echo", &[], r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#)
        .await;
    let found: Vec<String> = lines(&records).await.iter().map(shown).collect();
    assert_eq!(found, ["user:1 echo unreadable - Cancelled 200"]);

    let (platform, records) = Platform::recorded_without_shim().await;
    platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    let found: Vec<String> = lines(&records).await.iter().map(shown).collect();
    assert_eq!(found, ["user:1 echo tools/call echo Refused 503"]);
}

#[tokio::test]
async fn each_request_of_a_batch_has_its_own_line() {
    let answer = r#"[{"id":"b","error":{}},{"id":1,"result":{"isError":true}},{"id":2,"result":{}}]"#;
    let (platform, records) = Platform::recorded(answering(200, "application/json", answer), false).await;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}},
        {"jsonrpc":"2.0","method":"notifications/progress"}, 7,
        {"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"file:///a"}},
        {"jsonrpc":"2.0","id":"b","method":"odd\u0000method"},
        {"jsonrpc":"2.0","id":9,"method":"ping"}]"#;
    platform.send(Method::POST, "/mcp/acme/echo", &[], batch).await;
    let found: Vec<String> = lines(&records).await.iter().map(shown).collect();
    assert_eq!(
        found,
        [
            "user:1 echo tools/call x Error 200",
            "user:1 echo unreadable - Cancelled 200",
            "user:1 echo resources/read file:///a Ok 200",
            "user:1 echo odd\u{fffd}method - Error 200",
            "user:1 echo ping - Cancelled 200",
        ]
    );
}

#[tokio::test]
async fn a_client_that_leaves_has_cancelled_whether_the_answer_began_or_not() {
    for begins in [false, true] {
        let (entered, mut calls) = tokio::sync::mpsc::channel::<()>(1);
        let shim: Shim = Arc::new(move |_| {
            let entered = entered.clone();
            Box::pin(async move {
                entered.send(()).await.unwrap();
                if !begins {
                    std::future::pending::<()>().await;
                }
                let first = futures_util::stream::iter([Ok::<_, Infallible>(Frame::data(
                    Bytes::from_static(b": hi\n\n"),
                ))]);
                let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
                let mut response = Response::new(StreamBody::new(body).boxed_unsync());
                response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
                response
            })
        });
        let (platform, records) = Platform::recorded(shim, false).await;
        let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
        let head = format!(
            "POST /mcp/acme/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer berth_good\r\ncontent-length: {}\r\n\r\n{CALL}",
            CALL.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::timeout(DEADLINE, calls.recv()).await.unwrap().unwrap();
        if begins {
            crate::streams::read_until(&mut stream, ": hi").await;
        }
        drop(stream);
        let found: Vec<String> = lines(&records).await.iter().map(shown).collect();
        let status = if begins { 200 } else { 0 };
        assert_eq!(found, [format!("user:1 echo tools/call echo Cancelled {status}")]);
    }
}

#[tokio::test]
async fn parameters_are_kept_when_that_is_wanted_and_never_in_part() {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{}}"#;
    let (platform, records) = Platform::recorded(answering(200, "application/json", answer), false).await;
    platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    assert_eq!(lines(&records).await[0].arguments, None);

    let (platform, records) = Platform::recorded(answering(200, "application/json", answer), true).await;
    platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    let whole = r#"{"name":"echo","arguments":{"a":1}}"#.to_owned();
    assert_eq!(lines(&records).await[0].arguments, Some(Arguments::Whole(whole)));
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{{"a":"{}"}}}}"#, "x".repeat(20_000));
    platform.send(Method::POST, "/mcp/acme/echo", &[], &long).await;
    assert_eq!(lines(&records).await[0].arguments, Some(Arguments::TooLong(20_008)));
}

#[tokio::test]
async fn when_nobody_writes_them_down_lines_are_lost_and_calls_go_on() {
    let answer = "[]";
    let (platform, records) = Platform::recorded(answering(200, "application/json", answer), false).await;
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let batch = format!("[{}]", vec![one; 1000].join(","));
    for _ in 0..11 {
        assert_eq!(platform.send(Method::POST, "/mcp/acme/echo", &[], &batch).await.status, StatusCode::OK);
    }
    assert_eq!((records.take().len(), records.lost()), (10_000, 1000));
    platform.send(Method::POST, "/mcp/acme/echo", &[], CALL).await;
    assert_eq!(records.take().len(), 1);
}
