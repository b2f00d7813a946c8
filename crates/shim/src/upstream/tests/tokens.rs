//! A server that wants tokens.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::shim::{TokenReason, TokenWanted};
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::super::{Credentials, Purse, Token};
use super::server::Server;
use super::{Pipe, SECRET, Transport, request, result};

/// Gives what it was told to, in order, and remembers what was asked for.
#[derive(Debug, Default)]
struct Source {
    gives: Mutex<VecDeque<Result<Token, String>>>,
    asked: Mutex<Vec<TokenWanted>>,
}

impl Source {
    fn of(gives: impl IntoIterator<Item = Result<Token, String>>) -> Arc<Self> {
        Arc::new(Self { gives: Mutex::new(gives.into_iter().collect()), asked: Mutex::default() })
    }

    fn asked(&self) -> Vec<TokenWanted> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Credentials for Source {
    fn token<'a>(
        &'a self,
        wanted: TokenWanted,
    ) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + 'a>> {
        self.asked.lock().unwrap().push(wanted);
        let given = self.gives.lock().unwrap().pop_front().unwrap();
        Box::pin(async { given })
    }
}

fn token(version: u64, lives: Option<Duration>) -> Token {
    let header = HeaderValue::from_str(&format!("Bearer {SECRET}{version}")).unwrap();
    Token { header, version, until: lives.map(|lives| Instant::now() + lives) }
}

fn wanted(reason: TokenReason, challenge: &[&str], refused: Option<u64>) -> TokenWanted {
    TokenWanted {
        reason,
        challenge: challenge.iter().map(|&text| text.to_owned()).collect(),
        refused,
        principal: None,
    }
}

fn open(server: &Server, source: &Arc<Source>) -> Pipe {
    let purse = Arc::new(Purse::new(Arc::clone(source) as _));
    Pipe::open_with(&server.url, Transport::Streamable, HeaderMap::new(), Some(purse))
}

const CHALLENGE: &str = r#"Bearer resource_metadata="http://h/x", scope="a""#;
const MORE: &str = r#"Bearer error="insufficient_scope", scope="b""#;

#[tokio::test]
async fn a_call_that_is_refused_is_repeated_with_a_token() {
    let mut server = Server::start().await;
    let source = Source::of([Ok(token(1, None)), Ok(token(2, None))]);
    let mut pipe = open(&server, &source);
    pipe.send(&request(7, "ping")).await;
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), "");
    asked.reply(401, &[("www-authenticate", "Basic"), ("www-authenticate", CHALLENGE)], "no");
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}1"));
    asked.json(200, &result(7, ""));
    pipe.expect(Some(7), &result(7, "")).await;
    assert_eq!(source.asked(), [wanted(TokenReason::Refused, &["Basic", CHALLENGE], None)]);

    // It is shown from then on; when more is wanted, more is asked for.
    pipe.send(&request(8, "ping")).await;
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}1"));
    asked.reply(403, &[("www-authenticate", MORE)], "");
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}2"));
    asked.json(200, &result(8, ""));
    pipe.expect(Some(8), &result(8, "")).await;
    assert_eq!(source.asked(), [wanted(TokenReason::Scope, &[MORE], Some(1))]);
    pipe.close().await;
}

#[tokio::test]
async fn a_server_that_is_never_content_is_asked_once_for_each_reason() {
    let mut server = Server::start().await;
    let source = Source::of([Ok(token(1, None)), Ok(token(2, None))]);
    let mut pipe = open(&server, &source);
    pipe.send(&request(7, "ping")).await;
    server.next("ping").await.reply(401, &[], "");
    server.next("ping").await.reply(403, &[("www-authenticate", MORE)], "");
    server.next("ping").await.reply(401, &[], "");
    let (_, message) = pipe.message().await;
    assert!(message.contains("refused the credentials (401)"), "{message}");
    let reasons: Vec<_> = source.asked().into_iter().map(|wanted| wanted.reason).collect();
    assert_eq!(reasons, [TokenReason::Refused, TokenReason::Scope]);
    assert!(server.is_quiet());
    pipe.close().await;
}

