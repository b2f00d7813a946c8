//! `GET …/logs` over HTTP; the reading itself has its own tests.

use futures_util::StreamExt as _;
use std::io::Write as _;

use crate::host::{DEADLINE, Host};

#[tokio::test]
async fn tail_and_follow() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let path = format!("/v1/instances/{}/logs", spec.id);
    assert_eq!(host.request("GET", &path).send().await.unwrap().text().await.unwrap(), "", "no log yet");
    let lines = (1..=150).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
    std::fs::create_dir_all(host.layout.state_dir(spec.id)).unwrap();
    std::fs::write(host.layout.server_log(spec.id), &lines).unwrap();

    let response = host.request("GET", &path).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let text = response.text().await.unwrap();
    assert_eq!((text.lines().count(), text.lines().next()), (100, Some("line 51")));
    let text = host.request("GET", &format!("{path}?tail=2")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text, "line 149\nline 150\n");

    let follow = host.request("GET", &format!("{path}?tail=1&follow=true")).send().await.unwrap();
    let mut pieces = follow.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "line 150\n");
    let mut log = std::fs::OpenOptions::new().append(true).open(host.layout.server_log(spec.id)).unwrap();
    log.write_all(b"line 151\n").unwrap();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "line 151\n");

    host.request("DELETE", &format!("/v1/instances/{}", spec.id)).send().await.unwrap();
    let end = tokio::time::timeout(DEADLINE, pieces.next()).await.expect("it ends with the instance");
    assert!(end.is_none(), "{end:?}");
}

#[tokio::test]
async fn a_follower_does_not_hold_up_the_end_of_the_dtma() {
    let mut host = Host::start().await;
    let spec = host.deploy().await;
    let path = format!("/v1/instances/{}/logs?follow=true", spec.id);
    let response = host.request("GET", &path).send().await.unwrap();
    let asked = tokio::time::Instant::now();
    host.down().await;
    assert!(asked.elapsed().as_secs() < 4, "it waited for the drain's end");
    assert_eq!(response.text().await.unwrap(), "", "and the answer ended as one does");
}
