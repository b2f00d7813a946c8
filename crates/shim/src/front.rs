//! The shim's HTTP: one endpoint for MCP, one for its status, one to end it, all behind the instance's key.
//!
//! Streamable HTTP as the specification has it, revision by revision; which rule belongs to which revision is decided in
//! `mcp::front`.

mod batch;
mod effects;
mod listen;
mod old;
mod status;
mod turn;
mod who;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::secret;
use domain::shim::{
    KEY_HEADER, MAX_MESSAGE, MCP_PATH, PRINCIPAL_HEADER, REFUSED_AWAY, REFUSED_BY_RULE, REFUSED_HEADER,
    SHUTDOWN_PATH, SSE_PATH, STATUS_PATH, TOKEN_PATH, TokenAnswer,
};
use http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::Service;
use mcp::client::Hello;
use mcp::envelope::{self, Envelope, EnvelopeError, Kind, Span};
use mcp::errors;
use mcp::front::{self, Field, Fields, Refusal};
use mcp::mux::Caller;
use mcp::revision::{self, Era, Revision};
use mcp::session::{self, Begin, Session};

use crate::body::{self, Body, Guard};
pub(crate) use crate::front::effects::Lists;
use crate::front::turn::{Begun, answered, begin, note};
use crate::front::who::Who;
use crate::mailbox::Letter;
use crate::shared::Shared;

/// A call that has said nothing for so long gets its stream, on which it can be seen to be alive.
const SILENCE: Duration = Duration::from_secs(10);
/// Of a body above the limit, so much is read and thrown away, so that its sender comes to read the refusal.
const MAX_DISCARDED: usize = 4 * MAX_MESSAGE;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const REFUSED: HeaderName = HeaderName::from_static(REFUSED_HEADER);
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// The service on the socket.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    shared: Arc<Shared>,
}

impl Front {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { Ok(answer(&shared, request).await) })
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    if !has_key(shared, request.headers()) {
        return refused(
            None,
            &Refusal::new(401, errors::TRANSPORT, "the instance's key is missing or wrong"),
        );
    }
    match (request.uri().path(), request.method()) {
        (MCP_PATH | SSE_PATH, _) if shared.tool.is_some() => {
            refused(None, &Refusal::new(404, errors::TRANSPORT, "this is a container tool and speaks no MCP"))
        }
        (MCP_PATH, &Method::POST) => match post(shared, request).await {
            Ok(response) => response,
            Err((id, refusal)) => refused(id.as_deref(), &refusal),
        },
        (MCP_PATH, &Method::GET) => {
            let opened = listen::open_session(shared, request.headers()).await;
            opened.unwrap_or_else(|refusal| refused(None, &refusal))
        }
        (MCP_PATH, &Method::DELETE) => listen::end_session(shared, request.headers()),
        (MCP_PATH, _) => not_allowed("GET, POST, DELETE"),
        (SSE_PATH, &Method::GET) => {
            old::open(shared, request.headers()).unwrap_or_else(|refusal| refused(None, &refusal))
        }
        (SSE_PATH, &Method::POST) => match old::post(shared, request).await {
            Ok(response) => response,
            Err((id, refusal)) => refused(id.as_deref(), &refusal),
        },
        (SSE_PATH, _) => not_allowed("GET, POST"),
        (STATUS_PATH, &Method::GET) => {
            shared.lease.take(request.headers());
            status::answer(shared, request.headers()).await
        }
        (STATUS_PATH, _) => not_allowed("GET"),
        (SHUTDOWN_PATH, &Method::POST) => {
            shared.stopping.cancel();
            shared.stopped.cancelled().await;
            respond(StatusCode::OK, Some(JSON), Body::whole("{}"))
        }
        (TOKEN_PATH, &Method::POST) => token(shared, request).await,
        (SHUTDOWN_PATH | TOKEN_PATH, _) => not_allowed("POST"),
        _ => respond(StatusCode::NOT_FOUND, None, Body::empty()),
    }
}

/// Takes a token, or why there is none.
async fn token(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let answer = match whole_body(&head.headers, body).await {
        Ok(bytes) => serde_json::from_slice::<TokenAnswer>(&bytes),
        Err(refusal) => return refused(None, &refusal),
    };
    match answer {
        Ok(answer) => {
            shared.tokens.answer(answer);
            respond(StatusCode::NO_CONTENT, None, Body::empty())
        }
        // What it says is not repeated: there may be a token in it.
        Err(_) => refused(
            None,
            &Refusal::new(400, errors::TRANSPORT, "this is no answer to a question for a token"),
        ),
    }
}

