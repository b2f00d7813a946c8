//! Servers with sessions: what is kept, what is resumed, and what happens when the server forgets.

use super::server::{Asked, Server, Stream};
use super::{AGREED, Got, INITIALIZED, Pipe, Transport, notification, request, result};

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

/// Takes `initialize` and begins a session.
async fn initialized(server: &mut Server, id: &str) {
    let asked = server.next("\"initialize\"").await;
    assert_eq!((asked.header(SESSION), asked.header(VERSION)), ("", ""));
    let body = result(0, AGREED);
    asked.reply(200, &[("content-type", "application/json"), (SESSION, id)], &body);
}

/// A session whose stream is open.
async fn opened() -> (Server, Pipe, Stream) {
    let mut server = Server::start().await;
    let mut pipe = Pipe::open(&server.url, Transport::Streamable);
    pipe.send(&request(0, "initialize")).await;
    initialized(&mut server, "one").await;
    pipe.expect(Some(0), &result(0, AGREED)).await;
    pipe.send(INITIALIZED).await;
    of_session(server.next("notifications/initialized").await, "one").accept();
    let stream = of_session(server.next("GET").await, "one").events();
    (server, pipe, stream)
}

#[track_caller]
fn of_session(asked: Asked, id: &str) -> Asked {
    assert_eq!((asked.header(SESSION), asked.header(VERSION)), (id, "2025-06-18"), "{}", asked.body);
    asked
}

#[tokio::test]
async fn a_session_from_its_beginning_to_its_end() {
    let (mut server, mut pipe, stream) = opened().await;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    stream.message(changed);
    pipe.expect(None, changed).await;

    // Two calls at once, the second one answered first, on a stream of its own.
    pipe.send(&(request(1, "tools/call") + &request(2, "tools/list"))).await;
    let first = of_session(server.next("tools/call").await, "one");
    let second = of_session(server.next("tools/list").await, "one");
    let answers = second.events();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
    answers.raw(": hi\n\nid: 1\nretry: 1\ndata:\n\n");
    answers.raw(&format!("event: message\ndata: {progress}\n\nevent: other\ndata: {{}}\n\n"));
    pipe.expect(Some(2), progress).await;
    answers.message(&result(2, ""));
    pipe.expect(Some(2), &result(2, "")).await;
    first.json(200, &format!("[{changed},{}]", result(1, "")));
    pipe.expect(Some(1), changed).await;
    pipe.expect(Some(1), &result(1, "")).await;

    // An answer to the server is sent before what follows it.
    pipe.send(&(result(9, "") + "\n" + &request(3, "ping"))).await;
    let answer = of_session(server.next("\"result\"").await, "one");
    assert!(server.is_quiet());
    answer.accept();
    of_session(server.next("ping").await, "one").json(200, &result(3, ""));
    pipe.expect(Some(3), &result(3, "")).await;

    // One that does not arrive is told of.
    pipe.send(&notification("notifications/roots/list_changed", "")).await;
    server.next("roots").await.reply(500, &[], "");
    assert!(
        matches!(pipe.next().await, Got::Note(note) if note.contains("notifications/roots/list_changed did not reach"))
    );

    let closing = tokio::spawn(pipe.close());
    of_session(server.next("DELETE").await, "one").accept();
    assert_eq!(closing.await.unwrap(), "the connection to the server was closed");
    stream.is_closed().await;
}

