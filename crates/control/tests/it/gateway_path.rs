//! From the MCP address to the shim's socket, as the rows say: what is served, what is not, and how soon that changes.

use std::convert::Infallible;
use std::sync::Arc;

use api::users::Role;
use bytes::Bytes;
use domain::status::InstanceStatus;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use crate::dtma::FakeDtma;
use crate::platform::{Life, Platform};

const ADDRESS: &str = "/mcp/default/welcome";

fn call() -> serde_json::Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

/// A shim that tells which key and principal it was shown.
fn serve_shim(platform: &Platform, id: &str) {
    let dir = platform.dir.path().join("sockets").join(id);
    std::fs::create_dir_all(&dir).unwrap();
    let listener = hop::address::bind_unix(&dir, "shim.sock").unwrap();
    let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
        let shown = |name: &str| request.headers().get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
        let body = format!("{} {} {}", request.uri(), shown("berth-key"), shown("berth-principal"));
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
    });
    let listener = hop::serve::Listener::Unix(listener);
    tokio::spawn(hop::serve::serve(listener, service, std::future::pending()));
}

#[tokio::test]
async fn an_instance_is_served_from_the_moment_it_runs_until_it_is_stopped() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let reason = async || {
        let answer = platform.send(Some(&platform.owner), Method::POST, ADDRESS, Some(call())).await;
        (answer.status.as_u16(), answer.json()["error"]["data"]["reason"].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(reason().await, (503, "starting".to_owned()));
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    assert_eq!(reason().await, (503, "unreachable".to_owned()), "no socket is there yet");

    let spec = dtma.spec("welcome").unwrap();
    serve_shim(&platform, &spec.id.to_string());
    let answer = platform.send(Some(&platform.owner), Method::POST, ADDRESS, Some(call())).await;
    assert_eq!(answer.status, StatusCode::OK);
    let who = platform.get("/api/v1/whoami").await.json();
    let expected = format!("/mcp {} user:{}", spec.key.expose(), who["user"].as_str().unwrap());
    assert_eq!(answer.body, expected);

    // Viewers may call; another account sees nothing at all; a DTMA's token opens no MCP address.
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    for (token, status) in [
        (Some(viewer.as_str()), 200),
        (Some(stranger.as_str()), 404),
        (Some(platform.local.dtma_token.expose()), 401),
        (None, 401),
    ] {
        let answer = platform.send(token, Method::POST, ADDRESS, Some(call())).await;
        assert_eq!(answer.status.as_u16(), status);
    }

    platform.post("/api/v1/instances/welcome/stop", json!({})).await;
    assert_eq!(reason().await, (503, "stopped".to_owned()), "the very next call is told");
    // Its host has heard of it, so what ran is not there any more.
    platform.instance_until("welcome", |i| i["status"] == "installing" && i["generation"] == 2).await;
    platform.post("/api/v1/instances/welcome/start", json!({})).await;
    assert_eq!(reason().await, (503, "starting".to_owned()));
    platform.instance_until("welcome", |i| i["status"] == "installing" && i["generation"] == 3).await;
    for status in [InstanceStatus::Starting, InstanceStatus::ErrorRuntime] {
        dtma.report(&platform, |_| (status, Some("it exits at once"))).await;
        let answer = platform.send(Some(&platform.owner), Method::POST, ADDRESS, Some(call())).await;
        assert_eq!(answer.status, StatusCode::OK, "{status}: its shim knows best how it is");
    }
    dtma.report(&platform, |_| (InstanceStatus::ErrorInstall, Some("there is no such version"))).await;
    assert_eq!(reason().await, (503, "failed".to_owned()));
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/welcome", None).await;
    assert_eq!(reason().await, (404, "unknown".to_owned()));
    platform.stop().await;
}

#[tokio::test]
async fn another_host_is_reached_through_its_dtma() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start_with(address, |config| config.local_way = control::LocalWay::Dtma).await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    let answer = platform.send(Some(&platform.owner), Method::POST, ADDRESS, Some(call())).await;
    assert_eq!(answer.status, StatusCode::OK);
    let (spec, who) = (dtma.spec("welcome").unwrap(), platform.get("/api/v1/whoami").await.json());
    let (token, user) = (platform.local.dtma_token.expose(), who["user"].as_str().unwrap());
    assert_eq!(answer.body, format!("{} Bearer {token} {} user:{user}", spec.id, spec.key.expose()));
    platform.stop().await;
}

#[tokio::test]
async fn all_of_it_on_postgresql() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let database = testkit::postgres::database();
    let platform = Platform::start_with(address, |config| config.database = Some(database)).await;
    platform.instance_until("welcome", |instance| instance["status"] == "installing").await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    serve_shim(&platform, &dtma.spec("welcome").unwrap().id.to_string());
    let answer = platform.send(Some(&platform.owner), Method::POST, ADDRESS, Some(call())).await;
    assert_eq!(answer.status, StatusCode::OK);

    platform.deploy("second").await;
    let taken = json!({ "server": "welcome", "name": "second" });
    let taken = platform.post("/api/v1/instances", taken).await;
    assert!(taken.error().contains("`second-2` is free"), "{}", taken.error());
    platform.instance_until("second", |instance| instance["status"] == "installing").await;
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/second", None).await;
    let deadline = std::time::Instant::now() + crate::platform::PATIENCE;
    while platform.get("/api/v1/instances/second").await.status != StatusCode::NOT_FOUND {
        assert!(std::time::Instant::now() < deadline, "it is still there");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    platform.stop().await;
}