/// A refusal and the id of the request that it answers, when one could be read.
type Refused = (Option<Box<str>>, Refusal);

/// What became of a POST.
enum Posted {
    Answered(Response<Body>),
    /// With one message.
    Whole(Vec<u8>),
    /// The server has it; its answer is due to the session.
    Forwarded(Guard, Option<Session>),
}

async fn post(shared: &Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
    let (head, body) = request.into_parts();
    let accepts = Accepts::of(&head.headers).map_err(|refusal| (None, refusal))?;
    let bytes = whole_body(&head.headers, body).await.map_err(|refusal| (None, refusal))?;
    // The message is gone when its answer is waited for: a large one is not held beside a large answer.
    match take(shared, &head, bytes, accepts).await? {
        Posted::Answered(response) => Ok(response),
        Posted::Whole(message) => Ok(accepts.whole(message)),
        Posted::Forwarded(call, session) => Ok(answer_of(shared, call, session, accepts).await),
    }
}

/// Takes one message, or a batch.
async fn take(shared: &Arc<Shared>, head: &Parts, bytes: Bytes, accepts: Accepts) -> Result<Posted, Refused> {
    let no_id = |refusal| (None, refusal);
    let message = match envelope::scan(&bytes) {
        Ok(message) => message,
        Err(EnvelopeError::Batch) => {
            let who = Who::of(shared, &head.headers).map_err(no_id)?;
            let session = session(shared, &head.headers, who.principal).map_err(no_id)?;
            let answered = batch::post(shared, &bytes, &who, &session, accepts).await;
            return answered.map(Posted::Answered).map_err(no_id);
        }
        Err(error) => return Err(no_id(Refusal::new(400, error.code(), error.to_string()))),
    };
    let with_id = |refusal| (message.raw_id().map(Box::from), refusal);
    let fields = Fields {
        version: field(&head.headers, &VERSION),
        method: field(&head.headers, &METHOD),
        name: field(&head.headers, &NAME),
    };
    let era = front::dispatch(&message, &fields).map_err(with_id)?;
    let who = Who::of(shared, &head.headers).map_err(with_id)?;
    if message.kind() == Kind::Request && era == Era::Legacy && message.method() == "initialize" {
        return initialize(shared, &message, &who).await.map(Posted::Answered).map_err(with_id);
    }
    let session = match era {
        Era::Modern => None,
        Era::Legacy => Some(session(shared, &head.headers, who.principal).map_err(with_id)?),
    };
    let caller = who.caller(shared, session.as_ref(), Some(&message), accepts.events);
    who.check(shared, &message, &caller).await.map_err(with_id)?;
    if era == Era::Modern {
        let header = |name: &str| {
            HeaderName::from_bytes(name.as_bytes())
                .map_or(Field::Ambiguous, |name| field(&head.headers, &name))
        };
        shared.check_headers(&message, header).map_err(with_id)?;
    }
    match (message.kind(), message.id) {
        (Kind::Request, Some(_)) if era == Era::Modern && listen::is_unknown_to_legacy(&message.method()) => {
            listen::answer(shared, &message, caller).await.map_err(with_id)
        }
        (Kind::Request, Some(id)) => call(shared, &message, id, caller, session).await.map_err(with_id),
        (Kind::Notification, _) => {
            note(shared, &message, &caller);
            Ok(Posted::Answered(respond(StatusCode::ACCEPTED, None, Body::empty())))
        }
        _ => {
            answered(shared, &message, &caller);
            Ok(Posted::Answered(respond(StatusCode::ACCEPTED, None, Body::empty())))
        }
    }
}

async fn call(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    id: Span,
    caller: Caller,
    session: Option<Session>,
) -> Result<Posted, Refusal> {
    Ok(match begin(shared, message, id, caller).await? {
        Begun::Forwarded(call) => Posted::Forwarded(call, session),
        Begun::Answered(answer) => Posted::Whole(answer),
    })
}

async fn initialize(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    who: &Who<'_>,
) -> Result<Response<Body>, Refusal> {
    let (hello, asked) = hello(shared, message)?;
    let (can, hello_id) = (hello.can(), hello.id());
    let begin = Begin { revision: hello.revision, is_sse: false, can, hello: hello_id };
    let (session, text) = new_session(shared, who.principal, Some(hello), begin)?;
    let caller = who.caller(shared, Some(&session), None, true);
    let opened = if let Some(opened) = shared.recalled_opening(&caller, None) {
        opened
    } else {
        let serving = shared.serving(&caller, None, 0).await?;
        shared.is_its_life(session.id, serving.life, true);
        serving.opened
    };
    // The server may speak an older revision than the newest of its kind.
    let agreed = revision::negotiate(&asked, opened.revision);
    let (session_text, agreed) = if agreed == session.revision {
        (text, agreed)
    } else {
        let begin = Begin { revision: agreed, ..begin };
        (new_session(shared, who.principal, None, begin)?.1, agreed)
    };
    let body = opened.answer(message.raw_id().unwrap_or("null"), agreed);
    let mut response = respond(StatusCode::OK, Some(JSON), Body::whole(body));
    if let Ok(value) = HeaderValue::try_from(session_text) {
        response.headers_mut().insert(SESSION, value);
    }
    Ok(response)
}

