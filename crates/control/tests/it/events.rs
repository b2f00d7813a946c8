//! The event stream: everything of one's own account, nothing of another's.

use std::sync::Arc;

use api::users::Role;
use bytes::Bytes;
use domain::status::InstanceStatus;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;

use crate::dtma::FakeDtma;
use crate::platform::{Life, PATIENCE, Platform};

struct Stream {
    body: hop::pool::PooledBody<Full<Bytes>>,
    text: String,
}

impl Stream {
    async fn open(platform: &Platform, token: &str) -> Self {
        let response = platform.open(Some(token), Method::GET, "/api/v1/events", None).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { body: response.into_body(), text: String::new() };
        stream.until("connected").await;
        stream
    }

    async fn until(&mut self, words: &str) {
        let read = async {
            while !self.text.contains(words) {
                let frame = self.body.frame().await.expect("the stream goes on").unwrap();
                self.text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
            }
        };
        let came = tokio::time::timeout(PATIENCE, read).await;
        assert!(came.is_ok(), "`{words}` did not come, only: {}", self.text);
    }
}

#[tokio::test]
async fn changes_come_to_their_own_account_alone() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let viewer = platform.person("default", Role::Viewer, Life::Good).await;
    let mut own = Stream::open(&platform, &viewer).await;
    let mut foreign = Stream::open(&platform, &stranger).await;

    platform.deploy("second").await;
    own.until("event: instance\ndata: {").await;
    own.until(r#""status":"installing""#).await;
    dtma.report(&platform, |_| (InstanceStatus::Running, None)).await;
    own.until(r#""status":"running""#).await;
    own.until("event: environment\ndata: {").await;
    platform.send(Some(&platform.owner), Method::DELETE, "/api/v1/instances/second", None).await;
    own.until("event: instance_removed\ndata: {\"name\":\"second\"}").await;

    let path = "/api/v1/toolbelts";
    platform.post(path, json!({ "name": "hands" })).await;
    own.until("event: toolbelt\ndata: {\"name\":\"hands\"}").await;
    platform.post(&format!("{path}/hands/members"), json!({ "instance": "welcome" })).await;
    own.text.clear();
    own.until("event: toolbelt\ndata: {\"name\":\"hands\"}").await;
    platform.post("/api/v1/agents", json!({ "name": "scout" })).await;
    own.until("event: agent\ndata: {\"name\":\"scout\"}").await;
    own.text.clear();
    platform.post("/api/v1/agents/scout/tokens", json!({ "name": "one" })).await;
    own.until("event: agent\ndata: {\"name\":\"scout\"}").await;

    // The other account's stream ends with the process, and never held a word of this.
    let rest = tokio::spawn(async move {
        while let Some(Ok(frame)) = foreign.body.frame().await {
            foreign.text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
        }
        foreign.text
    });
    platform.stop().await;
    let rest = rest.await.unwrap();
    assert!(!rest.contains("event:"), "{rest}");
}

#[tokio::test]
async fn secrets_are_in_no_event() {
    let dtma = Arc::new(FakeDtma::default());
    let (address, _) = dtma.listen(None).await;
    let platform = Platform::start(address).await;
    let mut own = Stream::open(&platform, &platform.owner).await;
    let body = json!({ "server": "npm:thing", "secrets": { "API_KEY": "hunter2" } });
    platform.post("/api/v1/instances", body).await;
    own.until(r#""secret_names":["API_KEY"]"#).await;
    assert!(!own.text.contains("hunter2"));
    platform.stop().await;
}
