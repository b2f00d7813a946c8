//! The DTMA's own questions to a shim, under the instance's key: how are you, and end.

use std::time::Duration;

use axum::body::Body;
use domain::secret::Secret;
use domain::shim::{
    KEY_HEADER, LEASE_HEADER, SHUTDOWN_PATH, SOCKET, STATUS_PATH, ShimStatus, TOKEN_PATH, TokenAnswer,
};
use hop::address::Address;
use hop::pool::{HopError, Pool};
use http::header::{CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, StatusCode};

/// A shim that has not said how it is by then is silent.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// So long a shim is asked to wait for another status than the known one. It bounds how late a shim that hangs is noticed.
pub(crate) const NEWS_WAIT: Duration = Duration::from_secs(4);
/// A shim that has still not answered so long after that is silent.
const NEWS_GRACE: Duration = Duration::from_secs(2);
/// A status is far smaller; what is larger is no status.
const MAX_STATUS: usize = 64 << 10;

/// How long its answer may take (RFC 7240, section 4.3).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It said how it is, and by what name it knows that; a shim of an earlier version gives none.
    Status(ShimStatus, Option<HeaderValue>),
    /// Nobody listens.
    Refused,
    /// It took the connection and did not answer in time, or not in our words.
    Silent,
    /// It does not take the key.
    WrongKey,
}

/// The address of the shim whose socket lies in `socket_dir`.
pub(crate) fn address(socket_dir: &std::path::Path) -> Address {
    Address::Unix { dir: socket_dir.to_owned(), file: SOCKET.to_owned() }
}

/// Asks a shim how it is, and tells it until when it may run, in milliseconds since the boot.
pub(crate) async fn status(pool: &Pool<Body>, address: &Address, key: &Secret, until: Option<u64>) -> Answer {
    let mut request = request(Method::GET, STATUS_PATH, key);
    if let (Some(request), Some(until)) = (&mut request, until) {
        request.headers_mut().insert(LEASE_HEADER, HeaderValue::from(until));
    }
    let asking = ask(pool, address, request);
    tokio::time::timeout(STATUS_TIMEOUT, asking).await.unwrap_or(Answer::Silent)
}

/// Asks a shim how it is once that is something else than what it called `known`, or after [`NEWS_WAIT`].
pub(crate) async fn news(pool: &Pool<Body>, address: &Address, key: &Secret, known: HeaderValue) -> Answer {
    let mut request = request(Method::GET, STATUS_PATH, key);
    if let Some(request) = &mut request {
        request.headers_mut().insert(IF_NONE_MATCH, known);
        let wait = HeaderValue::try_from(format!("wait={}", NEWS_WAIT.as_secs()));
        request.headers_mut().extend(wait.ok().map(|wait| (PREFER, wait)));
    }
    let asking = ask(pool, address, request);
    tokio::time::timeout(NEWS_WAIT + NEWS_GRACE, asking).await.unwrap_or(Answer::Silent)
}

/// Asks a shim to stop its server and end; done when it answered or went away, or at the deadline. Whatever is left is
/// killed afterwards, so there is nothing to report.
pub(crate) async fn shut_down(pool: &Pool<Body>, address: &Address, key: &Secret, deadline: Duration) {
    let Some(request) = request(Method::POST, SHUTDOWN_PATH, key) else { return };
    match tokio::time::timeout(deadline, pool.send(address, request)).await {
        Ok(Ok(response)) => {
            tracing::debug!(%address, status = %response.status(), "the shim was told to end");
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "the shim was gone before it was told to end"),
        Err(_elapsed) => tracing::warn!(%address, "the shim did not end in time and is killed"),
    }
}

/// Gives a shim what it asked for. One that is gone needs it no more.
pub(crate) async fn answer_token(pool: &Pool<Body>, address: &Address, key: &Secret, answer: &TokenAnswer) {
    let Some(mut request) = request(Method::POST, TOKEN_PATH, key) else { return };
    let Ok(body) = serde_json::to_vec(answer) else { return };
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Body::from(body);
    match tokio::time::timeout(STATUS_TIMEOUT, pool.send(address, request)).await {
        Ok(Ok(response)) if response.status().is_success() => {}
        Ok(Ok(response)) => {
            tracing::warn!(%address, status = %response.status(), "the shim does not take the answer to its question");
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "the shim was gone before it was answered"),
        Err(_elapsed) => tracing::warn!(%address, "the shim did not take an answer in time"),
    }
}

async fn ask(pool: &Pool<Body>, address: &Address, request: Option<Request<Body>>) -> Answer {
    let Some(request) = request else { return Answer::WrongKey };
    let response = match pool.send(address, request).await {
        Ok(response) => response,
        Err(HopError::Connect { .. } | HopError::Lost { .. }) => return Answer::Refused,
    };
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Answer::WrongKey,
        _ => return Answer::Silent,
    }
    let tag = response.headers().get(ETAG).cloned();
    let Ok(body) = axum::body::to_bytes(Body::new(response.into_body()), MAX_STATUS).await else {
        return Answer::Refused;
    };
    serde_json::from_slice(&body).map_or(Answer::Silent, |status| Answer::Status(status, tag))
}

/// `None` when the key cannot be a header, so no shim can have it.
fn request(method: Method, path: &'static str, key: &Secret) -> Option<Request<Body>> {
    let mut key = HeaderValue::from_str(key.expose()).ok()?;
    key.set_sensitive(true);
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = http::Uri::from_static(path);
    request.headers_mut().insert(KEY_HEADER, key);
    Some(request)
}
