//! Batches, which revision 2025-03-26 alone has: several messages in one POST, answered together as one array.
//!
//! Notifications that the server sends in between (progress) are not part of such an answer and are dropped. A message
//! that is refused gets its error in the array, so that one bad message does not cost the others their answers.

use std::sync::Arc;

use http::{Response, StatusCode};
use mcp::envelope::{self, EnvelopeError, Kind};
use mcp::errors;
use mcp::front::{self, Fields, Refusal};
use mcp::mux::Caller;
use mcp::revision::Revision;
use mcp::session::Session;

use super::turn::{Begun, answered, begin, note};
use super::who::Who;
use super::{Accepts, JSON, events, respond};
use crate::body::{Body, Guard};
use crate::mailbox::Letter;
use crate::shared::Shared;

/// Answers a batch in a session of the one revision that has them; refuses it in any other.
pub(super) async fn post(
    shared: &Arc<Shared>,
    bytes: &[u8],
    who: &Who<'_>,
    session: &Session,
    accepts: Accepts,
) -> Result<Response<Body>, Refusal> {
    let refuse = |error: &EnvelopeError| Refusal::new(400, error.code(), error.to_string());
    if session.revision != Revision::V2025_03_26 {
        return Err(refuse(&EnvelopeError::Batch));
    }
    let messages = envelope::split_batch(bytes).map_err(|error| refuse(&error))?;
    if messages.is_empty() {
        return Err(Refusal::new(400, errors::INVALID_REQUEST, "the batch is empty"));
    }
    // The answers come together, so nothing can be asked in between.
    let caller = who.caller(shared, Some(session), None, false);
    let mut under_way = Vec::new();
    let mut answers = Vec::new();
    for message in messages {
        match take(shared, message, who, &caller).await {
            Ok(call) => under_way.extend(call),
            Err(answer) => answers.push(answer),
        }
    }
    for call in under_way {
        answers.extend(answer(call).await);
    }
    Ok(if answers.is_empty() {
        respond(StatusCode::ACCEPTED, None, Body::empty())
    } else {
        let mut array = vec![b'['];
        array.extend_from_slice(&answers.join(&b","[..]));
        array.push(b']');
        if accepts.json {
            respond(StatusCode::OK, Some(JSON), Body::whole(array))
        } else {
            events(Body::one_event(&array))
        }
    })
}

/// Takes one message: a call when an answer is due. The error is an answer already.
async fn take(
    shared: &Arc<Shared>,
    message: &[u8],
    who: &Who<'_>,
    caller: &Caller,
) -> Result<Option<Guard>, Vec<u8>> {
    let message = envelope::scan(message)
        .map_err(|error| errors::body(None, error.code(), &error.to_string(), None))?;
    // A session is legacy, and so must be every message in it: a modern one would lock some servers' era.
    let with_id = |refusal: Refusal| refusal.body(message.raw_id());
    front::dispatch(&message, &Fields::default()).map_err(with_id)?;
    who.check(shared, &message, caller).await.map_err(with_id)?;
    match (message.kind(), message.id) {
        (Kind::Request, Some(id)) => {
            let refusal = if message.method() == "initialize" {
                Refusal::new(400, errors::INVALID_REQUEST, "`initialize` cannot be part of a batch")
            } else {
                match begin(shared, &message, id, caller.clone()).await {
                    Ok(Begun::Forwarded(call)) => return Ok(Some(call)),
                    Ok(Begun::Answered(answer)) => return Err(answer),
                    Err(refusal) => refusal,
                }
            };
            Err(refusal.body(message.raw_id()))
        }
        (Kind::Notification, _) => {
            note(shared, &message, caller);
            Ok(None)
        }
        _ => {
            answered(shared, &message, caller);
            Ok(None)
        }
    }
}

/// Waits for the answer of a call; a cancelled one has none.
async fn answer(call: Guard) -> Option<Vec<u8>> {
    loop {
        match call.mailbox.next().await {
            Letter::Between(_) => {}
            Letter::Answer { message, .. } => {
                call.over();
                return Some(message);
            }
            Letter::End => {
                call.over();
                return None;
            }
        }
    }
}
