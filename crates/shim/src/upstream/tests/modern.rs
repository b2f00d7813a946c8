//! Servers of 2026-07-28: headers, cancelling by closing, listening.

use super::server::Server;
use super::{Got, Pipe, Transport, modern, notification, request, result};

async fn opened() -> (Server, Pipe) {
    let server = Server::start().await;
    let pipe = Pipe::open(&server.url, Transport::Streamable);
    (server, pipe)
}

const LIST: &str = r#""tools":[{"name":"bad","inputSchema":{"x-mcp-header":"A"}},{"name":"t","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]"#;

#[tokio::test]
async fn headers_say_what_the_body_says() {
    let (mut server, mut pipe) = opened().await;
    let header = |asked: &super::server::Asked| {
        ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-region", "mcp-session-id"]
            .map(|name| asked.header(name).to_owned())
    };
    pipe.send(&modern(-1, "server/discover", "")).await;
    let asked = server.next("server/discover").await;
    assert_eq!(header(&asked), ["2026-07-28", "server/discover", "", "", ""]);
    asked.reply(200, &[("content-type", "application/json"), ("mcp-session-id", "no")], &result(-1, ""));
    pipe.expect(None, &result(-1, "")).await;

    let list = result(1, LIST);
    pipe.send(&modern(1, "tools/list", "")).await;
    server.next("tools/list").await.json(200, &list);
    assert!(matches!(pipe.next().await, Got::Note(note) if note.contains("\"bad\" is left out of the list")));
    let (_, shown) = pipe.message().await;
    assert!(!shown.contains("bad") && shown.contains(r#"[{"name":"t""#), "{shown}");

    pipe.send(&modern(2, "tools/call", r#""name":"t","arguments":{"region":"é"},"#)).await;
    let asked = server.next("tools/call").await;
    assert_eq!(header(&asked), ["2026-07-28", "tools/call", "t", "=?base64?w6k=?=", ""]);
    asked.json(200, &result(2, ""));
    pipe.expect(Some(2), &result(2, "")).await;
    pipe.send(&notification("notifications/x", "")).await;
    let asked = server.next("notifications/x").await;
    assert_eq!(header(&asked), ["2026-07-28", "notifications/x", "", "", ""]);
    asked.accept();
    pipe.close().await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn a_call_that_lacks_a_header_is_sent_again_with_it() {
    let (mut server, mut pipe) = opened().await;
    let mismatch = |id| format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32020,"message":"no"}}}}"#);
    pipe.send(&modern(5, "tools/call", r#""name":"t","arguments":{"region":"eu"},"#)).await;
    server.next("tools/call").await.json(400, &mismatch(5));
    let asked = server.next("tools/list").await;
    assert_eq!((asked.header("mcp-method"), asked.body.contains("cursor")), ("tools/list", false));
    asked.json(200, r#"{"jsonrpc":"2.0","id":"tools","result":{"tools":[],"nextCursor":"2"}}"#);
    let asked = server.next("tools/list").await;
    assert!(asked.body.contains(r#""cursor":"2""#), "{}", asked.body);
    let stream = asked.events();
    stream.message(&format!(r#"{{"jsonrpc":"2.0","id":"tools","result":{{{LIST}}}}}"#));
    let asked = server.next("tools/call").await;
    assert_eq!(asked.header("mcp-param-region"), "eu");
    // Not a second time.
    asked.json(400, &mismatch(5));
    pipe.expect(Some(5), &mismatch(5)).await;

    // When the list says nothing new, the refusal is the answer.
    pipe.send(&modern(6, "tools/call", r#""name":"other","#)).await;
    server.next("tools/call").await.json(400, &mismatch(6));
    server.next("tools/list").await.reply(500, &[], "");
    assert!(matches!(pipe.next().await, Got::Note(note) if note.contains("could not be listed")));
    pipe.expect(Some(6), &mismatch(6)).await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn cancelling_closes_the_response_and_is_not_sent() {
    let (mut server, mut pipe) = opened().await;
    pipe.send(&modern(1, "tools/call", r#""name":"t","#)).await;
    let stream = server.next("tools/call").await.events();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
    stream.message(progress);
    pipe.expect(Some(1), progress).await;
    pipe.send(&notification("notifications/cancelled", "\"requestId\":1")).await;
    stream.is_closed().await;
    // Before its head came as well.
    pipe.send(&modern(2, "tools/call", r#""name":"u","#)).await;
    let asked = server.next("tools/call").await;
    pipe.send(&notification("notifications/cancelled", "\"requestId\":2")).await;
    pipe.send(&modern(3, "tools/list", "")).await;
    server.next("tools/list").await.json(200, &result(3, ""));
    pipe.expect(Some(3), &result(3, "")).await;
    asked.events().is_closed().await;
    assert!(server.is_quiet());
}

#[tokio::test]
async fn a_broken_call_is_not_resumed() {
    let (mut server, mut pipe) = opened().await;
    pipe.send(&modern(1, "tools/call", r#""name":"t","#)).await;
    server.next("tools/call").await.events().raw("id: 1\nretry: 1\ndata:\n\n");
    assert!(pipe.message().await.1.contains("ended its response before the answer"));
    assert!(server.is_quiet());
}

#[tokio::test]
async fn listening_goes_on_when_its_stream_breaks() {
    let (mut server, mut pipe) = opened().await;
    let listen = modern(4, "subscriptions/listen", r#""notifications":{"toolsListChanged":true},"#);
    let message = |method: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}"}}"#);
    pipe.send(&listen).await;
    let stream = server.next("subscriptions/listen").await.events();
    stream.message(&message("subscriptions/acknowledged"));
    pipe.expect(Some(4), &message("subscriptions/acknowledged")).await;
    stream.cut();
    server.next("subscriptions/listen").await.reply(502, &[], "");
    let asked = server.next("subscriptions/listen").await;
    assert_eq!(format!("{}\n", asked.body), listen);
    assert_eq!(asked.header("mcp-method"), "subscriptions/listen");
    let stream = asked.events();
    stream.message(&message("subscriptions/acknowledged"));
    stream.message(&message("tools/list_changed"));
    pipe.expect(Some(4), &message("tools/list_changed")).await;
    stream.message(&result(4, ""));
    pipe.expect(Some(4), &result(4, "")).await;

    // One that never began is refused like any other request.
    pipe.send(&modern(5, "subscriptions/listen", "")).await;
    drop(server.next("subscriptions/listen").await.events());
    assert!(pipe.message().await.1.contains("ended its response"));
    assert!(server.is_quiet());
}

#[tokio::test]
async fn both_eras_at_once() {
    let (mut server, mut pipe) = opened().await;
    pipe.send(&request(0, "initialize")).await;
    let kind = ("content-type", "application/json");
    let agreed = result(0, super::AGREED);
    server.next("initialize").await.reply(200, &[kind, ("mcp-session-id", "one")], &agreed);
    pipe.expect(Some(0), &agreed).await;
    pipe.send(&(modern(1, "tools/list", "") + &request(2, "prompts/list"))).await;
    let asked = server.next("tools/list").await;
    assert_eq!((asked.header("mcp-session-id"), asked.header("mcp-protocol-version")), ("", "2026-07-28"));
    asked.json(200, &result(1, ""));
    pipe.expect(Some(1), &result(1, "")).await;
    let asked = server.next("prompts/list").await;
    assert_eq!((asked.header("mcp-session-id"), asked.header("mcp-protocol-version")), ("one", "2025-06-18"));
    assert_eq!(asked.header("mcp-method"), "");
}