#[tokio::test]
async fn cancelling_is_told_and_not_answered() {
    let (mut server, mut pipe, _stream) = opened().await;
    pipe.send(&request(4, "tools/call")).await;
    let stream = server.next("tools/call").await.events();
    let cancel = |id| notification("notifications/cancelled", &format!("\"requestId\":{id}"));
    pipe.send(&(cancel(4) + &cancel(4) + &cancel(5) + &request(6, "ping"))).await;
    of_session(server.next("notifications/cancelled").await, "one").accept();
    stream.message(&result(4, ""));
    stream.is_closed().await;
    server.next("ping").await.json(200, &result(6, ""));
    pipe.expect(Some(6), &result(6, "")).await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn servers_without_a_stream_or_a_session() {
    for (status, kind) in [
        (405, "text/plain"),
        (404, "text/html"),
        (400, "text/plain"),
        (501, "text/plain"),
        (200, "text/html"),
    ] {
        let mut server = Server::start().await;
        let mut pipe = Pipe::open(&server.url, Transport::Streamable);
        pipe.send(&request(0, "initialize")).await;
        server.next("initialize").await.json(200, &result(0, AGREED));
        pipe.expect(Some(0), &result(0, AGREED)).await;
        pipe.send(INITIALIZED).await;
        of_session(server.next("initialized").await, "").accept();
        of_session(server.next("GET").await, "").reply(status, &[("content-type", kind)], "");
        // Without a session none can be lost.
        pipe.send(&request(1, "ping")).await;
        server.next("ping").await.reply(404, &[], "session not found");
        assert!(pipe.message().await.1.contains("(404)"));
        pipe.close().await;
        assert!(server.is_quiet());
    }
}

#[tokio::test]
async fn the_stream_is_opened_again_where_it_broke() {
    let (mut server, mut pipe, stream) = opened().await;
    stream.raw("retry: 1\n\nid: a\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n");
    pipe.message().await;
    stream.cut();
    server.next("GET").await.reply(503, &[], "");
    let again = of_session(server.next("GET").await, "one");
    assert_eq!(again.header("last-event-id"), "a");
    let again = again.events();
    again.message("{\"jsonrpc\":\"2.0\",\"method\":\"y\"}");
    pipe.expect(None, "{\"jsonrpc\":\"2.0\",\"method\":\"y\"}").await;
    drop(again);
    // Gone with its session, it is begun anew without being asked for.
    assert_eq!(server.next("GET").await.header("last-event-id"), "a");
}

#[tokio::test]
async fn a_call_outlives_its_stream() {
    let (mut server, mut pipe, _stream) = opened().await;
    pipe.send(&request(1, "tools/call")).await;
    let stream = server.next("tools/call").await.events();
    stream.raw("id: p\nretry: 1\ndata:\n\n");
    drop(stream);
    let again = of_session(server.next("GET").await, "one");
    assert_eq!(again.header("last-event-id"), "p");
    let stream = again.events();
    stream.raw("id: q\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n");
    pipe.expect(Some(1), "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}").await;
    stream.cut();
    let again = server.next("GET").await;
    assert_eq!(again.header("last-event-id"), "q");
    again.reply(502, &[], "");
    let stream = server.next("GET").await.events();
    stream.message(&result(1, ""));
    pipe.expect(Some(1), &result(1, "")).await;

    pipe.send(&request(2, "tools/call")).await;
    server.next("tools/call").await.events().raw("id: p\nretry: 1\ndata:\n\n");
    server.next("GET").await.reply(404, &[], "");
    assert!(pipe.message().await.1.contains("ended its response before the answer"));
}

/// A server that has forgotten the session says so by `status` and `body`.
async fn forgotten(status: u16, body: &str) {
    let (mut server, mut pipe, stream) = opened().await;
    pipe.send(&(request(1, "tools/call") + &request(2, "tools/list"))).await;
    let kind = [("content-type", "application/json")];
    of_session(server.next("tools/call").await, "one").reply(status, &kind, body);
    of_session(server.next("tools/list").await, "one").reply(status, &kind, body);
    initialized(&mut server, "two").await;
    let told = of_session(server.next("notifications/initialized").await, "two");
    // Nobody uses the new session before it is open.
    assert!(server.is_quiet());
    told.accept();
    of_session(server.next("tools/call").await, "two").json(200, &result(1, ""));
    of_session(server.next("tools/list").await, "two").reply(status, &kind, body);
    assert_eq!(pipe.next().await, Got::Reopened);
    let mut answers = [pipe.message().await, pipe.message().await];
    answers.sort();
    assert_eq!(answers[0], (Some(1), result(1, "")));
    // Sent again once, and not for ever.
    assert!(answers[1].0 == Some(2) && answers[1].1.contains("\"error\""), "{answers:?}");
    stream.is_closed().await;
    of_session(server.next("GET").await, "two").events();
    pipe.send(&notification("notifications/roots/list_changed", "")).await;
    of_session(server.next("roots").await, "two").reply(status, &kind, body);
    initialized(&mut server, "three").await;
    of_session(server.next("notifications/initialized").await, "three").accept();
    of_session(server.next("roots").await, "three").accept();
    assert_eq!(pipe.next().await, Got::Reopened);
}

#[tokio::test]
async fn a_forgotten_session_is_begun_again_unseen() {
    forgotten(404, "").await;
    forgotten(404, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#)
        .await;
    let no_valid = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#;
    forgotten(400, no_valid).await;
    forgotten(
        400,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Server not initialized"},"id":null}"#,
    )
    .await;
    forgotten(400, "Invalid or missing session ID").await;
}

#[tokio::test]
async fn not_every_refusal_is_a_forgotten_session() {
    let (mut server, mut pipe, _stream) = opened().await;
    let unknown = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"session/x?"}}"#;
    pipe.send(&request(1, "x")).await;
    server.next("\"x\"").await.json(404, unknown);
    pipe.expect(Some(1), unknown).await;
    pipe.send(&request(1, "x")).await;
    server.next("\"x\"").await.json(400, r#"{"error":"bad"}"#);
    assert!(pipe.message().await.1.contains("refused the message (400)"));
    assert!(server.is_quiet());
}

#[tokio::test]
async fn a_session_that_cannot_be_begun_again() {
    let (mut server, mut pipe, _stream) = opened().await;
    pipe.send(&request(1, "ping")).await;
    server.next("ping").await.reply(404, &[], "");
    server.next("initialize").await.reply(503, &[], "");
    let (_, message) = pipe.message().await;
    assert!(message.contains("had forgotten the session") && message.contains("failed (503)"), "{message}");
    // The next one tries again. A server that speaks another revision now is another server.
    pipe.send(&request(2, "ping")).await;
    server.next("ping").await.reply(404, &[], "");
    server.next("initialize").await.json(200, &result(0, &AGREED.replace("2025-06-18", "2025-03-26")));
    let why = pipe.ended().await;
    assert!(why.contains("began to speak another MCP revision"), "{why}");
}

#[tokio::test]
async fn a_server_that_was_started_again_is_noticed_by_its_stream() {
    let (mut server, mut pipe, stream) = opened().await;
    stream.raw("retry: 1\n\n");
    drop(stream);
    server.next("GET").await.reply(400, &[], "Invalid or missing session ID");
    initialized(&mut server, "two").await;
    of_session(server.next("notifications/initialized").await, "two").accept();
    assert_eq!(pipe.next().await, Got::Reopened);
    of_session(server.next("GET").await, "two").events();
}

#[tokio::test]
async fn nothing_goes_on_behind_a_pipe_that_is_dropped() {
    let (mut server, pipe, stream) = opened().await;
    pipe.send(&request(1, "tools/call")).await;
    let call = server.next("tools/call").await.events();
    pipe.task.abort();
    call.is_closed().await;
    stream.is_closed().await;
    assert!(server.is_quiet());
}