#[tokio::test]
async fn whoever_waits_is_told_what_to_do() {
    let mut server = Server::start().await;
    let source = Source::of([Err("run `berth authorize notes`".to_owned())]);
    let mut pipe = open(&server, &source);
    pipe.send(&format!("{}{}", request(7, "ping"), request(8, "ping"))).await;
    for _ in 0..2 {
        server.next("ping").await.reply(401, &[], "");
    }
    for _ in 0..2 {
        let (_, message) = pipe.message().await;
        let words =
            format!("{} wants a token, and there is none: run `berth authorize notes`", server.host());
        assert!(message.contains(&words), "{message}");
    }
    // Both were refused together, and one asked.
    assert_eq!(source.asked().len(), 1);
    pipe.close().await;
}

#[tokio::test]
async fn those_who_are_refused_together_ask_once() {
    let mut server = Server::start().await;
    let source = Source::of([Ok(token(1, None))]);
    let mut pipe = open(&server, &source);
    pipe.send(&format!("{}{}", request(7, "ping"), request(8, "ping"))).await;
    for _ in 0..2 {
        server.next("ping").await.reply(401, &[], "");
    }
    for _ in 0..2 {
        let asked = server.next("ping").await;
        assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}1"));
        let id = if asked.body.contains("\"id\":7") { 7 } else { 8 };
        asked.json(200, &result(id, ""));
        pipe.message().await;
    }
    assert_eq!(source.asked().len(), 1);
    pipe.close().await;
}

#[tokio::test]
async fn a_token_that_ends_soon_is_renewed_before_it_is_shown() {
    let mut server = Server::start().await;
    let soon = Some(Duration::from_secs(5));
    let source = Source::of([Ok(token(1, soon)), Ok(token(2, soon)), Err("later".to_owned())]);
    let mut pipe = open(&server, &source);
    pipe.send(&request(7, "ping")).await;
    server.next("ping").await.reply(401, &[], "");
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}1"));
    asked.json(200, &result(7, ""));
    pipe.message().await;
    // Then a renewal that succeeds, and one that does not: what is there may still be taken.
    for id in [8, 9] {
        pipe.send(&request(id, "ping")).await;
        let asked = server.next("ping").await;
        assert_eq!(asked.header("authorization"), format!("Bearer {SECRET}2"));
        asked.json(200, &result(id, ""));
        pipe.message().await;
    }
    let reasons: Vec<_> = source.asked().into_iter().map(|wanted| (wanted.reason, wanted.refused)).collect();
    let expiring = TokenReason::Expiring;
    assert_eq!(reasons, [(TokenReason::Refused, None), (expiring, Some(1)), (expiring, Some(2))]);
    pipe.close().await;
}

#[tokio::test]
async fn nothing_is_asked_for_where_no_token_would_help() {
    let mut server = Server::start().await;
    let source = Source::of([]);
    // A no that is for good.
    let mut pipe = open(&server, &source);
    pipe.send(&request(7, "ping")).await;
    server.next("ping").await.reply(403, &[("www-authenticate", CHALLENGE)], "");
    assert!(pipe.message().await.1.contains("refused the credentials (403)"));
    pipe.close().await;
    // The owner gave credentials: they are shown, and nothing else.
    let purse = Arc::new(Purse::new(Arc::clone(&source) as _));
    let headers =
        HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer own"))]);
    let mut pipe = Pipe::open_with(&server.url, Transport::Streamable, headers, Some(purse));
    pipe.send(&request(7, "ping")).await;
    let asked = server.next("ping").await;
    assert_eq!(asked.header("authorization"), "Bearer own");
    asked.reply(401, &[("www-authenticate", CHALLENGE)], "");
    assert!(pipe.message().await.1.contains("refused the credentials (401)"));
    pipe.close().await;
    assert_eq!(source.asked(), []);
}
