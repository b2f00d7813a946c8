//! Streamable HTTP: every message is a POST, and an answer is a body or a stream.
//!
//! Requests run at once, each in a task. Notifications and answers are sent one after the other, and what follows waits
//! for them, so that `notifications/initialized` has arrived before the first call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::backoff::Backoff;
use http::header::{HeaderMap, HeaderName};
use http::{HeaderValue, Method, StatusCode};
use hyper::body::Incoming as Body;
use mcp::envelope::{self, Envelope, Kind};
use mcp::headers::{self, Known};
use mcp::revision::Revision;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::body::{self, Events, Resume};
use super::fault::Fault;
use super::link::{self, Content, Link};
use super::session::{Session, VERSION};
use super::{CLOSED, Call, Incoming, Sink, What, modern};

pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A stream that broke is resumed after this, unless the server names another time.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// Times that a broken stream is asked for in vain, before its call has failed.
const RESUMES: u32 = 5;
/// A notification is taken within this, or what is behind it goes on.
const TAKEN: Duration = Duration::from_secs(30);
/// After the answer a stream has so long to end by itself, so that its connection can be used again.
const TAIL: Duration = Duration::from_secs(1);

/// One server.
pub(super) struct Streamable {
    pub(super) link: Link,
    pub(super) sink: Sink,
    state: Mutex<State>,
    pub(super) reopening: tokio::sync::Mutex<()>,
    fatal: mpsc::Sender<String>,
}

pub(super) struct State {
    pub(super) session: Option<Arc<Session>>,
    pub(super) known: Known,
    pub(super) listening: Option<AbortHandle>,
    in_flight: HashMap<Box<str>, Flight>,
}

struct Flight {
    task: AbortHandle,
    is_modern: bool,
}

/// Speaks to the server to the end; see [`super::run`].
pub(super) async fn run(link: Link, mut outgoing: mpsc::Receiver<Vec<u8>>, sink: Sink) -> String {
    let (fatal, mut ended) = mpsc::channel(1);
    let state = State { session: None, known: Known::new(), listening: None, in_flight: HashMap::new() };
    let reopening = tokio::sync::Mutex::new(());
    let server = Arc::new(Streamable { link, sink, state: Mutex::new(state), reopening, fatal });
    let tasks = Tasks(Arc::clone(&server));
    let pump = async {
        while let Some(write) = outgoing.recv().await {
            for line in super::lines(write) {
                server.outgoing(line).await;
            }
        }
    };
    let why = tokio::select! {
        () = pump => CLOSED.to_owned(),
        Some(why) = ended.recv() => why,
    };
    drop(tasks);
    server.end_session().await;
    why
}

/// Ends every task of a server when it is dropped, however [`run`] ends.
struct Tasks(Arc<Streamable>);

impl Drop for Tasks {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let listening = state.listening.take();
        for task in state.in_flight.drain().map(|(_, flight)| flight.task).chain(listening) {
            task.abort();
        }
    }
}

