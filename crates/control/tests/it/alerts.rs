//! Who is told of what is broken: every receiver, whatever it does, once when it breaks and once when it is over.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use api::users::Role;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use control::{AlertOptions, Config, Receivers};
use domain::ids::EnvironmentId;
use domain::secret::Secret;
use domain::status::EnvironmentStatus;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::Value;
use sha2::Sha256;
use testkit::smtp::Smtp;

use crate::platform::{Life, PATIENCE, Platform, nobody};

const KEY: &str = "a key that both sides know";

/// A web hook of somebody's.
#[derive(Debug, Default)]
struct Hook {
    /// What it took: id and body.
    taken: Mutex<Vec<(String, Value)>>,
    refuses: AtomicBool,
    hangs: AtomicBool,
}

impl Hook {
    async fn listen(self: &Arc<Self>, address: Option<SocketAddr>) -> SocketAddr {
        let address = address.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/hooks/hidden", post(take)).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// How often each message was taken, such as `alert.broken far`.
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, body) in self.taken.lock().unwrap().iter() {
            let what = format!(
                "{} {}",
                body["type"].as_str().unwrap(),
                body["data"]["subject"]["name"].as_str().unwrap_or("-")
            );
            *counts.entry(what).or_default() += 1;
        }
        counts
    }

    fn has(&self, what: &str) -> bool {
        self.counts().contains_key(what)
    }
}

