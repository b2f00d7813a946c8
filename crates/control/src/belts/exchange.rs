//! One request to a member, as a client of 2026-07-28 sends it, and everything up to its answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::shim::MAX_MESSAGE;
use gateway::{Gateway, Principal};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, Uri};
use http_body_util::BodyExt as _;
use mcp::envelope::{self, Kind};
use mcp::headers::Known;
use mcp::sse::Decoder;

/// What follows an answer on its stream is waited for that long.
const TAIL: Duration = Duration::from_millis(100);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BOTH: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// Sends a request in somebody's name.
pub(super) async fn send(
    gateway: &Gateway,
    principal: &Arc<Principal>,
    path: Uri,
    known: &Known,
    message: Bytes,
) -> Response<gateway::Body> {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, BOTH);
    if let Ok(envelope) = envelope::scan(&message) {
        known.each(&envelope, &mut |name, value| {
            // What cannot stand in a header is for the server to miss.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
            {
                headers.insert(name, value);
            }
        });
    }
    gateway.call_as(principal, path, headers, message).await
}

/// The answer of a response; what comes before it is handed on.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn answer(
    response: Response<gateway::Body>,
    say: &(dyn Fn(&[u8]) + Send + Sync),
) -> Result<Vec<u8>, String> {
    let (head, mut body) = response.into_parts();
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !kind.starts_with(b"text/event-stream") {
        let whole = body.collect().await.map_err(|error| format!("its answer was cut off ({error})"))?;
        let bytes = whole.to_bytes();
        return match envelope::scan(&bytes) {
            Ok(message) if message.kind() == Kind::Answer => Ok(bytes.into()),
            _ => Err(format!("it answered with the status {} and no message", head.status.as_u16())),
        };
    }
    let (mut decoder, mut events) = (Decoder::new(MAX_MESSAGE), Vec::new());
    let mut answer = None;
    loop {
        let next = body.frame();
        let frame = match &answer {
            None => next.await,
            // Read to its end, so that the connection can be used again; but nobody waits for it.
            Some(_) => tokio::time::timeout(TAIL, next).await.unwrap_or_default(),
        };
        let Some(frame) = frame else { break };
        let frame = match (frame, &answer) {
            (Ok(frame), _) => frame,
            (Err(_), Some(_)) => break,
            (Err(error), None) => return Err(format!("its stream was cut off ({error})")),
        };
        let Some(data) = frame.data_ref() else { continue };
        decoder.push(data, &mut events).map_err(|error| error.to_string())?;
        for event in events.drain(..) {
            match envelope::scan(event.data.as_bytes()).map(|message| message.kind()) {
                Ok(Kind::Answer) => answer = Some(event.data.into_bytes()),
                Ok(Kind::Notification) => say(event.data.as_bytes()),
                // A modern server asks nothing on its own.
                Ok(Kind::Request) | Err(_) => {}
            }
        }
        if answer.is_some() && http_body::Body::is_end_stream(&body) {
            break;
        }
    }
    answer.ok_or_else(|| "its stream ended without an answer".to_owned())
}
