//! HTTP+SSE of 2024-11-05.

use super::super::old::resolve;
use super::server::{Server, Stream};
use super::{AGREED, Got, INITIALIZED, Pipe, Transport, notification, request, result};

/// The stream is open, and `initialize` answered.
async fn opened() -> (Server, Pipe, Stream) {
    let mut server = Server::start().await;
    let mut pipe = Pipe::open(&server.url, Transport::Sse);
    pipe.send(&request(0, "initialize")).await;
    let asked = server.next("GET").await;
    assert_eq!(asked.header("accept"), "text/event-stream");
    assert!(server.is_quiet());
    let stream = asked.events();
    stream.raw("event: endpoint\ndata: messages?sessionId=1\n\n");
    let asked = server.next("initialize").await;
    assert_eq!((asked.path.as_str(), asked.header("mcp-protocol-version")), ("/messages?sessionId=1", ""));
    asked.reply(202, &[("content-type", "text/plain")], "Accepted");
    stream.message(&result(0, AGREED));
    pipe.expect(None, &result(0, AGREED)).await;
    pipe.send(INITIALIZED).await;
    server.next("notifications/initialized").await.accept();
    (server, pipe, stream)
}

#[tokio::test]
async fn answers_come_on_the_stream() {
    let (mut server, mut pipe, stream) = opened().await;
    pipe.send(&(request(1, "tools/call") + &request(2, "ping") + &request(3, "slow"))).await;
    let asked = server.next("tools/call").await;
    assert_eq!(
        (asked.header("mcp-protocol-version"), asked.header("authorization")),
        ("2025-06-18", "Bearer s3cret")
    );
    stream.message(&result(1, ""));
    pipe.expect(None, &result(1, "")).await;
    // Refused after its answer has come, which is late.
    asked.reply(500, &[], "");
    server.next("ping").await.reply(401, &[], "");
    let (origin, message) = pipe.message().await;
    assert!(origin.is_none() && message.contains("\"id\":2,") && message.contains("(401)"), "{message}");
    server.next("slow").await.accept();
    pipe.send(&notification("notifications/cancelled", "\"requestId\":3")).await;
    server.next("cancelled").await.reply(500, &[], "");
    assert!(
        matches!(pipe.next().await, Got::Note(note) if note.contains("notifications/cancelled did not reach"))
    );
    pipe.close().await;
    stream.is_closed().await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn a_broken_stream_is_begun_again_unseen() {
    let (mut server, mut pipe, stream) = opened().await;
    pipe.send(&request(1, "tools/call")).await;
    server.next("tools/call").await.accept();
    stream.cut();
    let (_, message) = pipe.message().await;
    assert!(message.contains("\"id\":1,") && message.contains("ended its response"), "{message}");
    assert!(matches!(pipe.next().await, Got::Note(note) if note.contains("is opened again")));
    // What is sent meanwhile waits.
    pipe.send(&request(2, "ping")).await;
    server.next("GET").await.reply(503, &[], "");
    let (_, message) = pipe.message().await;
    assert!(message.contains("\"id\":2,") && message.contains("(503)"), "{message}");
    assert!(matches!(pipe.next().await, Got::Note(_)));
    pipe.send(&request(3, "ping")).await;
    let stream = server.next("GET").await.events();
    stream.raw("event: endpoint\ndata: /messages?sessionId=2\n\n");
    let asked = server.next("initialize").await;
    assert!(server.is_quiet());
    assert_eq!(asked.path, "/messages?sessionId=2");
    asked.accept();
    stream.message(&result(0, AGREED));
    server.next("notifications/initialized").await.accept();
    assert_eq!(pipe.next().await, Got::Reopened);
    server.next("ping").await.accept();
    stream.message(&result(3, ""));
    pipe.expect(None, &result(3, "")).await;
}

#[tokio::test]
async fn streams_that_cannot_be_worked_with() {
    let mut server = Server::start().await;
    let port = server.host().rsplit_once(':').unwrap().1.to_owned();
    for (event, expected) in [
        ("event: endpoint\ndata: https://127.0.0.1:1/s3cret\n\n", "another origin"),
        ("event: endpoint\ndata: //elsewhere/messages\n\n", "another origin"),
        ("data: {}\n\n", "did not begin with the address"),
        ("", "did not begin with the address"),
    ] {
        let mut pipe = Pipe::open(&server.url, Transport::Sse);
        pipe.send(&request(0, "initialize")).await;
        let asked = server.next("GET").await;
        asked.events().raw(event);
        assert!(pipe.message().await.1.contains("\"id\":0,"));
        let why = pipe.ended().await;
        assert!(why.contains(expected) && why.contains(&port), "{why}");
    }
    for (status, kind, expected) in [
        (401, "text/plain", "refused the credentials (401)"),
        (404, "text/html", "(404)"),
        (200, "text/html", "a web page"),
        (200, "application/json", "did not begin with the address"),
        (503, "text/plain", "failed (503)"),
    ] {
        let pipe = Pipe::open(&server.url, Transport::Sse);
        server.next("GET").await.reply(status, &[("content-type", kind)], "");
        let why = pipe.ended().await;
        assert!(why.contains(expected), "{why}");
    }
    assert!(server.is_quiet());
}

#[test]
fn addresses() {
    let base = "https://me:s3cret@Example.com/a/sse?key=1".parse().unwrap();
    for (named, expected) in [
        ("/messages/?session_id=1", "https://me:s3cret@Example.com/messages/?session_id=1"),
        ("messages", "https://me:s3cret@Example.com/a/messages"),
        ("./m/../n?x=/../y", "https://me:s3cret@Example.com/a/n?x=/../y"),
        ("../../m", "https://me:s3cret@Example.com/m"),
        ("?s=1", "https://me:s3cret@Example.com/a/sse?s=1"),
        ("https://example.com:443/m", "https://example.com:443/m"),
        ("//EXAMPLE.com/m", "https://EXAMPLE.com/m"),
        ("http://example.com/m", ""),
        ("https://example.com:444/m", ""),
        ("https://example.com.evil/m", ""),
        ("https://example.com@evil/m", ""),
        ("//evil/m", ""),
        ("ftp:m", ""),
        ("/a b", ""),
    ] {
        let found = resolve(&base, named).map(|url| url.to_string()).unwrap_or_default();
        assert_eq!(found, expected, "{named}");
    }
}