async fn take(State(hook): State<Arc<Hook>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(&body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    assert_eq!(header("content-type"), "application/json");
    if hook.hangs.swap(false, Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    if hook.refuses.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    hook.taken.lock().unwrap().push((id, serde_json::from_slice(&body).unwrap()));
    StatusCode::NO_CONTENT
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn quick(receivers: AlertOptions) -> impl FnOnce(&mut Config) {
    let receivers = AlertOptions { debounce: Some(Duration::from_millis(300)), ..receivers };
    move |config| {
        config.heartbeat = Duration::from_millis(50);
        config.receivers = Receivers::new(&receivers).unwrap();
    }
}

async fn set(platform: &Platform, id: EnvironmentId, status: EnvironmentStatus) {
    let mut tx = platform.store.begin().await.unwrap();
    store::environments::set_status(&mut tx, id, status, SystemTime::now().into()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn every_receiver_is_told_once_whatever_it_does_and_whoever_restarts() {
    let hooks: [Arc<Hook>; 4] = std::array::from_fn(|_| Arc::default());
    let [good, refusing, slow, down] = &hooks;
    refusing.refuses.store(true, Ordering::SeqCst);
    slow.hangs.store(true, Ordering::SeqCst);
    let addresses = [good.listen(None).await, refusing.listen(None).await, slow.listen(None).await, nobody()];
    let options = AlertOptions {
        webhooks: addresses.iter().map(|at| Secret::new(format!("http://{at}/hooks/hidden"))).collect(),
        webhook_secret: Some(Secret::new(KEY)),
        ..AlertOptions::default()
    };
    let platform = Platform::start_with(nobody(), quick(options.clone())).await;
    let far = platform.environment("far", "far-token").await.id;
    let fence = platform.environment("fence", "fence-token").await.id;

    set(&platform, far, EnvironmentStatus::Unresponsive).await;
    until("the good one is told", || good.has("alert.broken far")).await;
    let open = platform.get("/api/v1/alerts").await.json();
    assert_eq!((&open[0]["subject"], &open[0]["kind"]), (&"far".into(), &"environment_unresponsive".into()));
    assert!(open[0]["healed_at"].is_null(), "{open}");
    assert!(!open.to_string().contains("hidden"), "the address of a web hook is told: {open}");

    // Another account sees nothing of it.
    let stranger = platform.person("other", Role::Owner, Life::Good).await;
    let theirs = platform.send(Some(&stranger), Method::GET, "/api/v1/alerts", None).await.json();
    assert_eq!(theirs, serde_json::json!([]));

    // It flaps, while the control plane is started again and the receivers come to their senses.
    set(&platform, far, EnvironmentStatus::Active).await;
    let platform = platform.again(quick(options)).await;
    set(&platform, far, EnvironmentStatus::Unresponsive).await;
    refusing.refuses.store(false, Ordering::SeqCst);
    down.listen(Some(addresses[3])).await;
    until("all are told", || hooks.iter().all(|hook| hook.has("alert.broken far"))).await;
    set(&platform, far, EnvironmentStatus::Active).await;
    until("all are told that it is over", || hooks.iter().all(|hook| hook.has("alert.healed far"))).await;

    // Whatever were to be said twice would have been said before this.
    set(&platform, fence, EnvironmentStatus::Unresponsive).await;
    until("all are told of the next", || hooks.iter().all(|hook| hook.has("alert.broken fence"))).await;
    for hook in &hooks {
        let counts = hook.counts();
        assert_eq!((counts["alert.broken far"], counts["alert.healed far"]), (1, 1), "{counts:?}");
        let taken = hook.taken.lock().unwrap();
        let position = |what: &str| taken.iter().position(|(_, body)| body["type"] == what).unwrap();
        assert!(position("alert.broken") < position("alert.healed"));
        let text = taken[0].1["text"].as_str().unwrap();
        assert!(text.starts_with("Berth: environment `far` has not reported"), "{text}");
    }
    let listed = platform.get("/api/v1/alerts").await.json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|alert| alert["subject"].clone()).collect();
    assert_eq!(names, ["fence", "far"], "what is open comes first");
    platform.stop().await;
}

#[tokio::test]
async fn each_address_gets_one_letter_for_each_message() {
    let address = nobody();
    let options = AlertOptions {
        smtp: Some(format!("smtp://berth@{address}")),
        smtp_password: Some(Secret::new("smtp-hidden-password")),
        mail_from: Some("berth@example.com".to_owned()),
        mail_to: vec!["one@example.com".to_owned(), "two@example.com".to_owned()],
        ..AlertOptions::default()
    };
    let platform = Platform::start_with(nobody(), quick(options.clone())).await;
    let tested = platform.send(Some(&platform.owner), Method::POST, "/api/v1/alerts/test", None).await.json();
    assert_eq!(tested[0]["receiver"], "one@example.com");
    assert!(tested[0]["trouble"].is_string(), "nobody listens there: {tested}");

    let far = platform.environment("far", "far-token").await.id;
    set(&platform, far, EnvironmentStatus::Unresponsive).await;
    let deadline = Instant::now() + PATIENCE;
    while platform.get("/api/v1/alerts").await.json()[0]["delivery_trouble"].is_null() {
        assert!(Instant::now() < deadline, "its trouble is not shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let smtp = Smtp::start(address, None);
    let platform = platform.again(quick(options)).await;
    let to = ["one@example.com", "two@example.com"];
    until("both have a letter", || to.iter().all(|to| smtp.subjects(to).len() == 1)).await;
    set(&platform, far, EnvironmentStatus::Active).await;
    until("both have the second", || to.iter().all(|to| 2 <= smtp.subjects(to).len())).await;
    let tested = platform.send(Some(&platform.owner), Method::POST, "/api/v1/alerts/test", None).await.json();
    assert_eq!((tested.as_array().unwrap().len(), &tested[1]["trouble"]), (2, &Value::Null), "{tested}");
    until("both have the test", || to.iter().all(|to| 3 <= smtp.subjects(to).len())).await;
    for to in to {
        let subjects = smtp.subjects(to);
        assert_eq!(subjects.len(), 3, "{subjects:?}");
        for (subject, begin) in subjects.iter().zip(["environment `far`", "over after", "a test of alerts"]) {
            assert!(subject.starts_with(&format!("Berth: {begin}")), "{subject}");
        }
    }
    platform.stop().await;
}
