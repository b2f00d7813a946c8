//! What a host with no way out asks its control plane for in the engine's name: what a pull under way is of, and nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ::runtime::docker::Trouble;
use api::errors::{ErrorBody, ErrorCode, ErrorDetail};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use dtma::Relay;
use hop::serve::Listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::host::{Host, TOKEN};

/// What the control plane was asked for.
type Asked = Arc<Mutex<Vec<String>>>;

/// A control plane that gives everything but what has the name of an error.
async fn control(asked: Asked) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request| async move {
        let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        assert_eq!(token, Some(&*format!("Bearer {TOKEN}")));
        asked.lock().unwrap().push(request.uri().to_string());
        answer(request.uri().path())
    };
    let router = Router::new().fallback(answer);
    let stop = CancellationToken::new();
    tokio::spawn(hop::serve::serve_router(Listener::Tcp(listener), router, stop.cancelled_owned()));
    address
}

fn answer(path: &str) -> Response {
    let (status, code) = match path.rsplit('/').next().unwrap_or_default() {
        "refused" => (StatusCode::FORBIDDEN, ErrorCode::Forbidden),
        "unknown" => (StatusCode::NOT_FOUND, ErrorCode::NotFound),
        "away" => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
        "wrong" => (StatusCode::BAD_GATEWAY, ErrorCode::BadGateway),
        _ => return format!("of {path}").into_response(),
    };
    let error =
        ErrorDetail { code, message: "the reason".to_owned(), field: None, hint: Some("do this".to_owned()) };
    (status, Json(ErrorBody { error })).into_response()
}

/// As an engine asks, but whatever the path looks like.
async fn ask(relay: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(relay).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {relay}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn only_the_pulls_that_are_under_way_reach_the_control_plane() {
    let asked = Asked::default();
    let mut host = Host::new();
    host.control_url = Some(format!("http://{}", control(asked.clone()).await));
    let relay = Relay::listen(&host.config()).await.unwrap();
    let passes = relay.passes();
    let stop = CancellationToken::new();
    tokio::spawn(relay.serve(stop.clone()));
    let pass = passes.open("r.example:5000/a/b:1".parse().unwrap()).unwrap();
    let (relay, key) = pass.repository().split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let took = || std::mem::take(&mut *asked.lock().unwrap());

    assert_eq!(ask(&relay, "/v2/").await, (200, "{}".to_owned()));
    assert_eq!(took(), Vec::<String>::new());
    for part in ["manifests/1".to_owned(), format!("manifests/{digest}"), format!("blobs/{digest}")] {
        let expected = format!("/api/v1/dtma/images/v2/r.example:5000/a/b/{part}");
        let (status, body) = ask(&relay, &format!("/v2/{key}/{part}")).await;
        assert!(status == 200 && body.contains(&expected), "{part}: {status} {body}");
        assert_eq!(took(), [expected]);
    }

    // What no pull asks for, and what would be something else of the control plane.
    let other = "0".repeat(32);
    for path in [
        format!("/v2/{other}/manifests/1"),
        "/v2/r.example:5000/a/b/manifests/1".to_owned(),
        format!("/v2/{key}/tags/list"),
        format!("/v2/{key}/manifests/.."),
        format!("/v2/{key}/manifests/..%2f..%2fx"),
        format!("/v2/{key}/blobs/%2e%2e"),
        "/images/v2/r.example:5000/a/b/manifests/1".to_owned(),
        "/../images/v2/r.example:5000/a/b/manifests/1".to_owned(),
        "/npm/../../images/v2/r.example:5000/a/b/manifests/1".to_owned(),
        "/npm/%2e%2E/../images/v2/r.example:5000/a/b/manifests/1".to_owned(),
        "/npm/..\\..\\tunnel".to_owned(),
    ] {
        assert_eq!(ask(&relay, &path).await.0, 404, "{path}");
    }
    assert_eq!(took(), Vec::<String>::new());
    assert_eq!(ask(&relay, "/npm/zod").await.0, 200);
    assert_eq!(took(), ["/api/v1/dtma/relay/npm/zod"]);

    // What keeps an image from coming is told to the pull that it is of.
    let words = "the reason; do this".to_owned();
    let away = format!("images come from the control plane, which says: {words}");
    for (tag, status, expected) in [
        ("refused", 403, Some(Trouble::Credentials)),
        ("unknown", 404, Some(Trouble::Unknown(words.clone()))),
        ("away", 502, Some(Trouble::Away(away))),
        ("wrong", 502, Some(Trouble::Other(words))),
        ("1", 200, None),
    ] {
        assert_eq!(ask(&relay, &format!("/v2/{key}/manifests/{tag}")).await.0, status, "{tag}");
        assert_eq!(pass.trouble(), expected, "{tag}");
    }
    drop(pass);
    took();
    assert_eq!(ask(&relay, &format!("/v2/{key}/manifests/1")).await.0, 404);
    assert_eq!(took(), Vec::<String>::new());
    stop.cancel();
}
