//! What a client hears without having called: `subscriptions/listen` of modern clients and the GET stream of a session;
//! also the other requests that a legacy server does not know and that are answered beside it.

use std::sync::Arc;

use http::header::HeaderMap;
use http::{Response, StatusCode};
use mcp::envelope::Envelope;
use mcp::errors;
use mcp::front::{Field, Refusal};
use mcp::mux::NotOpened;
use mcp::opening::Speaks;
use mcp::revision::Revision;

use super::{
    Accepts, LAST_EVENT, SESSION, events, field, not_allowed, principal, refused, respond, running, session,
    unavailable,
};
use crate::body::{self, Body, Guard, Held};
use crate::mailbox::{Letter, Mailbox};
use crate::replay::{EventId, Resumed};
use crate::shared::Shared;

/// Whether a modern request is one that no legacy server knows, while the server is a legacy one.
pub(super) async fn is_answered_here(shared: &Shared, message: &Envelope<'_>) -> Result<bool, Refusal> {
    let is_new = matches!(
        message.method().as_ref(),
        "server/discover" | "subscriptions/listen" | "tasks/get" | "tasks/update" | "tasks/cancel"
    );
    Ok(is_new && running(shared).await?.backend.speaks == Speaks::Legacy)
}

/// Answers a modern request that no legacy server knows.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    accepts: Accepts,
) -> Result<Response<Body>, Refusal> {
    match message.method().as_ref() {
        "server/discover" => {
            let opened = running(shared).await?;
            Ok(accepts.whole(opened.discover(message.raw_id().unwrap_or("null"))))
        }
        "subscriptions/listen" => listen(shared, message, accepts),
        // The tasks of the legacy revisions are not those of the extension: their results are others.
        method => {
            Err(Refusal::new(404, errors::METHOD_NOT_FOUND, format!("the server does not offer `{method}`")))
        }
    }
}

fn listen(shared: &Arc<Shared>, message: &Envelope<'_>, accepts: Accepts) -> Result<Response<Body>, Refusal> {
    if !accepts.events {
        return Err(Refusal::new(406, errors::TRANSPORT, "the header Accept must list text/event-stream"));
    }
    let mailbox = Arc::new(Mailbox::default());
    let opened = {
        let mut traffic = shared.traffic();
        let traffic = &mut *traffic;
        if shared.stopping.is_cancelled() {
            return Err(unavailable("the server is being stopped"));
        }
        traffic.mux.listen(message, Arc::clone(&mailbox), &mut traffic.to_server)
    };
    let (stream, acknowledged) = opened.map_err(not_opened)?;
    shared.to_write.notify_one();
    let guard = Guard::new(Arc::clone(shared), mailbox, Held::Stream(stream));
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
pub(super) fn open_session(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<Response<Body>, Refusal> {
    let principal = principal(headers)?;
    if field(headers, &SESSION) == Field::Absent {
        // Modern revisions have no GET, and a legacy client has no stream before its session.
        return Ok(not_allowed("POST"));
    }
    if !Accepts::kinds(headers).events {
        return Err(Refusal::new(406, errors::TRANSPORT, "the header Accept must list text/event-stream"));
    }
    let session = session(shared, headers, principal)?;
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
    let opened = {
        let mut traffic = shared.traffic();
        if shared.stopping.is_cancelled() {
            return Err(unavailable("the server is being stopped"));
        }
        traffic.mux.open_session(session.id, Arc::clone(&mailbox))
    };
    let (stream, before) = opened.map_err(not_opened)?;
    if let Some(before) = before {
        before.push(Letter::End);
    }
    let guard = Guard::new(Arc::clone(shared), mailbox, Held::Stream(stream));
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
            let (written, stream) = {
                let mut traffic = shared.traffic();
                let traffic = &mut *traffic;
                let written = traffic.sessions.end(&session);
                (written, traffic.mux.end_session(session.id, &mut traffic.to_server))
            };
            shared.to_write.notify_one();
            if let Some(stream) = stream {
                stream.push(Letter::End);
            }
            let resumable = shared.replays().end_session(session.id);
            drop(resumable);
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
