//! Packages for hosts: who may fetch, what, and from where. The registries are played here.

use std::net::SocketAddr;

use api::users::Role;
use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hop::serve::Listener;
use tokio_util::sync::CancellationToken;

use crate::platform::{Life, Platform, nobody};

const BASE: &str = "http://127.0.0.1:7";

/// A registry that knows `zod`, and sends whoever asks for `moved` elsewhere.
async fn registry(stop: CancellationToken) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request| async move { answer(address, &request) };
    let router = Router::new().fallback(answer);
    tokio::spawn(hop::serve::serve_router(Listener::Tcp(listener), router, stop.cancelled_owned()));
    address
}

fn answer(own: SocketAddr, request: &Request) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return (StatusCode::IM_A_TEAPOT, "the host's token came as far as here").into_response();
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    match request.uri().path() {
        "/zod" => (json, format!(r#"{{"tarball":"http://{own}/zod/-/zod-4.0.0.tgz"}}"#)).into_response(),
        "/zod/-/zod-4.0.0.tgz" => {
            ([(header::CONTENT_TYPE, "application/octet-stream")], format!("http://{own}/ stays"))
                .into_response()
        }
        "/simple/six/" => {
            let html = format!(r#"<a href="http://{own}/packages/six.whl">six</a>"#);
            ([(header::CONTENT_TYPE, "text/html")], html).into_response()
        }
        "/moved" => {
            (StatusCode::FOUND, [(header::LOCATION, "http://169.254.169.254/latest")]).into_response()
        }
        "/renamed" => (StatusCode::FOUND, [(header::LOCATION, "/zod")]).into_response(),
        _ => (StatusCode::NOT_FOUND, json, r#"{"error":"Not found"}"#).into_response(),
    }
}

fn registries(url: &str) -> control::Registries {
    control::Registries::new(Some(url), Some(&format!("{url}/simple")), None).unwrap()
}

#[tokio::test]
async fn hosts_get_packages_and_nothing_else() {
    let stop = CancellationToken::new();
    let upstream = registry(stop.clone()).await;
    let platform = Platform::start_with(nobody(), |config| {
        config.registries = registries(&format!("http://{upstream}"));
    })
    .await;
    let dtma = platform.local.dtma_token.expose().to_owned();
    let member = platform.person("default", Role::Owner, Life::Good).await;
    let ask = async |method: Method, token: Option<&str>, path: &str, base: Option<&str>| {
        let headers = base.map(|base| ("berth-relay-base", base));
        let answer = platform
            .send_with(token, method, &format!("/api/v1/dtma/relay/{path}"), headers.as_slice())
            .await;
        (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
    };
    let (get, head) = (Method::GET, Method::HEAD);

    // Only hosts, with a token that counts.
    for token in [None, Some(&*member), Some("wrong")] {
        assert_eq!(ask(get.clone(), token, "npm/zod", Some(BASE)).await.0, 401, "{token:?}");
    }
    let dtma = Some(&*dtma);
    let check = async |path: &str, expected: (u16, &str)| {
        let (status, body) = ask(get.clone(), dtma, path, Some(BASE)).await;
        assert!(status == expected.0 && body.contains(expected.1), "{path}: {status} {body}");
    };
    check("npm/zod", (200, r#"{"tarball":"http://127.0.0.1:7/npm/zod/-/zod-4.0.0.tgz"}"#)).await;
    check("npm/zod?x=http://evil.example", (200, "tarball")).await;
    check("npm/renamed", (200, "tarball")).await;
    check("pypi/simple/six/", (200, r#"href="http://127.0.0.1:7/pypi/packages/six.whl""#)).await;
    // What has a digest comes as it is.
    check("npm/zod/-/zod-4.0.0.tgz", (200, &format!("http://{upstream}/ stays"))).await;
    check("npm/no-such-package", (404, "Not found")).await;
    check("npm/moved", (502, "sends elsewhere")).await;
    for path in [
        "npm/-/v1/search",
        "npm/..%2f..%2fx",
        "npm/http://169.254.169.254/",
        "npm//169.254.169.254/latest",
        "pypi/account/login",
        "pypi/files/",
        "oci/x",
    ] {
        check(path, (404, "no path of a package")).await;
    }
    assert_eq!(ask(head, dtma, "npm/zod", Some(BASE)).await, (200, String::new()));
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        assert_eq!(ask(method, dtma, "npm/zod", Some(BASE)).await.0, 405);
    }
    // The address that answers are rewritten to is the host's own, and not anybody's.
    for base in [None, Some("http://evil.example:7"), Some("http://127.0.0.1:7/x")] {
        let (status, body) = ask(get.clone(), dtma, "npm/zod", base).await;
        assert!(status == 400 && body.contains("berth-relay-base"), "{base:?}: {status} {body}");
    }
    // Nobody said where packages come from.
    let unnamed = Platform::start(nobody()).await;
    let token = unnamed.local.dtma_token.expose().to_owned();
    let header = [("berth-relay-base", BASE)];
    let answer = unnamed.send_with(Some(&token), Method::GET, "/api/v1/dtma/relay/npm/zod", &header).await;
    assert!(answer.error().contains("no registry of npm"), "{}", answer.error());
    unnamed.stop().await;

    // The registry goes away.
    stop.cancel();
    let away = Platform::start_with(nobody(), |config| {
        config.registries = registries(&format!("http://{}", nobody()));
    })
    .await;
    let token = away.local.dtma_token.expose().to_owned();
    let answer =
        away.send_with(Some(&token), get, "/api/v1/dtma/relay/npm/zod", &[("berth-relay-base", BASE)]).await;
    assert!(answer.error().starts_with("503 unavailable"), "{}", answer.error());
    away.stop().await;
    platform.stop().await;
}
