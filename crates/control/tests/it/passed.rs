//! Requests that are refused before their body is there.

use std::sync::Arc;
use std::time::Duration;

use api::users::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::dtma::FakeDtma;
use crate::platform::{Life, Platform};

/// Reads one whole answer.
async fn answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    format!("{head}{}", String::from_utf8(body).unwrap())
}

/// Head and body in two pieces, as many clients write them: the answer comes after the second, and the connection goes on.
#[tokio::test]
async fn a_refusal_waits_for_the_body_and_keeps_the_connection() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let mut stream = TcpStream::connect(platform.address).await.unwrap();
    let large = vec![b' '; 1 << 20];
    for (token, path, body, status) in [
        ("nobody", "/api/v1/instances", &b"{}"[..], "401"),
        ("nobody", "/api/v1/instances", &large, "401"),
        (&viewer, "/api/v1/instances", &b"{\"server\":\"welcome\"}"[..], "403"),
        (&viewer, "/api/v1/nothing", &large, "404"),
        (&viewer, "/api/v1/whoami", &large, "405"),
        (&platform.owner, "/api/v1/instances", &b"no JSON"[..], "400"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
            content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), stream.peek(&mut [0])).await;
        assert!(early.is_err(), "{path}: it was answered before its body was there");
        stream.write_all(body).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }

    // Who asks first whether the body is wanted is told at once that it is not, and asked for it where it may be.
    for (token, path, status) in
        [("nobody", "/api/v1/instances", "401"), ("nobody", "/mcp/default/welcome", "401")]
    {
        let mut stream = TcpStream::connect(platform.address).await.unwrap();
        stream.write_all(asking(token, path, 1 << 20).as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let body = b"no JSON";
    let mut stream = TcpStream::connect(platform.address).await.unwrap();
    stream.write_all(asking(&platform.owner, "/api/v1/instances", body.len()).as_bytes()).await.unwrap();
    let mut word = [0; 25];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body).await.unwrap();
    let answer = answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    platform.stop().await;
}

/// The head of a request whose body comes when it is asked for.
fn asking(token: &str, path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
        accept: application/json, text/event-stream\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    )
}
