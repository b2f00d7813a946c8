//! HTTP+SSE of 2024-11-05: a stream on GET, which is the session, and the client's messages on POST.
//!
//! All answers come on the stream, and the session ends with it. The address for the messages is relative, because only
//! the client knows how this address is reached.

use std::sync::Arc;

use domain::shim::SSE_PATH;
use http::header::HeaderMap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use mcp::client::{Capabilities, Hello};
use mcp::envelope::{self, Envelope, Kind};
use mcp::errors;
use mcp::front::Refusal;
use mcp::revision::{self, Revision};
use mcp::session::{Begin, Session};
use mcp::sse;

use super::turn::{Entered, answered, enter, note};
use super::who::Who;
use super::{
    Accepts, Refused, being_stopped, events, hello as hello_of, listen, new_session, respond, unavailable,
    whole_body,
};
use crate::body::{Body, Guard, Held};
use crate::mailbox::{Letter, Mailbox};
use crate::shared::{OldSession, Shared};

/// Opens a session and its stream, which begins with the address for the client's messages.
pub(super) fn open(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let who = Who::of(shared, headers)?;
    if !Accepts::kinds(headers).events {
        return Err(Refusal::new(406, errors::TRANSPORT, "the header Accept must list text/event-stream"));
    }
    if shared.stopping.is_cancelled() {
        return Err(being_stopped());
    }
    let begin =
        Begin { revision: Revision::V2024_11_05, is_sse: true, can: Capabilities::default(), hello: 0 };
    let (session, id) = new_session(shared, who.principal, None, begin)?;
    let mailbox = Arc::new(Mailbox::default());
    shared.old().insert(session.id, OldSession { stream: Arc::clone(&mailbox), hello: None });
    let guard = Guard::new(mailbox, Held::Session(Arc::clone(shared), session.id));
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
    let who = Who::of(shared, &head.headers).map_err(no_id)?;
    let (session, old) = session(shared, head.uri.query(), who.principal).map_err(no_id)?;
    let bytes = whole_body(&head.headers, body).await.map_err(no_id)?;
    let message =
        envelope::scan(&bytes).map_err(|error| no_id(Refusal::new(400, error.code(), error.to_string())))?;
    let answered = take(shared, &message, &who, &session, &old).await;
    answered.map_err(|refusal| (message.raw_id().map(Box::from), refusal))?;
    Ok(respond(StatusCode::ACCEPTED, None, Body::empty()))
}

async fn take(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    who: &Who<'_>,
    session: &Session,
    old: &OldSession,
) -> Result<(), Refusal> {
    let stream = &old.stream;
    if message.marks.meta_version.is_some() {
        let why = "this is the address of HTTP+SSE: modern requests go to the same address without `/sse`";
        return Err(Refusal::new(400, errors::INVALID_REQUEST, why));
    }
    if stream.is_full() {
        return Err(unavailable("the answers on this session's stream are not read fast enough"));
    }
    let caller = |hello: Option<Arc<Hello>>| {
        let mut caller = who.caller(shared, Some(session), None, true);
        if let Some(hello) = hello {
            caller.can = hello.can();
            caller.hello = Some(hello);
        }
        caller
    };
    let as_before = caller(old.hello.clone());
    who.check(shared, message, &as_before).await?;
    let answer = match (message.kind(), message.id) {
        (Kind::Request, Some(_)) if message.method() == "initialize" => {
            let (hello, asked) = hello_of(shared, message)?;
            let hello = Arc::new(hello);
            if let Some(old) = shared.old().get_mut(&session.id) {
                old.hello = Some(Arc::clone(&hello));
            }
            let serving = shared.serving(&caller(Some(hello)), None, 0).await?;
            let id = session.id;
            let opened =
                serving.worker.with_mux(|mux, now, out| mux.open_session(id, Arc::clone(stream), now, out));
            opened.map_err(listen::not_opened)?;
            let agreed = revision::negotiate(&asked, serving.opened.revision);
            serving.opened.answer(message.raw_id().unwrap_or("null"), agreed)
        }
        (Kind::Request, Some(id)) => match enter(shared, message, id, as_before, Arc::clone(stream)).await? {
            Entered::Forwarded(..) => return Ok(()),
            Entered::Answered(answer) => answer,
        },
        (Kind::Notification, _) => {
            note(shared, message, &as_before);
            return Ok(());
        }
        _ => {
            answered(shared, message, &as_before);
            return Ok(());
        }
    };
    stream.push(Letter::Answer { message: answer, code: None });
    Ok(())
}

/// The session that the query names, and its stream.
fn session(shared: &Shared, query: Option<&str>, principal: &str) -> Result<(Session, OldSession), Refusal> {
    let mut named = query.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("sessionId="));
    let (Some(text), None) = (named.next(), named.next()) else {
        let why = "the address has no `sessionId`; use the one of the stream's `endpoint` event";
        return Err(Refusal::new(400, errors::TRANSPORT, why));
    };
    let found = shared.sessions().find(text, principal).filter(|session| session.is_sse);
    let found = found.and_then(|session| Some((session, shared.old().get(&session.id)?.clone())));
    found.ok_or_else(|| {
        Refusal::new(404, errors::TRANSPORT, "the session has ended with its stream; open a new one")
    })
}
