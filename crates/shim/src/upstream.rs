//! A server that is reached over HTTP, made to look like the pipes of a child process: lines go out, messages come in.
//! So the multiplexer serves both kinds alike, and all bridging stays in one place.
//!
//! What HTTP adds stays here: sessions and their loss, streams that break and are resumed, the headers of 2026-07-28,
//! cancelling by closing a response, HTTP statuses turned into JSON-RPC errors with words for people. What a message means
//! is not looked at beyond that.

mod body;
mod credentials;
mod fault;
mod link;
mod listen;
mod modern;
mod old;
mod session;
mod streamable;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use mcp::envelope::{Envelope, Kind};
use mcp::errors;
use tokio::sync::mpsc;

pub use self::credentials::{Credentials, Purse, Token};
use self::fault::Fault;
use self::link::Link;

/// How a server over HTTP is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP, from 2025-03-26 on.
    Streamable,
    /// HTTP+SSE of 2024-11-05.
    Sse,
}

/// Where an HTTP server is and how it is spoken to.
pub struct Target {
    /// The MCP endpoint, or the stream of HTTP+SSE.
    pub url: Uri,
    /// How it is spoken to.
    pub transport: Transport,
    /// Sent with every request: credentials of the owner, so they are never shown.
    pub headers: HeaderMap,
    /// Shown where the owner gave no `Authorization`, once the server asks for it.
    pub purse: Option<Arc<Purse>>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL and the headers may hold credentials.
        f.debug_struct("Target").field("transport", &self.transport).finish_non_exhaustive()
    }
}

/// What comes from a server.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// A message of the server's, without a line break behind it; there may be some within.
    Message {
        /// The id of the request on whose response it came; `None` on a stream of no request, and on HTTP+SSE.
        origin: Option<u64>,
        /// As the server wrote it, but for an error answer without the request's id.
        message: &'a [u8],
    },
    /// The server had forgotten our session and was initialised again unseen: what it keeps per session, its log level
    /// and what it is subscribed to, must be asked for again.
    Reopened,
    /// Something for the log, in words.
    Note(&'a str),
}

/// Where what comes from a server goes to.
type Sink = Box<dyn Fn(Incoming<'_>) + Send + Sync>;

/// Speaks to a server until `outgoing` is closed, and then ends the session, or until the server can never answer again.
/// Each item of `outgoing` is one or more whole lines. Returns why it ended, in words for people.
pub async fn run(
    target: Target,
    outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: impl Fn(Incoming<'_>) + Send + Sync + 'static,
) -> String {
    let transport = target.transport;
    let link = match Link::new(target) {
        Ok(link) => link,
        Err(why) => return why,
    };
    let sink: Sink = Box::new(incoming);
    match transport {
        Transport::Streamable => streamable::run(link, outgoing, sink).await,
        Transport::Sse => old::run(link, outgoing, sink).await,
    }
}

/// The end that is no failure.
const CLOSED: &str = "the connection to the server was closed";

/// A request on its way.
struct Call {
    /// As it is written.
    id: Box<str>,
    message: Bytes,
    what: What,
}

/// What matters of a request's method and era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// `initialize`.
    Initialize,
    /// Any other of a legacy revision.
    Legacy,
    /// `tools/list` of a modern one.
    List,
    /// `tools/call` of a modern one.
    ToolCall,
    /// `subscriptions/listen`.
    Listen,
    /// Any other of a modern one.
    Modern,
}

impl Call {
    fn new(message: &Envelope<'_>, line: &Bytes) -> Self {
        let what = match (message.method().as_ref(), message.marks.meta_version) {
            ("initialize", _) => What::Initialize,
            (_, None) => What::Legacy,
            ("tools/list", _) => What::List,
            ("tools/call", _) => What::ToolCall,
            ("subscriptions/listen", _) => What::Listen,
            _ => What::Modern,
        };
        Self { id: message.raw_id().unwrap_or_default().into(), message: line.clone(), what }
    }

    fn origin(&self) -> Option<u64> {
        self.id.parse().ok()
    }

    fn is_modern(&self) -> bool {
        !matches!(self.what, What::Initialize | What::Legacy)
    }

    /// Whether a message is the answer to this.
    fn is_answered_by(&self, message: &Envelope<'_>) -> bool {
        message.kind() == Kind::Answer && message.raw_id() == Some(&*self.id)
    }

    /// An error answer that has another id than the request, or none, as the request's.
    fn adopt(&self, answer: &Envelope<'_>) -> Option<Vec<u8>> {
        let error = answer.raw(answer.error?);
        Some(format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, self.id).into_bytes())
    }

    /// The error answer that a fault becomes.
    fn failed(&self, fault: &Fault, host: &str) -> Vec<u8> {
        errors::body(Some(&self.id), errors::INTERNAL_ERROR, &fault.words(host), None)
    }
}

/// The lines of one write, each without its line break.
fn lines(write: Vec<u8>) -> impl Iterator<Item = Bytes> {
    let mut rest = Bytes::from(write);
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', &rest);
            let line = rest.split_to(end.unwrap_or(rest.len()));
            if end.is_some() {
                // The line break itself.
                bytes::Buf::advance(&mut rest, 1);
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(line);
            }
        }
    })
}

#[cfg(test)]
mod tests;
