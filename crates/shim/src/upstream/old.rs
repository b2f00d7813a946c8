//! HTTP+SSE of 2024-11-05: one stream carries everything that the server says, and messages are sent to the address that
//! the stream begins with. A session is its stream: when it breaks, another one is begun unseen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::backoff::Backoff;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Uri};
use mcp::envelope::{self, Envelope, Kind};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::body::{self, Events, Resume};
use super::fault::Fault;
use super::link::{self, Content, Link};
use super::session::VERSION;
use super::{CLOSED, Call, Incoming, Sink, What};

/// The address, and the answer to a repeated `initialize`, must come within this.
const OPENED: Duration = Duration::from_secs(30);
/// A message waits so long for a stream that is being opened, and so long to be taken.
const TAKEN: Duration = Duration::from_secs(30);
/// Streams in a row that break at once, before the server is given up.
const GIVE_UP: u32 = 5;
const INITIALIZED: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// One server.
struct Old {
    link: Link,
    sink: Sink,
    state: Mutex<State>,
    /// Where messages are sent, while there is a stream.
    address: watch::Sender<Option<Uri>>,
}

#[derive(Default)]
struct State {
    in_flight: HashMap<Box<str>, Flight>,
    /// What was agreed, once `initialize` was answered.
    agreed: Option<Agreed>,
}

struct Flight {
    call: Arc<Call>,
    task: AbortHandle,
}

#[derive(Clone)]
struct Agreed {
    initialize: Arc<Call>,
    version: Option<HeaderValue>,
}

/// Speaks to the server to the end; see [`super::run`].
pub(super) async fn run(link: Link, mut outgoing: mpsc::Receiver<Vec<u8>>, sink: Sink) -> String {
    let state = Mutex::new(State::default());
    let server = Arc::new(Old { link, sink, state, address: watch::Sender::new(None) });
    let _tasks = Tasks(Arc::clone(&server));
    let pump = async {
        while let Some(write) = outgoing.recv().await {
            for line in super::lines(write) {
                server.outgoing(line).await;
            }
        }
    };
    tokio::select! {
        () = pump => CLOSED.to_owned(),
        why = server.follow() => why,
    }
}

/// Ends every task of a server when it is dropped, however [`run`] ends.
struct Tasks(Arc<Old>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for (_, flight) in self.0.state().in_flight.drain() {
            flight.task.abort();
        }
    }
}

