//! When a server that nobody uses is stopped whole, and what its clients are answered meanwhile.
//!
//! A server is used while a call is in flight, waits for its turn, or waits for a process that starts. Who only listens does
//! not use it: most clients hold a stream open for as long as they live. Their streams stay open, and what the server keeps
//! for them is asked of the next process. Nor does who asks what is answered without it while it sleeps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::shim::ServerState;
use domain::time::Timestamp;
use mcp::envelope::{Envelope, Span};
use mcp::mux::Caller;
use mcp::opening::{Opened, Speaks};
use mcp::recall::{Learned, Recall};
use mcp::revision::Era;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::shared::Shared;
use crate::worker::{Key, Phase, Scope, Worker};

/// Bytes of all answers that are kept.
const MAX_KEPT: usize = 4 << 20;
/// Kinds of processes whose answers are kept.
const MAX_KINDS: usize = 256;
/// How often it is looked whether the server is used: a call is only seen while it lasts, and then late by so much at most.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(30));
/// Looks in the time after which it sleeps.
const LOOKS: u32 = 8;

#[derive(Debug)]
pub(crate) struct Sleep {
    /// Absent: it never sleeps.
    after: Option<Duration>,
    /// Since when nobody needs it. It sleeps once its processes have ended.
    since: watch::Sender<Option<Timestamp>>,
    /// How a process failed that was to wake it; until another runs.
    failed: Mutex<Option<ServerState>>,
    kept: Mutex<HashMap<Key, Recall>>,
}

impl Sleep {
    pub(crate) fn new(after: Option<Duration>) -> Self {
        Self { after, since: watch::Sender::new(None), failed: Mutex::default(), kept: Mutex::default() }
    }

    /// Whether it ever sleeps.
    pub(crate) fn is_wanted(&self) -> bool {
        self.after.is_some()
    }

    /// Somebody needs the server.
    pub(crate) fn wake(&self) {
        if self.since.borrow().is_some() {
            self.since.send_replace(None);
        }
    }

    /// Waits until somebody needs the server.
    pub(crate) async fn woken(&self) {
        // The sender is here, so there is no error.
        let _ = self.since.subscribe().wait_for(Option::is_none).await;
    }

    /// How the process failed that was to wake it.
    pub(crate) fn failed(&self) -> Option<ServerState> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_failed(&self, failed: Option<ServerState>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Recall>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process was opened.
    pub(crate) fn opened(&self, worker: &Worker, opened: &Arc<Opened>) {
        if !self.is_wanted() {
            return;
        }
        let mut kept = self.kept();
        if MAX_KINDS <= kept.len() {
            kept.clear();
        }
        let recall = kept.entry(kind_of(worker, opened)).or_insert_with(|| Recall::new(Arc::clone(opened)));
        recall.reopened(Arc::clone(opened));
    }

    /// A process has said something.
    pub(crate) fn learn(&self, worker: &Worker, learned: Vec<Learned>) {
        let Phase::Running { opened, .. } = &*worker.phase.borrow() else { return };
        let kind = kind_of(worker, opened);
        let mut kept = self.kept();
        for learned in learned {
            if let Learned::Said(said) = &learned {
                if MAX_KEPT < said.len() {
                    continue;
                }
                if MAX_KEPT < kept.values().map(Recall::len).sum::<usize>() + said.len() {
                    kept.values_mut().for_each(Recall::clear);
                }
            }
            if let Some(recall) = kept.get_mut(&kind) {
                recall.learn(learned);
            }
        }
    }

    /// Puts the server to sleep whenever it was not used for long, until the shim ends.
    pub(crate) async fn keep(&self, shared: &Arc<Shared>) {
        let Some(after) = self.after else { return };
        let mut used = Instant::now();
        loop {
            let now = Instant::now();
            used = shared.used_until(now).max(used);
            if used + after <= now {
                self.since.send_replace(Some(crate::shared::now()));
                for worker in shared.workers.all().iter().filter(|worker| worker.has_process()) {
                    worker.rest.notify_one();
                }
                shared.news.notify_waiters();
                tokio::select! {
                    () = self.woken() => {}
                    () = shared.stopping.cancelled() => return,
                }
                shared.news.notify_waiters();
                used = Instant::now();
                continue;
            }
            let look = (after / LOOKS).clamp(LOOK_EVERY.0, LOOK_EVERY.1);
            tokio::select! {
                () = tokio::time::sleep_until((used + after).min(now + look)) => {}
                () = shared.stopping.cancelled() => return,
            }
        }
    }
}

impl Shared {
    /// Until when the server was used, as far as can be seen: now, or when it was last called.
    fn used_until(&self, now: Instant) -> Instant {
        let of_worker = |worker: &Arc<Worker>| {
            let is_settled = match *worker.phase.borrow() {
                Phase::Running { .. } | Phase::Asleep { .. } => true,
                Phase::Starting { .. }
                | Phase::Failed { .. }
                | Phase::Wanting { .. }
                | Phase::Stopping { .. } => false,
            };
            let traffic = worker.traffic();
            let is_used = !is_settled || traffic.mux.busy() != 0 || traffic.waiting != 0;
            if is_used { now } else { traffic.last_used }
        };
        // What has failed has to be seen.
        let failed = self.sleep.failed().map(|_| now);
        self.workers.all().iter().map(of_worker).chain(failed).max().unwrap_or(now)
    }

