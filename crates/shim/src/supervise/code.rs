//! A life of a server that is code of ours: no process, no connection; what it is sent is answered here.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use mcp::envelope::{self, Kind};
use mcp::lines::Line;
use tokio::task::JoinSet;

use super::{End, Start, Why, take};
use crate::Virtual;
use crate::shared::Shared;
use crate::worker::Worker;

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
    loop {
        let lines = std::mem::take(&mut worker.traffic().to_server);
        if lines.is_empty() {
            tokio::select! {
                () = worker.to_write.notified() => {}
                Some(_) = under_way.join_next() => {}
            }
            continue;
        }
        for line in lines.split(|byte| *byte == b'\n') {
            // Notifications say nothing to code that keeps no state; a cancelled call's answer goes to nobody.
            if !envelope::scan(line).is_ok_and(|message| message.kind() == Kind::Request) {
                continue;
            }
            let (shared, worker, code) = (Arc::clone(shared), Arc::clone(worker), Arc::clone(code));
            let (line, start) = (line.to_vec(), Arc::clone(&start));
            under_way.spawn(async move {
                let answer = code.answer(&line).await;
                let mut start = start.lock().unwrap_or_else(PoisonError::into_inner);
                take(&shared, &worker, &Line::Whole(&answer), None, &mut start);
            });
        }
    }
}
