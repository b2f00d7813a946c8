//! The session of a legacy server: what was agreed, and how it is begun again when the server has forgotten it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName};
use http::{HeaderValue, Method, StatusCode};
use mcp::envelope::{self, Envelope, Kind};
use mcp::{errors, headers};

use super::body::{self, Events};
use super::fault::Fault;
use super::link::{self, Content};
use super::streamable::Streamable;
use super::{Call, Incoming};

/// `Mcp-Session-Id`.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// `MCP-Protocol-Version`.
pub(super) const VERSION: HeaderName = HeaderName::from_static(headers::VERSION);
/// What is asked unseen must be answered within this.
const UNSEEN: Duration = Duration::from_secs(30);
/// The end of a session is told within this, or not at all.
const GOODBYE: Duration = Duration::from_secs(2);
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// The words by which servers say, with status 400, that they do not know a session.
const LOST_WORDS: [&str; 2] = ["session", "not initialized"];

/// What a legacy server agreed to.
pub(super) struct Session {
    /// Counts the sessions, so that a lost one is replaced once.
    number: u64,
    id: Option<HeaderValue>,
    /// As the server wrote it.
    version: Box<str>,
    /// `initialize`, as it was sent and as it is sent again.
    initialize: Bytes,
    /// The headers of every message in it, made once.
    post: HeaderMap,
}

impl Session {
    /// `headers` are those of the server's answer, `post` those that every message to it has.
    fn new(initialize: Bytes, version: &str, headers: &HeaderMap, number: u64, mut post: HeaderMap) -> Self {
        let id = headers.get(SESSION).cloned().map(|mut id| {
            id.set_sensitive(true);
            id
        });
        let mut session = Self { number, id, version: version.into(), initialize, post: HeaderMap::new() };
        session.put(&mut post);
        session.post = post;
        session
    }

    /// The headers of a message.
    pub(super) fn for_post(&self) -> HeaderMap {
        self.post.clone()
    }

    /// Adds what belongs on every request of the session.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if let Ok(version) = HeaderValue::from_str(&self.version) {
            headers.insert(VERSION, version);
        }
        if let Some(id) = &self.id {
            headers.insert(SESSION, id.clone());
        }
    }

    /// Whether the server says by this that it does not know the session. Some say so with status 400.
    pub(super) fn is_lost(&self, status: StatusCode, body: &[u8]) -> bool {
        match status {
            _ if self.id.is_none() => false,
            // A server of both eras may say so of a method that it does not know.
            StatusCode::NOT_FOUND => !envelope::scan(body).is_ok_and(|answer| {
                let code = answer.marks.code.and_then(|code| answer.raw(code).parse().ok());
                code == Some(errors::METHOD_NOT_FOUND)
            }),
            StatusCode::BAD_REQUEST => {
                let text = String::from_utf8_lossy(body).to_ascii_lowercase();
                LOST_WORDS.iter().any(|words| text.contains(words))
            }
            _ => false,
        }
    }
}

impl Streamable {
    /// Keeps what an answer to `initialize` agreed to; before it is handed out, so that everything later has it.
    pub(super) fn opened(&self, call: &Call, answer: &Envelope<'_>, headers: &HeaderMap) {
        let version = answer.marks.protocol_version.and_then(|span| answer.string(span));
        if let Some(version) = version {
            let session = Session::new(call.message.clone(), &version, headers, 0, self.link.for_post());
            self.state().session = Some(Arc::new(session));
        }
    }

    /// Replaces a lost session. All who find it lost wait here, and the first one does it.
    pub(super) async fn reopen(self: &Arc<Self>, lost: &Session) -> Result<(), Fault> {
        let _one_at_a_time = self.reopening.lock().await;
        if self.session().is_none_or(|session| session.number != lost.number) {
            return Ok(());
        }
        let initialize = lost.initialize.clone();
        let id = envelope::scan(&initialize).ok().and_then(|message| message.raw_id().map(Box::<str>::from));
        let asked = self.ask(self.link.for_post(), initialize.clone(), &id.unwrap_or_default()).await;
        let (headers, answer) =
            asked.map_err(|fault| Fault::Session(fault.words(self.link.host()).into()))?;
        let answer =
            envelope::scan(&answer).map_err(|error| Fault::Session(error.to_string().as_str().into()))?;
        let version = answer.marks.protocol_version.and_then(|span| answer.string(span));
        let Some(version) = version.filter(|_| answer.result.is_some()) else {
            return Err(Fault::Session("it refused `initialize`".into()));
        };
        if *version != *lost.version {
            let why = format!(
                "the server at {} began to speak another MCP revision, {version:?} instead of {:?}",
                self.link.host(),
                lost.version
            );
            self.give_up(why);
            return Err(Fault::Session("it speaks another revision than before".into()));
        }
        let session = Session::new(initialize, &version, &headers, lost.number + 1, self.link.for_post());
        let headers = session.for_post();
        let response = self.link.post(headers, Bytes::from_static(INITIALIZED)).await?;
        body::drain(response.into_body()).await;
        self.state().session = Some(Arc::new(session));
        (self.sink)(Incoming::Reopened);
        self.listen();
        Ok(())
    }

    /// Asks something unseen: everything but its answer is dropped.
    pub(super) async fn ask(
        &self,
        headers: HeaderMap,
        message: Bytes,
        id: &str,
    ) -> Result<(HeaderMap, Bytes), Fault> {
        let is_answer = |message: &[u8]| {
            envelope::scan(message)
                .is_ok_and(|message| message.kind() == Kind::Answer && message.raw_id() == Some(id))
        };
        let asking = async {
            let (head, body) = self.link.post(headers, message).await?.into_parts();
            if let Some(fault) = link::fault_of(head.status, &head.headers) {
                body::drain(body).await;
                return Err(fault);
            }
            if link::content(&head.headers) == Content::Events {
                let mut events = Events::new(body, super::body::Resume::default());
                while let Some(message) = events.message().await? {
                    if is_answer(message.as_bytes()) {
                        return Ok((head.headers, Bytes::from(message)));
                    }
                }
                return Err(Fault::CutOff);
            }
            let answer = body::whole(body).await?;
            if is_answer(&answer) { Ok((head.headers, answer)) } else { Err(Fault::Unanswered) }
        };
        tokio::time::timeout(UNSEEN, asking).await.unwrap_or(Err(Fault::Slow))
    }

    /// Tells the server that the session is over, if it has one. Whether it hears it does not matter to anybody here.
    pub(super) async fn end_session(&self) {
        let Some(session) = self.session().filter(|session| session.id.is_some()) else { return };
        let mut headers = self.link.for_get();
        session.put(&mut headers);
        let goodbye = self.link.send(Method::DELETE, self.link.url().clone(), headers, Bytes::new());
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}
