//! Which process serves whom: by the instance's mode, the era of the message, and what its client declared.
//!
//! A legacy client is served by a process that was opened with `initialize`. So is a modern one where the server speaks
//! no modern revision; whether it does is found out by the first modern client, on a process of its own, because asking
//! locks some servers into that era.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use domain::shim::{Mode, Opening};
use mcp::client::Hello;
use mcp::envelope::Envelope;
use mcp::errors;
use mcp::front::Refusal;
use mcp::mux::Caller;
use mcp::opening::{Opened, Speaks};
use mcp::recall;
use mcp::revision::Era;
use mcp::session::SessionId;
use tokio::time::Instant;

use crate::callers::{Brought, Callers};
use crate::front::{being_stopped, unavailable};
use crate::shared::Shared;
use crate::supervise;
use crate::worker::{Keep, Key, Phase, Scope, Worker};

/// A request waits so long for a server that is starting.
const START_WAIT: Duration = Duration::from_secs(30);
/// Processes of one instance.
const MAX_PROCESSES: usize = 64;
/// A process that was used within this time is not stopped in favour of another.
const JUST_USED: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// The one that is started with the shim.
    first: OnceLock<Arc<Worker>>,
    by_key: Mutex<HashMap<Key, Arc<Worker>>>,
}

/// A process that takes calls.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    pub(crate) worker: Arc<Worker>,
    pub(crate) opened: Arc<Opened>,
    /// Which life of the process.
    pub(crate) life: u64,
}

/// Which process a caller is to be served by, and what it is started with.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) key: Key,
    /// The era that it is asked for in.
    era: Era,
    hello: Option<Arc<Hello>>,
    brought: Option<Brought>,
}

impl Workers {
    fn by_key(&self) -> MutexGuard<'_, HashMap<Key, Arc<Worker>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every one, the first at the head.
    pub(crate) fn all(&self) -> Vec<Arc<Worker>> {
        let first = self.first.get();
        let by_key = self.by_key();
        let others = by_key.values().filter(|worker| first.is_none_or(|first| !Arc::ptr_eq(first, worker)));
        first.into_iter().chain(others).map(Arc::clone).collect()
    }

    /// The client of a session has left for good: its calls go on, and nobody takes their answers.
    pub(crate) fn left_session(&self, session: SessionId) {
        for worker in self.all() {
            worker.with_mux(|mux, now, _| mux.left_session(session, now));
        }
    }

    /// Ends a session everywhere; gives the processes that were its own.
    pub(crate) fn end_session(&self, session: SessionId, has_own: bool) -> Vec<Arc<Worker>> {
        for worker in self.all() {
            worker.end_session(session);
        }
        if !has_own {
            return Vec::new();
        }
        let its = |key: &Key| key.scope == Scope::Session(session);
        self.by_key().extract_if(|key, _| its(key)).map(|(_, worker)| worker).collect()
    }

    /// Forgets one that nobody needs, unless somebody has asked for it in this very moment.
    pub(crate) fn forget(&self, worker: &Arc<Worker>) -> bool {
        let mut by_key = self.by_key();
        let is_it = |(_, other): &(&Key, &Arc<Worker>)| Arc::ptr_eq(other, worker);
        let Some(key) = by_key.iter().find(is_it).map(|(key, _)| *key) else { return true };
        // One is its supervisor's, one the map's; whoever else has one is about to call.
        if 2 < Arc::strong_count(worker) || worker.traffic().mux.has_listeners() {
            return false;
        }
        by_key.remove(&key);
        true
    }

    /// Takes one out that will never serve again.
    pub(crate) fn remove(&self, worker: &Arc<Worker>) {
        self.by_key().retain(|_, other| !Arc::ptr_eq(other, worker));
    }
}