/// What a client says of itself at `initialize`, and the revision that it asks for.
fn hello(shared: &Shared, message: &Envelope<'_>) -> Result<(Hello, String), Refusal> {
    let asked = message.marks.protocol_version.and_then(|span| message.string(span));
    let asked = asked.ok_or_else(|| {
        Refusal::new(400, errors::INVALID_PARAMS, "`params.protocolVersion` must be a string")
    })?;
    let server = shared.proven().map_or(Revision::NEWEST_LEGACY, |opened| opened.revision);
    let agreed = revision::negotiate(&asked, server);
    Ok((Hello::of_initialize(message, agreed), asked.into_owned()))
}

/// A new session, and its id.
fn new_session(
    shared: &Shared,
    principal: &str,
    hello: Option<Hello>,
    begin: Begin,
) -> Result<(Session, String), Refusal> {
    let made = shared.sessions().begin(principal, hello, begin);
    made.map_err(|error| {
        Refusal::new(500, errors::INTERNAL_ERROR, format!("no session could be begun: {error}"))
    })
}

/// The answer of a call: one message, or a stream once there is something else to say.
async fn answer_of(
    shared: &Shared,
    call: Guard,
    session: Option<Session>,
    accepts: Accepts,
) -> Response<Body> {
    loop {
        let letter = match tokio::time::timeout(SILENCE, call.mailbox.next()).await {
            Ok(letter) => letter,
            Err(_) if accepts.events => return stream_of(shared, call, session, None),
            Err(_) => continue,
        };
        match letter {
            Letter::Between(message) if accepts.events => {
                return stream_of(shared, call, session, Some(&message));
            }
            // A client that takes no events hears of nothing but the answer.
            Letter::Between(_) => {}
            Letter::Answer { message, code } => {
                call.over();
                let status = StatusCode::from_u16(front::status_of(code)).unwrap_or(StatusCode::OK);
                return if status == StatusCode::OK {
                    accepts.whole(message)
                } else {
                    respond(status, Some(JSON), Body::whole(message))
                };
            }
            Letter::End => {
                call.over();
                // Its client waits for no answer; a stream that ends without one is how HTTP says so.
                return if accepts.events {
                    events(Body::empty())
                } else {
                    respond(StatusCode::ACCEPTED, None, Body::empty())
                };
            }
        }
    }
}

/// The stream of a call. That of a session can be resumed.
fn stream_of(shared: &Shared, call: Guard, session: Option<Session>, first: Option<&[u8]>) -> Response<Body> {
    let Some(session) = session else {
        let first = first.map_or(Bytes::from_static(b":\n\n"), body::event);
        return events(Body::events(first, call));
    };
    let is_primed = Revision::V2025_11_25 <= session.revision;
    let attached = shared.replays().open(session.id, true, call, is_primed, first);
    events(Body::resumable(attached))
}

fn session_over() -> Refusal {
    Refusal::new(404, errors::TRANSPORT, "the session is unknown or has ended; send `initialize` again")
}

/// 503, to be tried again in a second.
pub(crate) fn unavailable(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal { retry_after: Some(1), ..Refusal::new(503, errors::INTERNAL_ERROR, message) }
}

/// The shim ends, and its server with it.
pub(crate) fn being_stopped() -> Refusal {
    Refusal { is_away: true, ..unavailable("the server is being stopped") }
}

/// The session that the headers name.
fn session(shared: &Shared, headers: &HeaderMap, principal: &str) -> Result<Session, Refusal> {
    let text = match field(headers, &SESSION) {
        Field::One(text) => text,
        Field::Absent => {
            return Err(Refusal::new(
                400,
                errors::TRANSPORT,
                "the header Mcp-Session-Id is missing; send `initialize` first and the session id with every request \
                 after it",
            ));
        }
        Field::Ambiguous => {
            return Err(Refusal::new(400, errors::TRANSPORT, "the header Mcp-Session-Id must be sent once"));
        }
    };
    let session = shared.sessions().find(text, principal).filter(|session| !session.is_sse);
    session.ok_or_else(session_over)
}

