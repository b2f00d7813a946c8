//! Everything that a server can answer instead of an answer, and what is said of it.

use super::server::{Asked, Server};
use super::{Got, Pipe, SECRET, Transport, request};

/// Asks once, has it answered by `answer`, and compares what comes in.
async fn check(server: &mut Server, answer: impl FnOnce(Asked), expected: &str) {
    let mut pipe = Pipe::open(&server.url, Transport::Streamable);
    pipe.send(&request(7, "ping")).await;
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(asked.header("accept"), "application/json, text/event-stream");
    assert_eq!(asked.header("content-type"), "application/json");
    assert!(asked.path.ends_with(SECRET), "{}", asked.path);
    answer(asked);
    let (origin, message) = pipe.message().await;
    assert_eq!(origin, Some(7));
    if expected.starts_with('{') {
        assert!(message == expected, "{message:.300}: {expected:.300}");
    } else {
        assert!(
            message.starts_with(r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":""#),
            "{message}"
        );
        assert!(message.contains(expected), "{message}: {expected}");
        assert!(message.contains(server.host()), "{message}");
    }
    assert_eq!(pipe.close().await, "the connection to the server was closed");
}

#[tokio::test]
async fn what_http_says_becomes_an_error_answer() {
    let mut server = Server::start().await;
    let server = &mut server;
    let error = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no","data":[1]}}"#;
    let with_id = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"no","data":[1]}}"#;
    for (status, kind, body, expected) in [
        (401, "text/plain", "s3cret?", "refused the credentials (401): set or renew"),
        (403, "application/json", r#"{"error":"insufficient_scope"}"#, "refused the credentials (403)"),
        (404, "text/html", "<html>", "has no MCP server at this path (404); check the path"),
        (405, "text/plain", "", "does not take messages at this path (405)"),
        (418, "text/plain", "session?", "refused the message (418)"),
        (400, "text/plain", "no session", "refused the message (400)"),
        (500, "text/html", "<html>", "failed (500); try again"),
        (503, "text/plain", "", "failed (503)"),
        (200, "text/html; charset=utf-8", "<html>", "answered with a web page"),
        (200, "application/json", "<html>", "is no MCP message: the message is not JSON"),
        (200, "application/json", "{}", "is no MCP message: `jsonrpc` must be"),
        (200, "application/json", "", "gave no answer"),
        (200, "application/json", r#"{"jsonrpc":"2.0","id":8,"result":{}}"#, "gave no answer"),
        (202, "text/plain", "Accepted", "gave no answer"),
        (204, "text/plain", "", "gave no answer"),
        // With a message, HTTP's status says nothing that the message does not.
        (400, "application/json", error, with_id),
        (401, "application/json", error, with_id),
        (500, "application/json", &error.replace("null", "9"), with_id),
        (200, "application/json", &error.replace("null", "\"x\""), with_id),
        (404, "application/json", &error.replace("null", "7"), with_id),
        (200, "text/plain", &error.replace("null", "7"), with_id),
        (200, "application/json", &format!("[{}]", error.replace("null", "7")), with_id),
    ] {
        check(server, |asked| asked.reply(status, &[("content-type", kind)], body), expected).await;
    }
    check(server, |asked| asked.reply(429, &[("retry-after", "17")], ""), "(429); try again in 17 s").await;
    check(server, |asked| asked.reply(429, &[], ""), "(429); try again\"").await;
    for (to, expected) in [
        (
            Some("https://elsewhere/mcp/?k=s3cret"),
            "redirects to https://elsewhere/mcp/ (307), which is not followed",
        ),
        (Some("https://me:s3cret@elsewhere/"), "redirects to elsewhere (307)"),
        (None, "redirects to elsewhere (307)"),
    ] {
        let headers: Vec<_> = to.iter().map(|to| ("location", *to)).collect();
        check(server, |asked| asked.reply(307, &headers, ""), expected).await;
    }
    assert!(server.is_quiet());
}

#[tokio::test]
async fn what_breaks_becomes_an_error_answer() {
    let mut server = Server::start().await;
    let server = &mut server;
    check(server, drop, "ended before it answered").await;
    check(server, |asked| drop(asked.events()), "ended its response before the answer").await;
    // Whether the head was read before the cut is a matter of chance.
    check(server, |asked| asked.events().cut(), "what was asked for may have been done").await;
    let null = r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#;
    let with_id = null.replace("null", "7");
    check(server, |asked| asked.events().message(null), &with_id).await;
    let huge = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"x":"{}"}}}}"#, "x".repeat(16 << 20));
    check(server, |asked| asked.json(200, &huge), "more than 16777216 bytes").await;
    check(server, |asked| asked.events().message(&huge), "more than 16777216 bytes").await;
    let largest = format!("{}\"}}}}", &huge[..(16 << 20) - 3]);
    check(server, |asked| asked.json(200, &largest), &largest).await;
    check(server, |asked| asked.events().message(&largest), &largest).await;
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut server = Server::start().await;
    for (url, expected) in [
        (
            format!("http://me:s3cret@{address}/mcp"),
            format!("{address} cannot be reached: Connection refused"),
        ),
        (format!("https://{}/mcp", server.host()), format!("{} cannot be reached: ", server.host())),
        (
            "http://nowhere.invalid/".to_owned(),
            "nowhere.invalid cannot be reached: failed to lookup".to_owned(),
        ),
    ] {
        let mut pipe = Pipe::open(&url, Transport::Streamable);
        pipe.send(&request(-1, "server/discover")).await;
        let (origin, message) = pipe.message().await;
        assert_eq!(origin, None);
        assert!(message.contains("\"id\":-1,") && message.contains(&expected), "{message}");
    }
    assert!(server.is_quiet());
    for url in ["/mcp", "ftp://host/mcp", "host:80"] {
        let why = Pipe::open(url, Transport::Streamable).ended().await;
        assert!(why.contains("must begin with http:// or https://"), "{why}");
    }
}

#[tokio::test]
async fn what_is_no_message_is_not_sent() {
    let mut server = Server::start().await;
    let mut pipe = Pipe::open(&server.url, Transport::Streamable);
    pipe.send("{}\n").await;
    assert!(matches!(pipe.next().await, Got::Note(note) if note.contains("was dropped")));
    assert!(server.is_quiet());
}
