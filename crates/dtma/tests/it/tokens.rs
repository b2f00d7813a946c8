//! Tokens that shims ask for.

use std::sync::{Arc, Mutex};

use api::upstreams::{UPSTREAM_TOKEN_PATH, UpstreamTokenRequest};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use domain::secret::Secret;
use domain::shim::{TokenAnswer, TokenAsk, TokenOutcome, TokenReason, TokenWanted};

use crate::heartbeat::listen;
use crate::host::{Host, TOKEN, wait_until};

type Got = Arc<Mutex<Vec<UpstreamTokenRequest>>>;

/// A control plane that gives a token for what was refused, and a fault for everything else.
async fn give(
    State(got): State<Got>,
    headers: HeaderMap,
    Json(request): Json<UpstreamTokenRequest>,
) -> Response {
    assert_eq!(headers["authorization"], format!("Bearer {TOKEN}").as_str());
    let reason = request.wanted.reason;
    got.lock().unwrap().push(request);
    if reason != TokenReason::Refused {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(token()).into_response()
}

fn token() -> TokenOutcome {
    TokenOutcome::Token { token: Secret::new("t"), version: 3, expires_in: Some(60) }
}

fn ask(number: u64, reason: TokenReason) -> TokenAsk {
    TokenAsk {
        number,
        wanted: TokenWanted {
            reason,
            challenge: vec!["Bearer".to_owned()],
            refused: Some(2),
            principal: None,
        },
    }
}

#[tokio::test]
async fn each_question_is_handed_on_once_and_answered() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let got = Got::default();
    let router = Router::new().route(UPSTREAM_TOKEN_PATH, post(give)).with_state(Arc::clone(&got));
    let listener = hop::serve::Listener::Tcp(listener);
    tokio::spawn(hop::serve::serve_router(listener, router, std::future::pending()));
    let mut host = Host::new();
    host.control_url = Some(format!("http://{address}"));
    host.up().await;
    let (one, two) = (ask(1, TokenReason::Refused), ask(2, TokenReason::Scope));
    *host.machine.asks.lock().unwrap() = vec![one.clone(), two];
    let spec = host.deploy().await;
    let answers = || host.machine.answers.lock().unwrap().clone();
    wait_until("two answers", || answers().len() == 2).await;
    let of = |number: u64| answers().into_iter().find(|answer| answer.number == number).unwrap().outcome;
    assert_eq!(of(1), token());
    let TokenOutcome::None { why } = of(2) else { panic!("{:?}", answers()) };
    assert!(why.contains("503"), "{why}");
    assert_eq!(got.lock().unwrap()[0].instance, spec.id);

    // The shim is looked at again and again; what was taken up is not asked for again.
    let asked = host.machine.questions.load(std::sync::atomic::Ordering::Relaxed);
    host.machine.say(spec.id, crate::machine::running());
    *host.machine.asks.lock().unwrap() = vec![one, ask(3, TokenReason::Refused)];
    wait_until("another answer", || answers().len() == 3).await;
    assert!(asked < host.machine.questions.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(answers()[2].number, 3);
    assert_eq!(got.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_host_that_is_alone_says_so() {
    let host = Host::start().await;
    *host.machine.asks.lock().unwrap() = vec![ask(1, TokenReason::Refused)];
    host.deploy().await;
    let answers = || -> Vec<TokenAnswer> { host.machine.answers.lock().unwrap().clone() };
    wait_until("an answer", || answers().len() == 1).await;
    let TokenOutcome::None { why } = &answers()[0].outcome else { panic!("{:?}", answers()) };
    assert!(why.contains("no control plane"), "{why}");
}
