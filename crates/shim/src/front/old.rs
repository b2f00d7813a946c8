//! HTTP+SSE of 2024-11-05: a stream on GET, which is the session, and the client's messages on POST.
//!
//! All answers come on the stream, and the session ends with it. The address for the messages is relative, because only
//! the client knows how this address is reached.

use std::sync::Arc;

use domain::shim::SSE_PATH;
use http::header::HeaderMap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use mcp::envelope::{self, Envelope, Kind};
use mcp::errors;
use mcp::front::Refusal;
use mcp::mux::{self, Caller, Noted};
use mcp::revision::{self, Era, Revision};
use mcp::session::SessionId;
use mcp::sse;

use super::{
    Accepts, Refused, enter, events, listen, new_session, principal, respond, running, unavailable,
    whole_body,
};
use crate::body::{Body, Guard, Held};
use crate::mailbox::{Letter, Mailbox};
use crate::shared::Shared;

/// Opens a session and its stream, which begins with the address for the client's messages.
pub(super) fn open(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let principal = principal(headers)?;
    if !Accepts::kinds(headers).events {
        return Err(Refusal::new(406, errors::TRANSPORT, "the header Accept must list text/event-stream"));
    }
    let (session, id) = new_session(shared, principal, Revision::V2024_11_05, true)?;
    let mailbox = Arc::new(Mailbox::default());
    let stream = {
        let mut traffic = shared.traffic();
        if shared.stopping.is_cancelled() {
            return Err(unavailable("the server is being stopped"));
        }
        let (stream, _) =
            traffic.mux.open_session(session.id, Arc::clone(&mailbox)).map_err(listen::not_opened)?;
        stream
    };
    let guard = Guard::new(Arc::clone(shared), mailbox, Held::Session(stream, session.id));
    let name = SSE_PATH.rsplit('/').next().unwrap_or_default();
    let mut first = Vec::new();
    sse::encode_endpoint(&format!("{name}?sessionId={id}"), &mut first);
    Ok(events(Body::events(first.into(), guard)))
}

/// Takes a message; what it is answered comes on the session's stream.
pub(super) async fn post(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    let (head, body) = request.into_parts();
    let no_id = |refusal| (None, refusal);
    Accepts::of_content(&head.headers).map_err(no_id)?;
    let principal = principal(&head.headers).map_err(no_id)?;
    let (session, stream) = session(shared, head.uri.query(), principal).map_err(no_id)?;
    let bytes = whole_body(&head.headers, body).await.map_err(no_id)?;
    let message =
        envelope::scan(&bytes).map_err(|error| no_id(Refusal::new(400, error.code(), error.to_string())))?;
    let answered = take(shared, &message, session, &stream).await;
    answered.map_err(|refusal| (message.raw_id().map(Box::from), refusal))?;
    Ok(respond(StatusCode::ACCEPTED, None, Body::empty()))
}

async fn take(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    session: SessionId,
    stream: &Arc<Mailbox>,
) -> Result<(), Refusal> {
    if message.marks.meta_version.is_some() {
        let why = "this is the address of HTTP+SSE: modern requests go to the same address without `/sse`";
        return Err(Refusal::new(400, errors::INVALID_REQUEST, why));
    }
    if stream.is_full() {
        return Err(unavailable("the answers on this session's stream are not read fast enough"));
    }
    let caller = Caller { era: Era::Legacy, session: Some(session) };
    let answer = match (message.kind(), message.id) {
        (Kind::Request, Some(_)) if message.method() == "initialize" => {
            let asked = message.marks.protocol_version.and_then(|span| message.string(span));
            let asked = asked.ok_or_else(|| {
                Refusal::new(400, errors::INVALID_PARAMS, "`params.protocolVersion` must be a string")
            })?;
            let opened = running(shared).await?;
            let agreed = revision::negotiate(&asked, opened.revision);
            opened.answer(message.raw_id().unwrap_or("null"), agreed)
        }
        (Kind::Request, Some(id)) => match enter(shared, message, id, caller, Arc::clone(stream)).await? {
            mux::Begun::Forwarded(_) => return Ok(()),
            mux::Begun::Answered(answer) => answer,
        },
        (Kind::Notification, _) => {
            note(shared, message, caller);
            return Ok(());
        }
        // An answer: the shared process has asked its clients nothing, so there is nothing it could answer.
        _ => return Ok(()),
    };
    stream.push(Letter::Answer { message: answer, code: None });
    Ok(())
}

/// Takes a notification. A call that is cancelled has no stream of its own to end: what it would end is the session's.
fn note(shared: &Shared, message: &Envelope<'_>, caller: Caller) {
    let noted = {
        let mut traffic = shared.traffic();
        let traffic = &mut *traffic;
        if !traffic.open {
            return;
        }
        traffic.mux.notification(message, caller, &mut traffic.to_server)
    };
    match noted {
        Noted::Forwarded | Noted::Cancelled(_) => shared.to_write.notify_one(),
        Noted::Ignored => {}
    }
}

/// The session that the query names, and its stream.
fn session(
    shared: &Shared,
    query: Option<&str>,
    principal: &str,
) -> Result<(SessionId, Arc<Mailbox>), Refusal> {
    let mut named = query.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("sessionId="));
    let (Some(text), None) = (named.next(), named.next()) else {
        let why = "the address has no `sessionId`; use the one of the stream's `endpoint` event";
        return Err(Refusal::new(400, errors::TRANSPORT, why));
    };
    let traffic = shared.traffic();
    let found = traffic.sessions.find(text, principal).filter(|session| session.is_sse);
    let found = found.and_then(|session| Some((session.id, Arc::clone(traffic.mux.listening(session.id)?))));
    found.ok_or_else(|| {
        Refusal::new(404, errors::TRANSPORT, "the session has ended with its stream; open a new one")
    })
}