impl Shared {
    /// Starts the process that shows whether the server works.
    pub(crate) fn start_first(self: &Arc<Self>) {
        if self.tool.is_some() {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move {
                if let Some(tool) = &shared.tool {
                    tool.keep(&shared).await;
                }
            });
            return;
        }
        let keep = if self.config.mode == Mode::Shared { Keep::Always } else { Keep::UntilProven };
        let key = Key { scope: Scope::Everybody, era: Era::Legacy, class: 0, twin: 0, own: 0 };
        let own = self.callers.as_ref().map(Callers::nobody);
        let worker = Arc::new(Worker::new(self, key, keep, None, own));
        if keep == Keep::Always {
            self.workers.by_key().insert(key, Arc::clone(&worker));
        }
        supervise::start(self, &worker);
        if self.child.is_some() {
            let shared = Arc::clone(self);
            self.children.spawn(async move {
                if let Some(child) = &shared.child {
                    child.keep(&shared).await;
                }
            });
        }
        // It is set once, by whoever starts the shim.
        let _ = self.workers.first.set(worker);
    }

    /// Begins to look whether the server is used, where it sleeps otherwise.
    pub(crate) fn start_sleep(self: &Arc<Self>) {
        if self.sleep.is_wanted() {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move { shared.sleep.keep(&shared).await });
        }
    }

    /// The process that serves a caller, running. `message` is the request when there is one: of modern clients it says
    /// what they declare.
    pub(crate) async fn serving(
        self: &Arc<Self>,
        caller: &Caller,
        message: Option<&Envelope<'_>>,
        twin: u16,
    ) -> Result<Serving, Refusal> {
        if let Some(first) = self.workers.first.get().filter(|first| first.keep == Keep::UntilProven)
            && self.proven().is_none()
        {
            proven(first, self.patience()).await?;
        }
        self.ask_caller(caller).await?;
        // Once more when the server turns out to speak another era than it was asked in.
        for _ in 0..3 {
            let (worker, era) = self.worker_of(caller, message, twin)?;
            self.sleep.wake();
            let (opened, life) = running(&worker, self.patience()).await?;
            // What a server that sleeps is not woken for does not keep it awake either.
            if !(self.sleep.is_wanted() && message.is_some_and(recall::is_recallable)) {
                worker.traffic().last_used = Instant::now();
            }
            if era == Era::Modern && opened.backend.speaks != Speaks::Modern {
                self.move_to_legacy(&worker);
                continue;
            }
            return Ok(Serving { worker, opened, life });
        }
        Err(unavailable("the server's revision changes from start to start"))
    }

    /// Makes sure that what a caller brings is known, where callers bring something.
    ///
    /// # Errors
    /// What they are to do first: an answer that clients show to people, and no status by which they would look for a token.
    pub(crate) async fn ask_caller(&self, caller: &Caller) -> Result<(), Refusal> {
        let Some(callers) = &self.callers else { return Ok(()) };
        let asked = callers.ask(&self.tokens, caller.principal).await;
        asked.map_err(|why| Refusal::new(200, errors::INVALID_REQUEST, why))
    }

    /// The process that serves a caller, which may have to be started, and the era that it is asked for in.
    pub(crate) fn worker_of(
        self: &Arc<Self>,
        caller: &Caller,
        message: Option<&Envelope<'_>>,
        twin: u16,
    ) -> Result<(Arc<Worker>, Era), Refusal> {
        let Wanted { key, era, hello, brought } = self.wanted(caller, message, twin)?;
        if let Some(worker) = self.workers.by_key().get(&key) {
            return Ok((Arc::clone(worker), era));
        }
        self.make_room()?;
        let mut by_key = self.workers.by_key();
        if let Some(worker) = by_key.get(&key) {
            return Ok((Arc::clone(worker), era));
        }
        let own = brought.map(|brought| brought.own);
        let hello = hello.map(Arc::unwrap_or_clone);
        let worker = Arc::new(Worker::new(self, key, Keep::WhileUsed, hello, own));
        by_key.insert(key, Arc::clone(&worker));
        drop(by_key);
        supervise::start(self, &worker);
        Ok((worker, era))
    }

    /// Which process a caller is to be served by.
    pub(crate) fn wanted(
        &self,
        caller: &Caller,
        message: Option<&Envelope<'_>>,
        twin: u16,
    ) -> Result<Wanted, Refusal> {
        let facts = self.facts.get();
        let era = match caller.era {
            _ if self.config.opening == Opening::Both => Era::Legacy,
            Era::Modern if facts.modern != Some(false) => Era::Modern,
            Era::Legacy if self.is_modern_only() => Era::Modern,
            _ => Era::Legacy,
        };
        // A shared process is told of nobody.
        let hello = if self.config.mode == Mode::Shared {
            None
        } else {
            caller.hello.clone().or_else(|| message.map(Hello::of_modern).map(Arc::new))
        };
        // A modern process is told of its client with each request.
        let class = hello.as_ref().filter(|_| era == Era::Legacy).map_or(0, |hello| hello.class());
        let scope = match (self.config.mode, caller.session) {
            (Mode::Shared, _) => Scope::Everybody,
            (Mode::PerSession, Some(session)) => Scope::Session(session),
            (Mode::PerPrincipal | Mode::PerSession, _) => Scope::Principal(caller.principal),
            (Mode::Pool(processes), _) => Scope::Slot(self.slot(processes, era, class)),
        };
        let brought = match &self.callers {
            None => None,
            Some(callers) => Some(callers.brought(&caller.principal).ok_or_else(|| {
                unavailable("what the caller brings is not known yet; send a request first")
            })?),
        };
        let own = brought.as_ref().map_or(0, |brought| brought.serial);
        let key = self.holder_of(caller, message, Key { scope, era, class, twin, own });
        Ok(Wanted { key, era, hello, brought })
    }

    /// How long a request waits for a server that is starting. One that sleeps is not expected to be quicker than it must be.
    fn patience(&self) -> Duration {
        let startup = Duration::from_millis(self.config.startup_ms);
        if self.sleep.is_wanted() { START_WAIT.max(startup) } else { START_WAIT }
    }

    /// Where a call waits that this request goes on with; otherwise as it is.
    fn holder_of(&self, caller: &Caller, message: Option<&Envelope<'_>>, key: Key) -> Key {
        let Some(message) = message.filter(|message| message.marks.request_state.is_some()) else {
            return key;
        };
        let by_key = self.workers.by_key();
        // The state is sealed for one process and one principal, so it needs no other mark.
        let holds = |(_, worker): &(&Key, &Arc<Worker>)| {
            worker.traffic().mux.holds(message, &caller.principal, worker.elapsed())
        };
        by_key.iter().find(holds).map_or(key, |(other, _)| *other)
    }

    /// The process of a pool that has the least to do; a new one while all have something.
    fn slot(&self, processes: u16, era: Era, class: u64) -> u16 {
        let by_key = self.workers.by_key();
        let load = |slot: &u16| {
            let worker = by_key.get(&Key { scope: Scope::Slot(*slot), era, class, twin: 0, own: 0 });
            worker.map_or((0, true), |worker| (worker.traffic().mux.in_flight(), false))
        };
        (0..processes).min_by_key(load).unwrap_or(0)
    }

    /// Sees to it that one more process fits: the one that was not used for longest makes room.
    fn make_room(&self) -> Result<(), Refusal> {
        let all = self.workers.all();
        let running: Vec<&Arc<Worker>> = all.iter().filter(|worker| worker.has_process()).collect();
        if running.len() < MAX_PROCESSES {
            return Ok(());
        }
        let now = Instant::now();
        let idle = running.into_iter().filter_map(|worker| {
            let traffic = worker.traffic();
            let is_idle = worker.keep == Keep::WhileUsed
                && traffic.mux.in_flight() == 0
                && traffic.last_used + JUST_USED <= now;
            is_idle.then_some((traffic.last_used, worker))
        });
        match idle.min_by_key(|(last_used, _)| *last_used) {
            Some((_, worker)) => {
                worker.rest.notify_one();
                Ok(())
            }
            None => Err(unavailable("too many clients use this server at once")),
        }
    }

    /// A process was started for modern clients, and the server speaks no modern revision.
    fn move_to_legacy(&self, worker: &Arc<Worker>) {
        let key = worker.legacy_key();
        let mut by_key = self.workers.by_key();
        if !by_key.get(&worker.key).is_some_and(|other| Arc::ptr_eq(other, worker)) {
            return;
        }
        by_key.remove(&worker.key);
        let kept = by_key.entry(key).or_insert_with(|| Arc::clone(worker));
        if !Arc::ptr_eq(kept, worker) {
            worker.stopping.cancel();
        }
    }
}