impl Streamable {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.state().session.clone()
    }

    /// The server can never answer again.
    pub(super) fn give_up(&self, why: String) {
        // A second reason says nothing that the first did not.
        let _ = self.fatal.try_send(why);
    }

    pub(super) fn note(&self, text: &str) {
        (self.sink)(Incoming::Note(text));
    }

    async fn outgoing(self: &Arc<Self>, line: Bytes) {
        let message = match envelope::scan(&line) {
            Ok(message) => message,
            Err(error) => return self.note(&format!("a message to the server was dropped: {error}")),
        };
        match message.kind() {
            Kind::Request => self.begin(&message, &line),
            Kind::Notification if message.method() == "notifications/cancelled" => {
                self.cancel(&message, &line).await;
            }
            Kind::Notification | Kind::Answer => self.tell(&message, &line).await,
        }
    }

    fn begin(self: &Arc<Self>, message: &Envelope<'_>, line: &Bytes) {
        let call = Call::new(message, line);
        let headers = call.is_modern().then(|| self.modern_headers(message));
        let (id, is_modern) = (call.id.clone(), call.is_modern());
        let server = Arc::clone(self);
        // Held until the task is in the map, from which it takes itself.
        let mut state = self.state();
        let task = tokio::spawn(async move {
            let outcome = match call.what {
                What::Listen => server.keep_listening(&call, headers).await,
                _ => server.exchange(&call, headers, &mut Heard::default()).await,
            };
            if let Err(fault) = outcome {
                let message = call.failed(&fault, server.link.host());
                server.answered(&call, &message);
            }
        });
        state.in_flight.insert(id, Flight { task: task.abort_handle(), is_modern });
    }

    /// A modern call is cancelled by closing its response, and nothing is sent; a legacy one by being told.
    async fn cancel(self: &Arc<Self>, message: &Envelope<'_>, line: &Bytes) {
        let id = message.marks.request_id.map(|id| message.raw(id));
        let flight = id.and_then(|id| self.state().in_flight.remove(id));
        // One that is over needs no cancelling.
        let Some(flight) = flight else { return };
        if !flight.is_modern {
            self.tell(message, line).await;
        }
        flight.task.abort();
    }

    /// Sends what has no answer.
    async fn tell(self: &Arc<Self>, message: &Envelope<'_>, line: &Bytes) {
        let method = message.method();
        let telling = self.told(message, line);
        let fault = match tokio::time::timeout(TAKEN, telling).await {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault),
            Err(_) => Some(Fault::Slow),
        };
        if let Some(fault) = fault {
            let what = if method.is_empty() { "an answer" } else { &method };
            self.note(&format!("{what} did not reach the server: {}", fault.words(self.link.host())));
        }
        if method == "notifications/initialized" {
            self.listen();
        }
    }

    async fn told(self: &Arc<Self>, message: &Envelope<'_>, line: &Bytes) -> Result<(), Fault> {
        let mut is_first = true;
        loop {
            let session = self.session().filter(|_| message.marks.meta_version.is_none());
            let headers = if let Some(session) = &session {
                session.for_post()
            } else {
                let mut headers = self.modern_headers(message);
                headers.entry(VERSION).or_insert(HeaderValue::from_static(Revision::V2026_07_28.text()));
                headers
            };
            let (head, body) = self.link.post(headers, line.clone()).await?.into_parts();
            let Some(fault) = link::fault_of(head.status, &head.headers) else {
                body::drain(body).await;
                return Ok(());
            };
            let body = body::whole(body).await.unwrap_or_default();
            match session {
                Some(session) if is_first && session.is_lost(head.status, &body) => {
                    is_first = false;
                    self.reopen(&session).await?;
                    if message.method() == "notifications/initialized" {
                        // Said already.
                        return Ok(());
                    }
                }
                _ => return Err(fault),
            }
        }
    }

    /// Sends a request and hands out everything up to its answer; a fault is still to be answered.
    async fn exchange(
        self: &Arc<Self>,
        call: &Call,
        mut modern: Option<HeaderMap>,
        so_far: &mut Heard,
    ) -> Result<(), Fault> {
        let mut is_first = true;
        loop {
            let session = self.session().filter(|_| call.what == What::Legacy);
            let headers = match (modern.take(), &session) {
                (Some(headers), _) => headers,
                (None, Some(session)) => session.for_post(),
                (None, None) => self.link.for_post(),
            };
            let (head, body) = self.link.post(headers, call.message.clone()).await?.into_parts();
            let fault = link::fault_of(head.status, &head.headers);
            if fault.is_none() && link::content(&head.headers) == Content::Events {
                return self.stream(call, session.as_deref(), body, &head.headers, so_far).await;
            }
            let body = body::whole(body).await?;
            if let Some(session) = session.filter(|session| is_first && session.is_lost(head.status, &body)) {
                is_first = false;
                self.reopen(&session).await?;
                continue;
            }
            if is_first && call.what == What::ToolCall && modern::wants_headers(&body) {
                is_first = false;
                match self.learn_tools(call).await {
                    Ok(true) => {
                        modern = envelope::scan(&call.message).ok().map(|message| self.modern_headers(&message));
                        continue;
                    }
                    Ok(false) => {}
                    Err(fault) => self.note(&format!(
                        "the server wants arguments repeated in headers, and its tools could not be listed: {}",
                        fault.words(self.link.host())
                    )),
                }
            }
            return self.take_body(call, &head.headers, head.status, &body, fault);
        }
    }

    /// Hands out what came as one body.
    fn take_body(
        &self,
        call: &Call,
        headers: &HeaderMap,
        status: StatusCode,
        body: &[u8],
        fault: Option<Fault>,
    ) -> Result<(), Fault> {
        let kind = link::content(headers);
        // Batches were answered with batches in 2025-03-26, and some servers answer one request with one.
        let messages = match body.trim_ascii_start().first() {
            Some(b'[') => envelope::split_batch(body).unwrap_or_default(),
            Some(_) => vec![body],
            None => Vec::new(),
        };
        let mut is_answered = false;
        let mut why_not = None;
        for raw in messages {
            match envelope::scan(raw) {
                Ok(message) if message.kind() == Kind::Answer && !call.is_answered_by(&message) => {
                    if let Some(message) = call.adopt(&message).filter(|_| !is_answered) {
                        is_answered = true;
                        self.answered(call, &message);
                    }
                }
                Ok(message) => {
                    let is_answer = call.is_answered_by(&message);
                    is_answered |= is_answer;
                    self.hand_out(call, &message, headers);
                }
                Err(error) => why_not = Some(error),
            }
        }
        match (is_answered, fault) {
            (true, _) => Ok(()),
            (false, Some(fault)) => Err(fault),
            (false, None) if kind == Content::Html => Err(Fault::Html),
            (false, None) => match why_not.filter(|_| status != StatusCode::ACCEPTED) {
                Some(error) => Err(Fault::NotMcp(error.to_string().into())),
                None => Err(Fault::Unanswered),
            },
        }
    }

    /// Hands out what comes on a stream, also when it breaks and goes on, up to the answer.
    async fn stream(
        self: &Arc<Self>,
        call: &Call,
        session: Option<&Session>,
        body: Body,
        headers: &HeaderMap,
        so_far: &mut Heard,
    ) -> Result<(), Fault> {
        let mut events = Events::new(body, Resume::default());
        loop {
            while let Some(message) = events.message().await? {
                if self.take_event(call, &message, headers, so_far) {
                    // Left to end by itself: dropping it would close the connection.
                    let tail = async { while let Ok(Some(_)) = events.next().await {} };
                    let _ = tokio::time::timeout(TAIL, tail).await;
                    return Ok(());
                }
            }
            let resume = events.resume();
            match session {
                Some(session) if resume.last_id.is_some() => {
                    events = Events::new(self.resume(session, &resume).await?, resume);
                }
                _ => return Err(Fault::CutOff),
            }
        }
    }

    /// Hands out one message of a stream, and says whether it was the answer.
    fn take_event(&self, call: &Call, raw: &str, headers: &HeaderMap, so_far: &mut Heard) -> bool {
        so_far.anything = true;
        let Ok(message) = envelope::scan(raw.as_bytes()) else {
            // Whoever reads the messages counts those that are none.
            self.message(call, raw.as_bytes());
            return false;
        };
        if so_far.is_reopened && message.method() == "notifications/subscriptions/acknowledged" {
            return false;
        }
        let is_nobodys = message.kind() == Kind::Answer && message.raw_id().is_none();
        if let Some(message) = call.adopt(&message).filter(|_| is_nobodys) {
            self.answered(call, &message);
            return true;
        }
        self.hand_out(call, &message, headers);
        call.is_answered_by(&message)
    }

    /// Asks for the rest of a broken stream (2025-11-25, Streamable HTTP, "Resumability and Redelivery").
    async fn resume(&self, session: &Session, resume: &Resume) -> Result<Body, Fault> {
        for failures in 0..RESUMES {
            tokio::time::sleep(resume.retry.unwrap_or(RETRY).max(Backoff::SERVER.wait(failures))).await;
            let mut headers = self.link.for_get();
            session.put(&mut headers);
            if let Some(id) = resume.last_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
                headers.insert(LAST_EVENT_ID, id);
            }
            let asked = self.link.send(Method::GET, self.link.url().clone(), headers, Bytes::new()).await;
            let fault = match asked {
                Ok(response) => match link::fault_of(response.status(), response.headers()) {
                    None if link::content(response.headers()) == Content::Events => {
                        return Ok(response.into_body());
                    }
                    None => Fault::CutOff,
                    Some(fault) => fault,
                },
                Err(fault) => fault,
            };
            if !fault.is_transient() {
                break;
            }
        }
        Err(Fault::CutOff)
    }

    /// `subscriptions/listen` holds for as long as it is wanted: a stream that breaks is asked for again. What happened
    /// between is lost, as it is for every client of this revision.
    async fn keep_listening(
        self: &Arc<Self>,
        call: &Call,
        mut headers: Option<HeaderMap>,
    ) -> Result<(), Fault> {
        let mut so_far = Heard::default();
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let again = headers.clone();
            let outcome = self.exchange(call, headers, &mut so_far).await;
            match outcome {
                Err(fault) if so_far.anything && fault.is_transient() => {}
                other => return other,
            }
            so_far.is_reopened = true;
            headers = again;
            failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
            tokio::time::sleep(Backoff::SERVER.wait(failures)).await;
        }
    }

    /// Hands out a message as the server wrote it, but for lists of tools; what must be known of it is kept before.
    fn hand_out(&self, call: &Call, message: &Envelope<'_>, headers: &HeaderMap) {
        let raw = message.text().as_bytes();
        if !call.is_answered_by(message) {
            return self.message(call, raw);
        }
        match call.what {
            What::Initialize => self.opened(call, message, headers),
            What::List => {
                let invalid = self.state().known.learn(message);
                if !invalid.is_empty() {
                    for tool in &invalid {
                        self.note(&format!("the tool {:?} is left out of the list: {}", tool.tool, tool.why));
                    }
                    let mut list = Vec::new();
                    headers::without(message, &invalid, &mut list);
                    return self.answered(call, &list);
                }
            }
            _ => {}
        }
        self.answered(call, raw);
    }

    /// The call is over.
    fn answered(&self, call: &Call, message: &[u8]) {
        // Nothing goes to a call that was cancelled meanwhile.
        let flight = self.state().in_flight.remove(&call.id);
        if flight.is_some() {
            self.message(call, message);
        }
    }

    fn message(&self, call: &Call, message: &[u8]) {
        (self.sink)(Incoming::Message { origin: call.origin(), message });
    }
}

/// What came on the streams of one request so far.
#[derive(Debug, Default)]
struct Heard {
    anything: bool,
    /// Its first stream broke.
    is_reopened: bool,
}
