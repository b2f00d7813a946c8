//! Sends requests, waits where the provider wants it, and repeats what may be repeated.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Method, Url, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::errors::{self, Error};
use crate::retry::{Effect, Limit, Outcome, Step, Tries};
use crate::settings::{Settings, SettingsError};

/// How long a connection may take to stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A client of the API. One serves all tasks of a process, so that they share what is known of the rate limit.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    pub(crate) settings: Settings,
    /// Before this moment nothing should be sent: hardly any request is left.
    not_before: Mutex<Option<Instant>>,
}

/// One request, before it has an address.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Behind `/v2/`; each is encoded.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<Value>,
    pub(crate) effect: Effect,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, effect: Effect, path: &'a [&'a str]) -> Self {
        Self { method, path, query: &[], body: None, effect }
    }

    /// With a body. Our own types always serialise; an error here would be the caller's fault and is told as such.
    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let value = serde_json::to_value(body)
            .map_err(|error| Error::Unsendable { field: "request", reason: error.to_string() })?;
        self.body = Some(value);
        Ok(self)
    }
}

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) request: String,
    pub(crate) request_id: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// The members of the answer's object.
    pub(crate) fn members(&self) -> Result<Map<String, Value>, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.garbled(error.to_string()))
    }

    /// Takes a member out and reads it. A missing one is an error: an empty list must never be made of a broken answer.
    pub(crate) fn member<T: DeserializeOwned>(
        &self,
        members: &mut Map<String, Value>,
        key: &str,
    ) -> Result<T, Error> {
        let value = members.remove(key).ok_or_else(|| self.garbled(format!("it has no `{key}`")))?;
        serde_json::from_value(value).map_err(|error| self.garbled(format!("`{key}`: {error}")))
    }

    pub(crate) fn garbled(&self, reason: String) -> Error {
        Error::Garbled { request: self.request.clone(), reason, request_id: self.request_id.clone() }
    }
}

/// What one try came to.
enum Tried {
    Good(Answer),
    Bad { outcome: Outcome, limit: Limit, error: Error },
}

impl Client {
    /// A client with these settings. Nothing is sent.
    ///
    /// # Errors
    /// When the machine has no certificates to trust.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true)
            // An answer that leads elsewhere would take the token there.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")));
        if settings.base.scheme() == "http" {
            // This machine: no certificates, which a bare system lacks, and no proxy, which would see the token.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| SettingsError::Certificates(error.to_string()))?;
        Ok(Self { http, settings, not_before: Mutex::new(None) })
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, key: &str, path: &[&str]) -> Result<T, Error> {
        self.one(key, Call::new(Method::GET, Effect::Repeatable, path)).await
    }

    /// Sends and reads one member of the answer.
    pub(crate) async fn one<T: DeserializeOwned>(&self, key: &str, call: Call<'_>) -> Result<T, Error> {
        let answer = self.send(call).await?;
        let mut members = answer.members()?;
        answer.member(&mut members, key)
    }

    /// Deletes; what is already gone is as good as deleted. The second try after a lost answer meets just that.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), Error> {
        match self.send(Call::new(Method::DELETE, Effect::Repeatable, path)).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let mut url = self.settings.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v2").extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        self.send_to(url, &call).await
    }

    /// Sends to an address, which has to be one below the base address.
    pub(crate) async fn send_to(&self, url: Url, call: &Call<'_>) -> Result<Answer, Error> {
        let request = format!("{} {}", call.method, url.path());
        let started = Instant::now();
        let deadline = started + self.settings.give_up_after;
        let mut tries = Tries::new(call.effect, self.settings.first_wait, self.settings.give_up_after);
        loop {
            self.pause(deadline).await;
            let (outcome, limit, error) = match self.attempt(&request, url.clone(), call).await {
                Tried::Good(answer) => return Ok(answer),
                Tried::Bad { outcome, limit, error } => (outcome, limit, error),
            };
            match tries.after(outcome, &limit, started.elapsed(), dice()) {
                Step::Take | Step::GiveUp => return Err(error),
                Step::Again(wait) => {
                    tracing::debug!(%error, wait_ms = wait.as_millis(), "asking DigitalOcean again");
                    sleep(wait).await;
                }
            }
        }
    }

    /// Waits while hardly any request is left. Not longer than there is time: then the provider says itself what is.
    async fn pause(&self, deadline: Instant) {
        let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until.filter(|&until| until < deadline) {
            sleep_until(until).await;
        }
    }

    async fn attempt(&self, request: &str, url: Url, call: &Call<'_>) -> Tried {
        let silent = |outcome: Outcome, reason: String| Tried::Bad {
            outcome,
            limit: Limit::default(),
            error: Error::Network { request: request.to_owned(), reason, sent: outcome == Outcome::Lost },
        };
        let mut builder =
            self.http.request(call.method.clone(), url).bearer_auth(self.settings.token.expose());
        if let Some(body) = &call.body {
            builder = builder.json(body);
        }
        let exchange = async {
            let response = builder.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, response.bytes().await?))
        };
        let within = self.settings.answer_within;
        let (status, headers, body) = match timeout(within, exchange).await {
            Ok(Ok(exchanged)) => exchanged,
            Ok(Err(error)) => {
                let outcome = if error.is_connect() { Outcome::NotSent } else { Outcome::Lost };
                return silent(outcome, innermost(&error.without_url()));
            }
            Err(_) => {
                return silent(Outcome::Lost, format!("it took longer than {} s", within.as_secs_f32()));
            }
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let limit = Limit::read(text, now());
        self.note(&limit);
        let request_id = text("x-request-id").map(str::to_owned);
        if status.is_success() {
            return Tried::Good(Answer { request: request.to_owned(), request_id, body: body.to_vec() });
        }
        let refusal = if status.is_redirection() {
            let to = text(header::LOCATION.as_str()).unwrap_or("nowhere");
            errors::refusal(status, request_id, format!("the answer leads elsewhere: {to}").as_bytes())
        } else {
            errors::refusal(status, request_id, &body)
        };
        let wait = limit.retry_after.or(limit.reset_in);
        Tried::Bad {
            outcome: Outcome::Answered(status.as_u16()),
            limit,
            error: errors::classify(request, refusal, wait),
        }
    }

    /// Remembers for all callers how much of the limit is left.
    fn note(&self, limit: &Limit) {
        let pause = limit.pause();
        let until = (!pause.is_zero()).then(|| Instant::now() + pause);
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// In `0.0..1.0`. Spreading callers needs no good randomness: the standard library's keys for hashing will do.
fn dice() -> f64 {
    let random = std::hash::RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
