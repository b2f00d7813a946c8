//! HTTP as an MCP client speaks it, with every message of an answer given as it comes.

use std::time::Duration;

use bytes::Bytes;
use hop::address::Address;
use hop::pool::{Pool, PooledBody};
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

/// Nothing may take longer: it would be a hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Where calls go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) path: String,
    pub(crate) authorization: (HeaderName, HeaderValue),
}

/// A client's connections.
pub(crate) type Connections = Pool<Full<Bytes>>;

/// What can become of a request instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The connection broke.
    Lost(String),
    /// An answer of HTTP's, or an error in the answer.
    Refused(String),
    /// Nothing came in time.
    Hung,
    /// It is somebody else's, or not what it should be. Never excused.
    Wrong(String),
}

/// An answer that is being read.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) session: Option<HeaderValue>,
    pub(crate) has_retry_after: bool,
    body: PooledBody<Full<Bytes>>,
    is_stream: bool,
    read: Vec<u8>,
    is_over: bool,
}

/// Sends a request and waits for the head of its answer.
pub(crate) async fn send(
    connections: &Connections,
    target: &Target,
    method: Method,
    headers: &[(&'static str, HeaderValue)],
    body: String,
) -> Result<Reply, Failed> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = method;
    *request.uri_mut() = target.path.parse().map_err(|_| Failed::Wrong("no path".to_owned()))?;
    let own = request.headers_mut();
    own.insert(target.authorization.0.clone(), target.authorization.1.clone());
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    own.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    for (name, value) in headers {
        own.insert(HeaderName::from_static(name), value.clone());
    }
    let sent = connections.send(&target.address, request).await;
    sent.map(Reply::new).map_err(|error| Failed::Lost(error.to_string()))
}

impl Reply {
    fn new(response: Response<PooledBody<Full<Bytes>>>) -> Self {
        let (head, body) = response.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Self {
            status: head.status.as_u16(),
            session: head.headers.get("mcp-session-id").cloned(),
            has_retry_after: head.headers.contains_key(header::RETRY_AFTER),
            is_stream: kind.is_some_and(|kind| kind.starts_with("text/event-stream")),
            body,
            read: vec![],
            is_over: false,
        }
    }

    /// The next message; `None` when there is none any more.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failed> {
        loop {
            if let Some(event) = self.event() {
                // An event without data opens a stream and says nothing.
                match data(&event) {
                    text if text.trim().is_empty() => continue,
                    text => return json(text.as_bytes()).map(Some),
                }
            }
            if self.is_over {
                let rest = std::mem::take(&mut self.read);
                return match rest.is_empty() {
                    true => Ok(None),
                    false if self.is_stream => Err(Failed::Lost("a stream ended within an event".to_owned())),
                    false => json(&rest).map(Some),
                };
            }
            match self.body.frame().await {
                None => self.is_over = true,
                Some(Ok(frame)) => self.read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(error)) => return Err(Failed::Lost(format!("an answer broke off: {error}"))),
            }
        }
    }

    /// Takes the first whole event of a stream out of what was read.
    fn event(&mut self) -> Option<String> {
        if !self.is_stream {
            return None;
        }
        let end = self.read.windows(2).position(|two| two == b"\n\n")?;
        let event = self.read.drain(..end + 2).collect();
        Some(String::from_utf8(event).unwrap_or_default())
    }
}

fn data(event: &str) -> String {
    let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
    lines.join("\n")
}

fn json(text: &[u8]) -> Result<Value, Failed> {
    serde_json::from_slice(text)
        .map_err(|error| Failed::Wrong(format!("{error} in: {}", String::from_utf8_lossy(text))))
}
