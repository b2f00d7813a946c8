//! How the shim and its server are; at once, or as soon as it is something else than whoever asks knows already.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use domain::shim::{MAX_STATUS_WAIT, ShimStatus};
use http::header::{ETAG, HeaderMap, HeaderName, IF_NONE_MATCH};
use http::{HeaderValue, Response, StatusCode};
use mcp::errors;
use mcp::front::Refusal;
use tokio::time::Instant;

use super::{JSON, refused, respond};
use crate::body::Body;
use crate::shared::Shared;

/// How long a caller would wait (RFC 7240, section 4.3).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Answers with the status. Who sends the tag of the status that it knows, and how long it would wait, is answered when
/// there is another, or when the time is over.
pub(super) async fn answer(shared: &Shared, headers: &HeaderMap) -> Response<Body> {
    let deadline = Instant::now() + patience(headers);
    loop {
        // Listens from before it looks, so that no change is missed.
        let news = shared.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        let status = shared.status();
        let tag = tag(&status);
        let is_known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        // One that is about to end keeps nobody waiting: it would wait for them.
        if !is_known || deadline <= Instant::now() || shared.stopping.is_cancelled() {
            return whole(&status, &tag);
        }
        tokio::select! {
            () = news => {}
            () = shared.stopping.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

fn whole(status: &ShimStatus, tag: &str) -> Response<Body> {
    match serde_json::to_vec(status) {
        Ok(body) => {
            let mut response = respond(StatusCode::OK, Some(JSON), Body::whole(body));
            if let Ok(tag) = HeaderValue::from_str(tag) {
                response.headers_mut().insert(ETAG, tag);
            }
            response
        }
        Err(error) => {
            let refusal = Refusal::new(500, errors::INTERNAL_ERROR, format!("no status: {error}"));
            refused(None, &refusal)
        }
    }
}

/// Names what is worth waiting for: calls come and go without being news. Only ever compared within one shim's life, but
/// for the process id, by which a tag of another shim's is another.
fn tag(status: &ShimStatus) -> String {
    let mut hasher = DefaultHasher::new();
    (status.pid, &status.server, status.restarts, &status.asks).hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

fn patience(headers: &HeaderMap) -> Duration {
    let wait = headers.get(PREFER).and_then(|value| value.to_str().ok()?.strip_prefix("wait=")?.parse().ok());
    Duration::from_secs(wait.unwrap_or(0)).min(MAX_STATUS_WAIT)
}