/// Waits until the first process has shown that the server works, or that it works for those who bring what it wants.
async fn proven(first: &Worker, patience: Duration) -> Result<(), Refusal> {
    let outcome = running(first, patience).await;
    if matches!(*first.phase.borrow(), Phase::Wanting { .. }) { Ok(()) } else { outcome.map(drop) }
}

/// Waits for a process that is starting, or has it started; says why when it does not run.
async fn running(worker: &Worker, patience: Duration) -> Result<(Arc<Opened>, u64), Refusal> {
    if let Phase::Running { opened, life, .. } = &*worker.phase.borrow() {
        return Ok((Arc::clone(opened), *life));
    }
    if let Phase::Asleep { .. } = &*worker.phase.borrow() {
        worker.wanted.notify_one();
    }
    let mut phase = worker.phase.subscribe();
    let settled = phase.wait_for(|phase| !matches!(phase, Phase::Starting { .. } | Phase::Asleep { .. }));
    match tokio::time::timeout(patience, settled).await {
        Ok(Ok(phase)) => match &*phase {
            Phase::Running { opened, life, .. } => Ok((Arc::clone(opened), *life)),
            Phase::Failed { failure, crash_loop, next_start, .. } => {
                let wait = next_start.saturating_duration_since(Instant::now());
                let again = if *crash_loop { "; it keeps failing, see its log" } else { "" };
                Err(Refusal {
                    retry_after: Some(wait.as_secs() + 1),
                    ..unavailable(format!("{}{again}", failure.summary))
                })
            }
            Phase::Starting { .. } | Phase::Asleep { .. } => Err(unavailable("the server is starting")),
            Phase::Wanting { .. } => Err(unavailable("the server wants what its callers bring")),
            Phase::Stopping { .. } => Err(being_stopped()),
        },
        _ => Err(unavailable("the server is still starting; try again")),
    }
}
