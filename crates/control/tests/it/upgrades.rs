//! Upgrades of host agents, with a host that the tests play.

use std::path::Path as File;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::dtma::{BinaryProgress, PieceQuery, UpgradeOutcome, UpgradeRequest, UpgradeView};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::dtma::heartbeat;
use crate::platform::{PATIENCE, Platform};

/// What a host agent has of upgrades.
#[derive(Debug, Default)]
struct Host {
    received: Mutex<Vec<u8>>,
    asked: Mutex<Vec<UpgradeRequest>>,
    failure: Mutex<Option<String>>,
    architecture: Mutex<Option<&'static str>>,
    /// The connection breaks once in the middle.
    breaks: Mutex<bool>,
}

impl Host {
    async fn listen(self: &Arc<Self>) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v1/info", get(info))
            .route("/v1/binary/{sha256}", put(piece))
            .route("/v1/upgrade", get(view).post(begin))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

async fn info(State(host): State<Arc<Host>>) -> Json<Value> {
    let architecture = *host.architecture.lock().unwrap();
    let environment = domain::ids::EnvironmentId::generate();
    Json(
        json!({ "version": "0.1.0", "environment": environment, "protections": [], "architecture": architecture }),
    )
}

async fn piece(
    State(host): State<Arc<Host>>,
    Path(sha256): Path<String>,
    Query(query): Query<PieceQuery>,
    body: Bytes,
) -> Result<Json<BinaryProgress>, StatusCode> {
    let mut received = host.received.lock().unwrap();
    if query.offset == received.len() as u64 {
        received.extend_from_slice(&body);
        if !body.is_empty() && std::mem::take(&mut *host.breaks.lock().unwrap()) {
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
    }
    let is_complete = received.len() as u64 == query.size && hex(&received) == sha256;
    Ok(Json(BinaryProgress { received: received.len() as u64, is_complete }))
}

async fn begin(State(host): State<Arc<Host>>, Json(request): Json<UpgradeRequest>) -> StatusCode {
    host.asked.lock().unwrap().push(request);
    StatusCode::ACCEPTED
}

async fn view(State(host): State<Arc<Host>>) -> Json<UpgradeView> {
    let last = host.asked.lock().unwrap().last().cloned();
    let failure = host.failure.lock().unwrap().clone();
    let outcome = last.as_ref().zip(failure);
    let outcome =
        outcome.map(|(last, failure)| UpgradeOutcome { attempt: last.attempt, failure: Some(failure) });
    Json(UpgradeView { last, outcome })
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// A heartbeat of the host as a program.
async fn reports(platform: &Platform, sequence: u64, program: &str) {
    let mut body = heartbeat(&platform.local.id.to_string(), sequence, &json!([]));
    body["program"] = program.into();
    let token = platform.local.dtma_token.expose();
    let answer = platform.send(Some(token), Method::POST, api::dtma::HEARTBEAT_PATH, Some(body)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
}

async fn until(platform: &Platform, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = platform.get(path).await.json();
        if is(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}: {found:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const PATH: &str = "/api/v1/upgrades";

#[tokio::test]
async fn a_host_gets_the_program_in_pieces_whoever_restarts_and_says_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("berth");
    let content: Vec<u8> = (0..9_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    let offer = |file: &File| {
        let file = file.to_owned();
        move |config: &mut control::Config| config.upgrade_program = Some(file)
    };
    let host = Arc::new(Host::default());
    *host.breaks.lock().unwrap() = true;
    let platform = Platform::start_with(host.listen().await, offer(&file)).await;
    let all = json!({ "all": true, "waves": ["1", "100%"] });
    let refused = platform.post(PATH, all.clone()).await;
    assert!(
        refused.error().contains("409 conflict | - | no environment has to be upgraded"),
        "{}",
        refused.error()
    );
    let local = platform.post(PATH, json!({ "environments": ["local"] })).await;
    assert!(local.error().contains("cannot be replaced from here"), "{}", local.error());

    let old = "0".repeat(64);
    reports(&platform, 1, &old).await;
    until(&platform, "/api/v1/environments/local", "outdated", |shown| shown["outdated"] == true).await;
    for (body, words) in [
        (json!({ "all": true, "waves": ["0"] }), "422 invalid | waves | `0`: a wave is a number"),
        (json!({ "all": true, "environments": ["local"] }), "422 invalid | environments"),
        (json!({}), "422 invalid | environments | no environment is named"),
        (json!({ "environments": ["nowhere"] }), "404 not_found"),
    ] {
        let refused = platform.post(PATH, body).await.error();
        assert!(refused.contains(words), "{refused}");
    }
    let begun = platform.post(PATH, all.clone()).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{begun:?}");
    assert!(platform.post(PATH, all.clone()).await.error().contains("being upgraded already"));
    until(&platform, PATH, "the host's turn", |found| {
        found[0]["hosts"][0]["message"] == "its host replaces the program"
    })
    .await;
    assert_eq!(*host.received.lock().unwrap(), content);

    // Another control plane goes on, and asks for nothing twice.
    let platform = platform.again(offer(&file)).await;
    reports(&platform, 2, &hex(&content)).await;
    let done = until(&platform, PATH, "its end", |found| found[0]["state"] != "running").await;
    assert_eq!(
        (&done[0]["state"], &done[0]["hosts"][0]["state"]),
        (&json!("done"), &json!("done")),
        "{done}"
    );
    assert_eq!(host.asked.lock().unwrap().len(), 1);

    // What its host says went wrong is why it failed.
    reports(&platform, 3, &old).await;
    *host.failure.lock().unwrap() = Some("the new binary did not serve and was taken back".to_owned());
    assert_eq!(platform.post(PATH, all.clone()).await.status, StatusCode::CREATED);
    let failed = until(&platform, PATH, "its end", |found| found[0]["state"] != "running").await;
    assert_eq!(failed[0]["state"], "failed", "{failed}");
    assert!(failed[0]["hosts"][0]["message"].to_string().contains("was taken back"), "{failed}");

    // One of another architecture is sent nothing.
    host.received.lock().unwrap().clear();
    *host.architecture.lock().unwrap() = Some("riscv64");
    assert_eq!(platform.post(PATH, all).await.status, StatusCode::CREATED);
    let failed = until(&platform, PATH, "its end", |found| found[0]["state"] != "running").await;
    assert!(failed[0]["hosts"][0]["message"].to_string().contains("riscv64"), "{failed}");
    assert!(host.received.lock().unwrap().is_empty());
    platform.stop().await;
}
