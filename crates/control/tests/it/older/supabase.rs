//! What the tests of the older front end's functions share: a platform that takes a Supabase project's tokens, and somebody who asks.

use http::Method;
use serde_json::{Value, json};

use crate::issuers::{PROJECT, SECRET, token};
use crate::platform::{Answer, Platform, nobody};

/// A control plane on which every user of the project has an account of their own.
pub(crate) async fn platform(change: impl FnOnce(&mut control::Config)) -> Platform {
    Platform::start_with(nobody(), |config| {
        let secret = domain::secret::Secret::new(SECRET);
        config.issuers = vec![control::Issuer::supabase(PROJECT, Some(secret))];
        change(config);
    })
    .await
}

/// Somebody who is signed in there.
pub(crate) struct User<'a> {
    pub(crate) platform: &'a Platform,
    pub(crate) token: String,
}

impl<'a> User<'a> {
    pub(crate) fn new(platform: &'a Platform, name: &str) -> Self {
        Self { platform, token: token(name, |_| {}) }
    }

    /// Somebody with a token of Berth's own.
    pub(crate) fn with(platform: &'a Platform, token: &str) -> Self {
        Self { platform, token: token.to_owned() }
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let path = if path.starts_with("/api/") { path.to_owned() } else { format!("/functions/v1/{path}") };
        let answer = self.platform.send(Some(&self.token), method, &path, body).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains("dtma_bearer_token"), "{path}: {text}");
        answer
    }

    /// What is answered with this status.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> impl Future<Output = Value> {
        self.expect(200, Method::GET, path, None)
    }

    #[track_caller]
    pub(crate) fn post(&self, status: u16, path: &str, body: Value) -> impl Future<Output = Value> {
        self.expect(status, Method::POST, path, Some(body))
    }

    #[track_caller]
    pub(crate) fn expect(
        &self,
        status: u16,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> impl Future<Output = Value> {
        let (called, path) = (std::panic::Location::caller(), path.to_owned());
        async move {
            let answer = self.ask(method, &path, body).await;
            assert_eq!(answer.status.as_u16(), status, "{called}: {answer:?}");
            if answer.body.is_empty() { Value::Null } else { answer.json() }
        }
    }

    /// Status, field, sentence and hint of a refusal, in one line.
    pub(crate) async fn refusal(&self, method: Method, path: &str, body: Option<Value>) -> String {
        let answer = self.ask(method, path, body).await;
        let shown = answer.json();
        let part = |name: &str| shown[name].as_str().unwrap_or("-").to_owned();
        format!("{} | {} | {} | {}", answer.status.as_u16(), part("field"), part("error"), part("hint"))
    }

    /// As [`User::get`], without what changes by itself: what is said of a host that is not there.
    pub(crate) async fn rows(&self, path: &str) -> Value {
        let mut found = self.get(path).await;
        let rows = match &mut found {
            Value::Array(rows) => rows.iter_mut().collect(),
            row => vec![row],
        };
        for row in rows {
            row["instance_error_message"] = Value::Null;
        }
        found
    }

    /// A toolbox of theirs: a host that is not there.
    pub(crate) async fn host(&self, name: &str) -> String {
        let address = nobody().to_string();
        let host = json!({ "name": name, "kind": "host", "address": address, "insecure_http": true });
        let added = self.post(201, "/api/v1/environments", host).await;
        added["id"].as_str().unwrap().to_owned()
    }
}