fn has_key(shared: &Shared, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(KEY_HEADER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => secret::same(value.as_bytes(), shared.key.expose().as_bytes()),
        _ => false,
    }
}

fn principal(headers: &HeaderMap) -> Result<&str, Refusal> {
    match field(headers, &HeaderName::from_static(PRINCIPAL_HEADER)) {
        Field::One(principal) if !principal.is_empty() => Ok(principal),
        _ => Err(Refusal::new(
            400,
            errors::TRANSPORT,
            "the header berth-principal must be sent once, not empty",
        )),
    }
}

fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Field<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Field::Absent,
        (Some(value), None) => value.to_str().map_or(Field::Ambiguous, Field::One),
        _ => Field::Ambiguous,
    }
}

/// What a client takes as an answer. The specification asks clients to take both; one that takes a single kind gets it.
#[derive(Debug, Clone, Copy)]
struct Accepts {
    json: bool,
    events: bool,
}

impl Accepts {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        Self::of_content(headers)?;
        let accepts = Self::kinds(headers);
        if accepts.json || accepts.events {
            Ok(accepts)
        } else {
            Err(Refusal::new(
                406,
                errors::TRANSPORT,
                "the header Accept must list application/json and text/event-stream",
            ))
        }
    }

    /// Whether what was sent is JSON.
    fn of_content(headers: &HeaderMap) -> Result<(), Refusal> {
        let is_json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
        });
        if !is_json {
            return Err(Refusal::new(
                415,
                errors::TRANSPORT,
                "the header Content-Type must be application/json",
            ));
        }
        Ok(())
    }

    fn kinds(headers: &HeaderMap) -> Self {
        if !headers.contains_key(ACCEPT) {
            return Self { json: true, events: true };
        }
        let kinds = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut accepts = Self { json: false, events: false };
        for kind in kinds.flat_map(|kinds| kinds.split(',')) {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            let is = |names: [&str; 3]| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
            accepts.json |= is(["application/json", "application/*", "*/*"]);
            accepts.events |= is(["text/event-stream", "text/*", "*/*"]);
        }
        accepts
    }

    /// One message, with status 200.
    fn whole(self, message: Vec<u8>) -> Response<Body> {
        if self.json {
            respond(StatusCode::OK, Some(JSON), Body::whole(message))
        } else {
            events(Body::one_event(&message))
        }
    }
}

async fn whole_body(headers: &HeaderMap, mut body: Incoming) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(413, errors::INVALID_REQUEST, format!("the message is larger than {MAX_MESSAGE} bytes"))
    };
    let cut_off = |error: hyper::Error| {
        Refusal::new(400, errors::PARSE_ERROR, format!("the message did not arrive whole: {error}"))
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    let mut fits = announced.is_none_or(|len| len <= MAX_MESSAGE as u64);
    let mut first = Bytes::new();
    let mut all = Vec::new();
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(cut_off)?.into_data() else { continue };
        len += data.len();
        fits &= len <= MAX_MESSAGE;
        if MAX_DISCARDED < len {
            break;
        }
        if !fits {
            all = Vec::new();
        } else if first.is_empty() && all.is_empty() {
            // Most messages are one frame and stay where they were read.
            first = data;
        } else {
            if all.is_empty() {
                let announced = announced.and_then(|len| usize::try_from(len).ok());
                all.reserve_exact(announced.unwrap_or(len));
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            if all.capacity() < len {
                // One that was not announced grows by a part of itself, which is held beside what is made of it.
                all.reserve_exact(data.len().max(all.len() / 8));
            }
            all.extend_from_slice(&data);
        }
    }
    match (fits, all.is_empty()) {
        (false, _) => Err(too_large()),
        (true, true) => Ok(first),
        (true, false) => Ok(all.into()),
    }
}

fn events(body: Body) -> Response<Body> {
    let mut response = respond(StatusCode::OK, Some(EVENTS), body);
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    response
}

fn refused(raw_id: Option<&str>, refusal: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = respond(status, Some(JSON), Body::whole(refusal.body(raw_id)));
    // A rule is the one reason to refuse what HTTP has no status for.
    if status == StatusCode::OK {
        response.headers_mut().insert(REFUSED, HeaderValue::from_static(REFUSED_BY_RULE));
    }
    if refusal.is_away {
        response.headers_mut().insert(REFUSED, HeaderValue::from_static(REFUSED_AWAY));
    }
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn not_allowed(allow: &'static str) -> Response<Body> {
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, None, Body::empty());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

fn respond(status: StatusCode, content_type: Option<HeaderValue>, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}
