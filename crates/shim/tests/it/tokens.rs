//! A server elsewhere that wants a token, which the shim asks for in its status.

use std::time::Duration;

use domain::shim::{KEY_HEADER, Link, ServerState, TokenReason};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{KEY, Method, Shim, ShimConfig};

/// Answers `initialize` to who shows `Bearer good`, and refuses everybody else.
pub(crate) async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream));
        }
    });
    url
}

/// One request of at most some KiB, and the end of the connection.
async fn answer(mut stream: TcpStream) {
    let mut text = String::new();
    while !is_whole(&text) {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    let (status, kind, body) = if !text.contains("authorization: Bearer good\r\n") {
        ("401 Unauthorized", "www-authenticate: Bearer scope=\"a\"\r\n", String::new())
    } else if text.contains("\"initialize\"") {
        let id = text.split("\"id\":").nth(1).unwrap().split([',', '}']).next().unwrap().to_owned();
        let result = r#"{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s"}}"#;
        (
            "200 OK",
            "content-type: application/json\r\n",
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
        )
    } else {
        ("202 Accepted", "", String::new())
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\n{kind}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    // The shim may have given up.
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    length.is_none_or(|length| length.parse::<usize>().unwrap() <= body.len())
}

async fn start() -> Shim {
    let url = server().await;
    Shim::start_with("normal", |config: &mut ShimConfig| {
        config.link = Link::Remote { url, sse: false };
        config.command.clear();
        config.secrets.clear();
        config.env.clear();
    })
}

async fn tell(shim: &Shim, key: &str, body: String) -> (u16, String) {
    let answer = shim.ask(Method::POST, "/token", &[(KEY_HEADER, key)], body).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn a_shim_asks_and_goes_on_with_the_answer() {
    let shim = start().await;
    let status = shim.until("a question", |status| !status.asks.is_empty()).await;
    let ask = &status.asks[0];
    assert_eq!((ask.wanted.reason, ask.wanted.refused), (TokenReason::Refused, None));
    assert_eq!(ask.wanted.challenge, ["Bearer scope=\"a\""]);

    let given = |number: u64| {
        let outcome = json!({ "kind": "token", "token": "good", "version": 1, "expires_in": 60 });
        json!({ "number": number, "outcome": outcome }).to_string()
    };
    assert_eq!(tell(&shim, "another", given(ask.number)).await.0, 401);
    let (code, text) =
        tell(&shim, KEY, r#"{"number":1,"outcome":{"kind":"token","token":7}}"#.to_owned()).await;
    assert_eq!(code, 400);
    assert!(!text.contains('7'), "{text}");
    // Nobody asked for that.
    assert_eq!(tell(&shim, KEY, given(ask.number + 1)).await.0, 204);
    assert_eq!(shim.status().await.asks.len(), 1);
    // Whoever waits for news hears at once that it is answered.
    let tag = shim.ask(Method::GET, "/status", &[(KEY_HEADER, KEY)], "").await.header("etag").to_owned();
    let known = [(KEY_HEADER, KEY), ("if-none-match", &tag), ("prefer", "wait=50")];
    let news = tokio::time::timeout(Duration::from_secs(25), shim.ask(Method::GET, "/status", &known, ""));
    let (news, told) = tokio::join!(news, tell(&shim, KEY, given(ask.number)));
    assert_eq!(told.0, 204);
    assert_ne!(news.expect("news at once").header("etag"), tag);
    let status = shim.until("it runs", |status| matches!(status.server, ServerState::Running { .. })).await;
    assert!(status.asks.is_empty(), "{status:?}");
}

#[tokio::test]
async fn why_there_is_none_is_the_servers_state() {
    let shim = start().await;
    let number = shim.until("a question", |status| !status.asks.is_empty()).await.asks[0].number;
    let outcome = json!({ "kind": "none", "why": "run `berth authorize notes`" });
    let (code, _) = tell(&shim, KEY, json!({ "number": number, "outcome": outcome }).to_string()).await;
    assert_eq!(code, 204);
    let failed = shim.until("it failed", |status| matches!(status.server, ServerState::Failed { .. })).await;
    let ServerState::Failed { message, .. } = failed.server else { panic!("{failed:?}") };
    assert!(message.contains("wants a token, and there is none: run `berth authorize notes`"), "{message}");
}