impl Old {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, text: &str) {
        (self.sink)(Incoming::Note(text));
    }

    async fn outgoing(self: &Arc<Self>, line: Bytes) {
        let message = match envelope::scan(&line) {
            Ok(message) => message,
            Err(error) => return self.note(&format!("a message to the server was dropped: {error}")),
        };
        if message.kind() == Kind::Request {
            return self.begin(&message, &line);
        }
        if message.method() == "notifications/cancelled" {
            let id = message.marks.request_id.map(|id| message.raw(id));
            let flight = id.and_then(|id| self.state().in_flight.remove(id));
            let Some(flight) = flight else { return };
            flight.task.abort();
        }
        if let Err(fault) = self.send(line.clone()).await {
            let method = message.method();
            let what = if method.is_empty() { "an answer" } else { &method };
            self.note(&format!("{what} did not reach the server: {}", fault.words(self.link.host())));
        }
    }

    fn begin(self: &Arc<Self>, message: &Envelope<'_>, line: &Bytes) {
        let call = Arc::new(Call::new(message, line));
        let (server, sent) = (Arc::clone(self), Arc::clone(&call));
        // Held until the task is in the map, from which its answer takes it.
        let mut state = self.state();
        let task = tokio::spawn(async move {
            if let Err(fault) = server.send(sent.message.clone()).await
                && server.state().in_flight.remove(&sent.id).is_some()
            {
                server.fail(&sent, &fault);
            }
        });
        state.in_flight.insert(call.id.clone(), Flight { call, task: task.abort_handle() });
    }

    fn fail(&self, call: &Call, fault: &Fault) {
        let message = call.failed(fault, self.link.host());
        (self.sink)(Incoming::Message { origin: None, message: &message });
    }

    /// Sends a message, as soon as there is a stream.
    async fn send(&self, message: Bytes) -> Result<(), Fault> {
        let sending = async {
            let mut address = self.address.subscribe();
            let address = address.wait_for(Option::is_some).await.map_err(|_| Fault::NoStream)?.clone();
            self.post(address.ok_or(Fault::NoStream)?, message).await
        };
        tokio::time::timeout(TAKEN, sending).await.unwrap_or(Err(Fault::NoStream))
    }

    async fn post(&self, address: Uri, message: Bytes) -> Result<(), Fault> {
        let mut headers = self.link.for_post();
        if let Some(version) = self.state().agreed.as_ref().and_then(|agreed| agreed.version.clone()) {
            headers.insert(VERSION, version);
        }
        let response = self.link.send(Method::POST, address, headers, message).await?;
        let fault = link::fault_of(response.status(), response.headers());
        body::drain(response.into_body()).await;
        fault.map_or(Ok(()), Err)
    }

    /// Keeps a stream open. Ends when the first one cannot be opened, or none any more; says why.
    async fn follow(&self) -> String {
        let mut failures = 0;
        loop {
            let begun = Instant::now();
            let fault = match self.stream().await {
                Ok(()) => Fault::CutOff,
                Err(fault) => fault,
            };
            self.address.send_replace(None);
            let broken: Vec<Flight> = self.state().in_flight.drain().map(|(_, flight)| flight).collect();
            for flight in broken {
                flight.task.abort();
                self.fail(&flight.call, &fault);
            }
            failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
            let is_final = !fault.is_transient() || GIVE_UP <= failures || self.state().agreed.is_none();
            if is_final {
                return fault.words(self.link.host());
            }
            self.note(&format!("the stream broke and is opened again: {}", fault.words(self.link.host())));
            tokio::time::sleep(Backoff::SERVER.wait(failures)).await;
        }
    }

    /// One stream from its beginning to its end.
    async fn stream(&self) -> Result<(), Fault> {
        let url = self.link.url().clone();
        let response = self.link.send(Method::GET, url, self.link.for_get(), Bytes::new()).await?;
        match link::fault_of(response.status(), response.headers()) {
            Some(fault) => return Err(fault),
            None => match link::content(response.headers()) {
                Content::Events => {}
                Content::Html => return Err(Fault::Html),
                Content::Json | Content::Other => return Err(Fault::NoEndpoint),
            },
        }
        let mut events = Events::new(response.into_body(), Resume::default());
        let first = tokio::time::timeout(OPENED, events.next()).await.map_err(|_| Fault::NoEndpoint)??;
        let endpoint = first.filter(|event| event.event == "endpoint").ok_or(Fault::NoEndpoint)?;
        let address = resolve(self.link.url(), &endpoint.data).ok_or(Fault::Endpoint)?;
        let agreed = self.state().agreed.clone();
        if let Some(Agreed { initialize, .. }) = agreed {
            let again = self.initialize(&mut events, &initialize, &address);
            tokio::time::timeout(OPENED, again).await.map_err(|_| Fault::Slow)??;
            self.address.send_replace(Some(address));
            (self.sink)(Incoming::Reopened);
        } else {
            self.address.send_replace(Some(address));
        }
        while let Some(message) = events.message().await? {
            self.take(message.as_bytes());
        }
        Ok(())
    }

    /// Begins the session of a new stream as the first one was begun; nobody hears of the answer.
    async fn initialize(&self, events: &mut Events, call: &Call, address: &Uri) -> Result<(), Fault> {
        let answered = async {
            while let Some(raw) = events.message().await? {
                match envelope::scan(raw.as_bytes()) {
                    Ok(answer) if call.is_answered_by(&answer) => {
                        let refused = Fault::Session("it refused `initialize`".into());
                        return answer.result.map(drop).ok_or(refused);
                    }
                    _ => self.take(raw.as_bytes()),
                }
            }
            Err(Fault::CutOff)
        };
        tokio::try_join!(self.post(address.clone(), call.message.clone()), answered)?;
        self.post(address.clone(), Bytes::from_static(INITIALIZED)).await
    }

    fn take(&self, raw: &[u8]) {
        if let Ok(message) = envelope::scan(raw)
            && message.kind() == Kind::Answer
        {
            let flight = message.raw_id().and_then(|id| self.state().in_flight.remove(id));
            if let Some(call) = flight.map(|flight| flight.call).filter(|call| call.what == What::Initialize)
                && let Some(version) = message.marks.protocol_version.and_then(|span| message.string(span))
            {
                let version = HeaderValue::from_str(&version).ok();
                self.state().agreed = Some(Agreed { initialize: call, version });
            }
        }
        (self.sink)(Incoming::Message { origin: None, message: raw });
    }
}

/// The address that a stream names, which may be relative to the stream's own; `None` when it is none, or of another
/// origin, which must not get the credentials.
pub(super) fn resolve(base: &Uri, named: &str) -> Option<Uri> {
    let named = named.trim();
    let (scheme, authority) = (base.scheme()?, base.authority()?);
    let has_scheme = named.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
    if has_scheme || named.starts_with("//") {
        let absolute = if has_scheme { named.to_owned() } else { format!("{}:{named}", scheme.as_str()) };
        let url: Uri = absolute.parse().ok()?;
        let is_same = url.scheme() == Some(scheme)
            && url
                .authority()
                .is_some_and(|other| origin(other, scheme.as_str()) == origin(authority, scheme.as_str()));
        return is_same.then_some(url);
    }
    let path = if named.starts_with('/') {
        named.to_owned()
    } else if named.starts_with('?') {
        format!("{}{named}", base.path())
    } else {
        let dir = base.path().rsplit_once('/').map_or("", |(dir, _)| dir);
        format!("{dir}/{named}")
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(without_dots(&path).parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

/// The path without its `.` and `..` (RFC 3986 §5.2.4).
fn without_dots(named: &str) -> String {
    let (path, query) = named.find(['?', '#']).map_or((named, ""), |at| named.split_at(at));
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            part => kept.push(part),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Host and port, the default one spelled out.
fn origin(authority: &Authority, scheme: &str) -> (String, u16) {
    let default = if scheme == "https" { 443 } else { 80 };
    (authority.host().to_ascii_lowercase(), authority.port_u16().unwrap_or(default))
}
