//! `GET /v1/log` and `/v1/checks`. What is judged how, `domain::checks` tests.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::dtma::{Check, Verdict};
use axum::Router;
use axum::routing::get;
use futures_util::StreamExt as _;

use crate::host::{DEADLINE, Host, error};

async fn text(host: &Host, path: &str) -> String {
    let response = host.request("GET", path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    response.text().await.unwrap()
}

#[tokio::test]
async fn the_log_is_what_was_said_and_goes_on() {
    let mut host = Host::start().await;
    let mut log = host.log.clone();
    assert_eq!(text(&host, "/v1/log").await, "");
    for number in 1..=150 {
        writeln!(log, "line {number}").unwrap();
    }
    let usual = text(&host, "/v1/log").await;
    assert_eq!((usual.lines().count(), usual.lines().next()), (100, Some("line 51")));
    assert_eq!(text(&host, "/v1/log?tail=2").await, "line 149\nline 150\n");
    assert_eq!(text(&host, "/v1/log?tail=4294967295").await.lines().count(), 150);
    for (query, field) in
        [("tail=many", "tail"), ("tail=-1", "tail"), ("follow=x", "follow"), ("head=1", "head")]
    {
        let response = host.request("GET", &format!("/v1/log?{query}")).send().await.unwrap();
        let (status, body) = error(response).await;
        assert_eq!((status, body.error.field.as_deref()), (400, Some(field)), "{query}");
    }

    let response = host.request("GET", "/v1/log?tail=1&follow=true").send().await.unwrap();
    let mut pieces = response.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "line 150\n");
    writeln!(log, "line 151").unwrap();
    let piece = tokio::time::timeout(DEADLINE, pieces.next()).await.expect("it comes");
    assert_eq!(piece.unwrap().unwrap(), "line 151\n");
    let asked = tokio::time::Instant::now();
    host.down().await;
    assert!(asked.elapsed().as_secs() < 4, "a follower does not hold up its end");
    assert!(pieces.next().await.is_none(), "and the answer ends as one does");
}

async fn checks(host: &Host) -> Vec<Check> {
    let response = host.request("GET", "/v1/checks").send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

fn of(checks: &[Check], name: &str) -> Option<Verdict> {
    checks.iter().find(|check| check.name == name).map(|check| check.verdict)
}

#[tokio::test]
async fn checks_are_true_of_this_machine_and_made_once_for_all_who_ask_together() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router =
        Router::new().route("/healthz", get(async move || count.fetch_add(1, Ordering::SeqCst).to_string()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut host = Host::new();
    host.control_url = Some(format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    host.up().await;
    let (one, two) = tokio::join!(checks(&host), checks(&host));
    assert_eq!(one, two);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the second got what the first found");
    assert_eq!(of(&one, "system"), Some(Verdict::Ok), "{one:?}");
    assert_eq!(of(&one, "kernel"), Some(Verdict::Ok), "{one:?}");
    assert_eq!(of(&one, "control plane"), Some(Verdict::Ok), "{one:?}");
    assert!(of(&one, "disk").is_some() && of(&one, "docker").is_some(), "{one:?}");
    assert_eq!(of(&one, "service manager"), None, "it runs, whatever started it: {one:?}");
    assert!(
        one.iter().filter(|check| check.verdict != Verdict::Ok).all(|check| check.fix.is_some()),
        "{one:?}"
    );
}

#[tokio::test]
async fn a_control_plane_that_is_not_reached_is_told() {
    let mut host = Host::new();
    host.control_url = Some(format!("http://127.0.0.1:{}", testkit::ports::free()));
    host.up().await;
    let found = checks(&host).await;
    assert_eq!((of(&found, "control plane"), of(&found, "clock")), (Some(Verdict::Fail), None), "{found:?}");
    host.down().await;
    host.control_url = None;
    host.up().await;
    assert_eq!(of(&checks(&host).await, "control plane"), None, "a host that is alone asks nobody");
}