    /// Since when the server sleeps; `None` while it does not.
    pub(crate) fn asleep_since(&self) -> Option<Timestamp> {
        let since = *self.sleep.since.borrow();
        since.filter(|_| self.sleep.failed().is_none() && !self.has_process())
    }

    /// Whether any process runs, or is about to.
    pub(crate) fn has_process(&self) -> bool {
        self.workers.all().iter().any(|worker| worker.has_process())
    }

    /// Waits until nobody needs the server, and those who spoke with it have ended.
    pub(crate) async fn rested(&self) {
        loop {
            // Listens from before it looks, so that no change is missed.
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.asleep_since().is_some() {
                return;
            }
            news.await;
        }
    }

    /// What a server that sleeps said when a process like the one that would serve this caller was opened.
    pub(crate) fn recalled_opening(
        self: &Arc<Self>,
        caller: &Caller,
        message: Option<&Envelope<'_>>,
    ) -> Option<Arc<Opened>> {
        self.recall(caller, message, |recall| Some(Arc::clone(recall.opened())))
    }

    /// The answer of a server that sleeps, when it said before what would be the answer.
    pub(crate) fn recalled(
        self: &Arc<Self>,
        message: &Envelope<'_>,
        id: Span,
        caller: &Caller,
    ) -> Option<Vec<u8>> {
        self.recall(caller, Some(message), |recall| recall.answer(message, id, caller.clone()))
    }

    fn recall<T>(
        self: &Arc<Self>,
        caller: &Caller,
        message: Option<&Envelope<'_>>,
        answer: impl FnOnce(&Recall) -> Option<T>,
    ) -> Option<T> {
        self.asleep_since()?;
        // What callers bring decides what they are shown; and a strict session has ended with its process.
        if self.callers.is_some() || self.config.strict_sessions {
            return None;
        }
        let key = kind(self.wanted(caller, message, 0).ok()?.key);
        answer(self.sleep.kept().get(&key)?)
    }
}

/// What tells the answers of processes apart: whom they serve, but for those of a pool, which serve all.
fn kind(key: Key) -> Key {
    let scope = if let Scope::Slot(_) = key.scope { Scope::Everybody } else { key.scope };
    Key { scope, twin: 0, ..key }
}

/// The kind of a process; one that was asked in the modern era and did not know it serves as a legacy one.
fn kind_of(worker: &Worker, opened: &Opened) -> Key {
    let moved = worker.key.era == Era::Modern && opened.backend.speaks != Speaks::Modern;
    kind(if moved { worker.legacy_key() } else { worker.key })
}
