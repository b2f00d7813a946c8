//! How a client's message comes to the process that serves it, and waits for its turn there.

use std::sync::Arc;
use std::time::Duration;

use domain::shim::MAX_MESSAGE;
use mcp::envelope::{Envelope, Span};
use mcp::front::Refusal;
use mcp::mux::{self, CallKey, Caller, Noted};
use tokio::time::Instant;

use super::{session_over, unavailable};
use crate::body::{Guard, Held};
use crate::mailbox::{Letter, Mailbox};
use crate::shared::Shared;
use crate::worker::{Phase, Worker};
use crate::workers::Serving;

/// A call waits so long for its turn on a process that takes one call at a time.
const TURN_WAIT: Duration = Duration::from_secs(30);
/// Calls that wait for their turn on one process.
const MAX_WAITING: usize = 64;
/// Processes beside the first that serve the same clients, while it waits for an answer of one of them.
const MAX_TWINS: u16 = 7;
/// Bytes that wait for a server that does not read; above, calls are refused.
const MAX_QUEUED: usize = MAX_MESSAGE;

/// What became of a request.
pub(super) enum Begun {
    Forwarded(Guard),
    Answered(Vec<u8>),
}

/// Hands a request to the server.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    id: Span,
    caller: Caller,
) -> Result<Begun, Refusal> {
    let mailbox = Arc::new(Mailbox::default());
    Ok(match enter(shared, message, id, caller, Arc::clone(&mailbox)).await? {
        Entered::Forwarded(worker, call) => Begun::Forwarded(Guard::new(mailbox, Held::Call(worker, call))),
        Entered::Answered(answer) => Begun::Answered(answer),
    })
}

/// As [`Begun`], for whoever has a mailbox.
pub(super) enum Entered {
    Forwarded(Arc<Worker>, CallKey),
    Answered(Vec<u8>),
}

/// Puts a request in, if there is room for it.
pub(super) async fn enter(
    shared: &Arc<Shared>,
    message: &Envelope<'_>,
    id: Span,
    caller: Caller,
    mailbox: Arc<Mailbox>,
) -> Result<Entered, Refusal> {
    if let Some(answer) = shared.recalled(message, id, &caller) {
        return Ok(Entered::Answered(answer));
    }
    let deadline = Instant::now() + TURN_WAIT;
    let mut twin = 0;
    loop {
        let Serving { worker, life, .. } = shared.serving(&caller, Some(message), twin).await?;
        if let Some(session) = caller.session.filter(|session| !shared.is_its_life(*session, life, false)) {
            shared.forget_session(session);
            return Err(session_over());
        }
        // Listens from before it looks, so that no end of a call is missed.
        let turn = worker.turn.notified();
        tokio::pin!(turn);
        turn.as_mut().enable();
        {
            let mut traffic = worker.traffic();
            let traffic = &mut *traffic;
            if !traffic.open {
                if matches!(*worker.phase.borrow(), Phase::Running { .. }) {
                    return Err(unavailable("the server has just ended"));
                }
                // It went to sleep in this very moment.
                continue;
            }
            if shared.max_in_flight <= traffic.mux.in_flight() {
                return Err(unavailable("too many calls are in flight on this server"));
            }
            if MAX_QUEUED < traffic.to_server.len() {
                return Err(unavailable("the server does not take its messages fast enough"));
            }
            // One that goes on with a call has its turn already.
            if message.marks.request_state.is_some() || traffic.mux.admits(&caller) {
                let now = worker.elapsed();
                let due = traffic.mux.due();
                let begun = traffic.mux.request(message, id, caller, mailbox, now, &mut traffic.to_server);
                if traffic.mux.due() != due {
                    worker.due.notify_one();
                }
                worker.to_write.notify_one();
                return Ok(match begun {
                    mux::Begun::Forwarded(call) => Entered::Forwarded(Arc::clone(&worker), call),
                    mux::Begun::Answered(answer) => Entered::Answered(answer),
                });
            }
            // While one process waits for a client's answer, another one serves the others.
            if twin < MAX_TWINS && shared.may_have_twins(&caller) {
                twin += 1;
                continue;
            }
            if MAX_WAITING <= traffic.waiting {
                return Err(unavailable("too many calls wait for their turn on this server"));
            }
            traffic.waiting += 1;
        }
        let waited = tokio::time::timeout_at(deadline, turn).await;
        worker.traffic().waiting -= 1;
        if waited.is_err() {
            return Err(unavailable(
                "another call on this server waits for its client's answer; this server takes one call at a time",
            ));
        }
    }
}

pub(super) fn note(shared: &Arc<Shared>, message: &Envelope<'_>, caller: &Caller) {
    let is_cancel = message.method() == "notifications/cancelled";
    let Ok((meant, _)) = shared.worker_of(caller, Some(message), 0) else { return };
    // The one stream of a session of HTTP+SSE is no call's: it goes on when a call is cancelled.
    let ends_stream = !caller.session.is_some_and(|session| shared.old().contains_key(&session));
    // A call may be under way on another process than the one that would serve its client now.
    let workers = if is_cancel { shared.workers.all() } else { vec![meant] };
    for worker in workers {
        let noted = {
            if !worker.traffic().open {
                continue;
            }
            worker.with_mux(|mux, now, out| mux.notification(message, caller, now, out))
        };
        if let Noted::Cancelled(mailbox) = noted {
            if ends_stream {
                mailbox.push(Letter::End);
            }
            worker.turn.notify_waiters();
        }
    }
}

/// A legacy client has answered something that a server asked it. What nobody asked says nothing.
pub(super) fn answered(shared: &Shared, message: &Envelope<'_>, caller: &Caller) {
    for worker in shared.workers.all() {
        if worker.with_mux(|mux, _, out| mux.client_answer(message, caller, out)) {
            return;
        }
    }
}
