//! A life of a server that is code of ours: no process, no connection; what it is sent is answered here.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use mcp::envelope::{self, Envelope, Kind, Span};
use mcp::lines::Line;
use tokio::task::{AbortHandle, JoinSet};

use super::{End, Start, Why, take};
use crate::shared::Shared;
use crate::worker::Worker;
use crate::{Asked, Virtual};

pub(super) async fn life(
    shared: &Arc<Shared>,
    worker: &Arc<Worker>,
    code: &Arc<dyn Virtual>,
    start: Start,
    serving: impl Future<Output = Why>,
) -> End {
    let why = tokio::select! {
        biased;
        () = worker.stopping.cancelled() => Why::Asked,
        why = serving => why,
        never = answer(shared, worker, code, start) => never,
    };
    why.announce(worker);
    match why {
        Why::Words(words) => End::Failed(words),
        Why::Idle => End::Idle,
        Why::Proven => End::Proven,
        Why::Asked | Why::Exit(_) | Why::Closed(_) => End::Stopped,
    }
}

/// Answers what is queued, each request by itself; those under way end with this.
async fn answer(shared: &Arc<Shared>, worker: &Arc<Worker>, code: &Arc<dyn Virtual>, start: Start) -> Why {
    let start = Arc::new(Mutex::new(Some(start)));
    let mut under_way = JoinSet::new();
    let mut by_id: HashMap<i64, AbortHandle> = HashMap::new();
    loop {
        let lines = std::mem::take(&mut worker.traffic().to_server);
        if lines.is_empty() {
            tokio::select! {
                () = worker.to_write.notified() => {}
                Some(over) = under_way.join_next() => {
                    // One that was cancelled has been taken out already.
                    if let Ok(id) = over {
                        by_id.remove(&id);
                    }
                }
            }
            continue;
        }
        for line in lines.split(|byte| *byte == b'\n') {
            let Ok(message) = envelope::scan(line) else { continue };
            if message.kind() != Kind::Request {
                let cancelled = message.marks.request_id.and_then(|span| number(&message, span));
                if let Some(task) = cancelled.and_then(|id| by_id.remove(&id)) {
                    task.abort();
                }
                // Other notifications say nothing to code that keeps no state.
                continue;
            }
            let Some(id) = message.id.and_then(|span| number(&message, span)) else { continue };
            let wire = u64::try_from(id).ok();
            let principal = wire
                .and_then(|wire| worker.traffic().mux.caller(wire).and_then(|caller| caller.name.clone()));
            let (shared, worker, code) = (Arc::clone(shared), Arc::clone(worker), Arc::clone(code));
            let (line, start) = (line.to_vec(), Arc::clone(&start));
            let task = under_way.spawn(async move {
                let hand_on = |line: &[u8]| {
                    let mut start = start.lock().unwrap_or_else(PoisonError::into_inner);
                    take(&shared, &worker, &Line::Whole(line), wire, &mut start);
                };
                let asked = Asked { request: &line, principal: principal.as_deref(), say: &hand_on };
                hand_on(&code.answer(asked).await);
                id
            });
            by_id.insert(id, task);
        }
    }
}

/// The numbers that the shim gives its requests; the opening has 0 and -1.
fn number(message: &Envelope<'_>, span: Span) -> Option<i64> {
    message.raw(span).parse().ok()
}
