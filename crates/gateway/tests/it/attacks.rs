//! What no honest client sends.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::platform::{Platform, answering, gateway};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// Sends bytes as they are; what comes back before the connection is closed, or nothing more comes.
async fn raw(platform: &Platform, text: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // A connection that is reset has said what it had to say.
    drop(read);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_request_has_one_end() {
    let platform = Platform::start(answering("{}")).await;
    let head = "POST /mcp/acme/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer berth_good\r\n";
    let smuggled = "POST /mcp/acme/behind HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    for (what, headers, body) in [
        ("two lengths", "content-length: 5\r\ncontent-length: 6\r\n\r\n", "hello"),
        ("a length that is none", "content-length: +5\r\n\r\n", "hello"),
        ("a length and chunks", "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n", "0\r\n\r\n"),
        ("chunks that are not last", "transfer-encoding: chunked, gzip\r\n\r\n", "0\r\n\r\n"),
        ("chunks in disguise", "transfer-encoding: xchunked\r\n\r\n", "0\r\n\r\n"),
        ("a folded header", "x: a\r\n b: c\r\ncontent-length: 5\r\n\r\n", "hello"),
        ("a space before the colon", "content-length : 5\r\n\r\n", "hello"),
    ] {
        let answer = raw(&platform, &format!("{head}{headers}{body}{smuggled}")).await;
        let answers: Vec<&str> = answer.matches("HTTP/1.1 ").collect();
        let seen = platform.seen.lock().unwrap();
        assert!(answers.len() <= 2, "{what}: {answer}");
        for one in seen.iter() {
            assert!(one.uri.path().ends_with("/mcp"), "{what}: the shim saw {}", one.uri);
            assert!(!one.headers.contains_key("transfer-encoding"), "{what}: {:?}", one.headers);
            assert!(one.body.is_empty() || one.body == "hello", "{what}: {:?}", one.body);
        }
        // What follows is without a token, whether it was read as a request or not.
        assert!(
            !answer.contains("HTTP/1.1 200") || answers.len() == 1 || answer.contains("HTTP/1.1 401"),
            "{what}: {answer}"
        );
    }
    platform.seen.lock().unwrap().clear();
    let refused = [
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    ];
    for headers in refused {
        let answer = raw(&platform, &format!("{head}{headers}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers}: {answer}");
    }
    assert!(platform.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nothing_from_outside_passes_for_the_gateways_own() {
    let platform = Platform::start(answering("{}")).await;
    let headers = [
        ("berth-key", "x"),
        ("Berth-Key", "y"),
        ("berth-principal", "user:admin"),
        ("BERTH-PRINCIPAL", "user:admin"),
        ("berth-rule", "e30="),
        ("berth-refused", "x"),
        ("connection", "berth-key, keep-alive"),
        ("te", "trailers"),
        ("upgrade", "websocket"),
        ("proxy-authorization", "Basic x"),
        ("x-forwarded-for", "127.0.0.1"),
    ];
    platform.send(http::Method::POST, "/mcp/acme/echo", &headers, CALL).await;
    let seen = platform.last_seen().headers;
    let principals: Vec<_> = seen.get_all("berth-principal").iter().collect();
    assert_eq!(principals, ["user:1"]);
    let keys: Vec<_> = seen.get_all("berth-key").iter().collect();
    assert!(keys.len() == 1 && keys[0] != "x" && keys[0] != "y", "{keys:?}");
    for gone in [
        "berth-rule",
        "berth-refused",
        "te",
        "upgrade",
        "proxy-authorization",
        "authorization",
        "transfer-encoding",
    ] {
        assert!(!seen.contains_key(gone), "{gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_not_waited_for() {
    let gateway = gateway();
    for sent in [None, Some("{\"jsonrpc\"")] {
        let begun =
            futures_util::stream::iter(sent.map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part)))));
        let never = futures_util::stream::pending();
        let body = StreamBody::new(futures_util::StreamExt::chain(begun, never));
        let request =
            Request::post("/mcp/acme/echo").header("authorization", "Bearer berth_good").body(body).unwrap();
        let answer = gateway.call(request).await;
        assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("30 s"), "{body:?}");
    }
}
