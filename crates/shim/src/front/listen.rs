//! What a client hears without having called: `subscriptions/listen` of modern clients and the GET stream of a session;
//! also the other requests that a legacy server does not know and that are answered beside it.

use std::sync::Arc;

use http::header::HeaderMap;
use http::{Response, StatusCode};
use mcp::envelope::Envelope;
use mcp::errors;
use mcp::front::{Field, Refusal};
use mcp::mux::{Caller, NotOpened};
use mcp::opening::Speaks;
use mcp::revision::Revision;

use super::who::Who;
use super::{
    Accepts, LAST_EVENT, Posted, SESSION, being_stopped, call, events, field, not_allowed, principal,
    refused, respond, session, unavailable,
};
use crate::body::{self, Body, Guard, Held};
use crate::mailbox::{Letter, Mailbox};
use crate::replay::{EventId, Resumed};
use crate::shared::Shared;
use crate::worker::Worker;

/// Whether a modern method is one that no legacy server knows.
pub(super) fn is_unknown_to_legacy(method: &str) -> bool {
    matches!(
        method,
        "server/discover" | "subscriptions/listen" | "tasks/get" | "tasks/update" | "tasks/cancel"
    )
}

/// Answers a modern request that no legacy server knows; one that is not legacy gets it.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    caller: Caller,
) -> Result<Posted, Refusal> {
    let method = message.method();
    if let Some(opened) = shared.recalled_opening(&caller, Some(message)) {
        if method == "subscriptions/listen" && opened.backend.speaks == Speaks::Legacy {
            // It is asked for what its listeners want when somebody wakes it.
            let (worker, _) = shared.worker_of(&caller, Some(message), 0)?;
            worker.traffic().mux.expect(opened.backend.clone());
            return listen(shared, &worker, message, caller.takes_requests).map(Posted::Answered);
        }
        if let Some(answer) = message.id.and_then(|id| shared.recalled(message, id, &caller)) {
            return Ok(Posted::Whole(answer));
        }
    }
    // No process has to be started to say what another has said already.
    let known = shared.proven().filter(|_| method == "server/discover" && shared.is_known_to_be_legacy());
    let opened = if let Some(opened) = known {
        opened
    } else {
        let serving = shared.serving(&caller, Some(message), 0).await?;
        if serving.opened.backend.speaks != Speaks::Legacy {
            let Some(id) = message.id else { return Err(unavailable("the request has no id")) };
            return call(shared, message, id, caller, None).await;
        }
        if method == "subscriptions/listen" {
            return listen(shared, &serving.worker, message, caller.takes_requests).map(Posted::Answered);
        }
        serving.opened
    };
    match method.as_ref() {
        "server/discover" => Ok(Posted::Whole(opened.discover(message.raw_id().unwrap_or("null")))),
        // The tasks of the legacy revisions are not those of the extension: their results are others.
        method => {
            Err(Refusal::new(404, errors::METHOD_NOT_FOUND, format!("the server does not offer `{method}`")))
        }
    }
}

fn listen(
    shared: &Shared,
    worker: &Arc<Worker>,
    message: &Envelope<'_>,
    takes_events: bool,
) -> Result<Response<Body>, Refusal> {
    if !takes_events {
        return Err(Refusal::new(406, errors::TRANSPORT, "the header Accept must list text/event-stream"));
    }
    if shared.stopping.is_cancelled() {
        return Err(being_stopped());
    }
    let mailbox = Arc::new(Mailbox::default());
    let opened = worker.with_mux(|mux, _, out| mux.listen(message, Arc::clone(&mailbox), out));
    let (stream, acknowledged) = opened.map_err(not_opened)?;
    let guard = Guard::new(mailbox, Held::Stream(Arc::clone(worker), stream));
    Ok(events(Body::events(body::event(&acknowledged), guard)))
}

pub(super) fn not_opened(why: NotOpened) -> Refusal {
    match why {
        NotOpened::Filter => Refusal::new(
            400,
            errors::INVALID_PARAMS,
            "`params.notifications` must say what to listen to, such as {\"toolsListChanged\": true}",
        ),
        NotOpened::Full => unavailable("too many streams are open on this server"),
    }
}

/// The stream of a session: what the server says by itself.
pub(super) async fn open_session(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
) -> Result<Response<Body>, Refusal> {
    let who = Who::of(shared, headers)?;
    if field(headers, &SESSION) == Field::Absent {
        // Modern revisions have no GET, and a legacy client has no stream before its session.
        return Ok(not_allowed("POST"));
    }
    if !Accepts::kinds(headers).events {
        return Err(Refusal::new(406, errors::TRANSPORT, "the header Accept must list text/event-stream"));
    }
    let session = session(shared, headers, who.principal)?;
    match field(headers, &LAST_EVENT) {
        Field::Absent => {}
        Field::One(text) => {
            let last = EventId::parse(text);
            let resumed = last.map_or(Resumed::New, |last| shared.replays().resume(session.id, last));
            match resumed {
                Resumed::Stream(attached) => return Ok(events(Body::resumable(attached))),
                Resumed::New => {}
                Resumed::Gone => {
                    let why = "what followed this Last-Event-ID is gone; send the request again";
                    return Err(Refusal::new(400, errors::TRANSPORT, why));
                }
            }
        }
        Field::Ambiguous => {
            return Err(Refusal::new(400, errors::TRANSPORT, "the header Last-Event-ID must be sent once"));
        }
    }
    let mailbox = Arc::new(Mailbox::default());
    if shared.stopping.is_cancelled() {
        return Err(being_stopped());
    }
    let caller = who.caller(shared, Some(&session), None, true);
    // A stream is no answer that somebody reads.
    shared.ask_caller(&caller).await.map_err(|refusal| Refusal { status: 403, ..refusal })?;
    let (worker, _) = shared.worker_of(&caller, None, 0)?;
    let opened =
        worker.with_mux(|mux, now, out| mux.open_session(session.id, Arc::clone(&mailbox), now, out));
    let (stream, before) = opened.map_err(not_opened)?;
    if let Some(before) = before {
        before.push(Letter::End);
    }
    let guard = Guard::new(mailbox, Held::Stream(worker, stream));
    let is_primed = Revision::V2025_11_25 <= session.revision;
    let attached = shared.replays().open(session.id, false, guard, is_primed, None);
    Ok(events(Body::resumable(attached)))
}

pub(super) fn end_session(shared: &Shared, headers: &HeaderMap) -> Response<Body> {
    let ended = principal(headers).and_then(|principal| match field(headers, &SESSION) {
        // Without a session this is a modern client's, and modern revisions have no DELETE.
        Field::Absent => Ok(None),
        _ => session(shared, headers, principal).map(Some),
    });
    match ended {
        Ok(Some(session)) => {
            let written = shared.sessions().end(&session);
            shared.forget_session(session.id);
            if let Err(error) = written {
                shared.journal.note(&format!(
                    "a session was ended, but that could not be written down and is forgotten at the next start: {error}"
                ));
            }
            respond(StatusCode::NO_CONTENT, None, Body::empty())
        }
        Ok(None) => not_allowed("POST"),
        Err(refusal) => refused(None, &refusal),
    }
}
