//! What all of a shim's requests share: its key, its sessions, what is known of the server, and the processes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use domain::secret::Secret;
use domain::shim::{Link, Mode, ServerState, ShimConfig, ShimStatus};
use domain::time::Timestamp;
use mcp::client::Hello;
use mcp::envelope::{self, Envelope};
use mcp::front::{Field, Refusal};
use mcp::headers::Known;
use mcp::mux::Caller;
use mcp::opening::Opened;
use mcp::rule::Rule;
use mcp::session::SessionId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Virtual;
use crate::callers::Callers;
use crate::child::Child;
use crate::facts;
use crate::front::Lists;
use crate::journal::Journal;
use crate::lease::Lease;
use crate::mailbox::{Letter, Mailbox};
use crate::replay::Replays;
use crate::sessions::Sessions;
use crate::sleep::Sleep;
use crate::tokens::Tokens;
use crate::tool::{Facts, Tool};
use crate::upstream::Purse;
use crate::worker::Phase;
use crate::workers::Workers;

/// Compiled rules that are kept.
const MAX_RULES: usize = 256;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) key: Secret,
    pub(crate) config: ShimConfig,
    pub(crate) max_in_flight: usize,
    pub(crate) journal: Arc<Journal>,
    pub(crate) facts: facts::Known,
    pub(crate) workers: Workers,
    /// Told when the status may be another.
    pub(crate) news: Arc<Notify>,
    /// The code of a server that is code.
    pub(crate) code: Option<Arc<dyn Virtual>>,
    /// The process of a server that serves HTTP on this host.
    pub(crate) child: Option<Child>,
    /// The process of a container tool; then there are no others.
    pub(crate) tool: Option<Tool>,
    /// What each caller brings, where they do.
    pub(crate) callers: Option<Callers>,
    /// Tokens that are asked for.
    pub(crate) tokens: Arc<Tokens>,
    /// The token of a server that runs elsewhere.
    pub(crate) purse: Arc<Purse>,
    /// What tools say of themselves.
    pub(crate) lists: Lists,
    /// The tools whose arguments clients repeat in headers.
    headers: Mutex<Known>,
    /// Whether the server sleeps, and what is answered for it meanwhile.
    pub(crate) sleep: Sleep,
    /// Until when it may run.
    pub(crate) lease: Lease,
    /// Ask for the end.
    pub(crate) stopping: CancellationToken,
    /// The server has ended for good.
    pub(crate) stopped: CancellationToken,
    /// What keeps the processes.
    pub(crate) tasks: TaskTracker,
    /// What keeps a process that serves HTTP; it ends after those who speak with it.
    pub(crate) children: TaskTracker,
    /// Numbers the lives of processes.
    lives_begun: AtomicU64,
    /// Where the numbers of questions begin, and those given out.
    questions: (u64, AtomicU64),
    /// What the first process said, once it did.
    proven: Mutex<Option<Arc<Opened>>>,
    sessions: Mutex<Sessions>,
    old: Mutex<HashMap<SessionId, OldSession>>,
    rules: Mutex<HashMap<Box<[u8]>, Arc<Rule>>>,
    /// Which life of which process a session began with, where sessions are strict.
    lives: Mutex<HashMap<SessionId, u64>>,
    /// Never locked while a worker's traffic is.
    replays: Mutex<Replays>,
}

/// A session of HTTP+SSE, which is as long as its stream.
#[derive(Debug, Clone)]
pub(crate) struct OldSession {
    pub(crate) stream: Arc<Mailbox>,
    /// Absent until `initialize`.
    pub(crate) hello: Option<Arc<Hello>>,
}

impl Shared {
    pub(crate) fn new(
        config: ShimConfig,
        code: Option<Arc<dyn Virtual>>,
        journal: Arc<Journal>,
        sessions: Sessions,
        stopping: CancellationToken,
        stopped: CancellationToken,
    ) -> Self {
        // Without randomness an id of an older shim could be taken for one of this one: a resumed stream that ends early,
        // an answer to a question that was asked before.
        let random = getrandom::u32().unwrap_or_default();
        let news = Arc::new(Notify::new());
        let tokens = Arc::new(Tokens::new(Arc::clone(&news)));
        Self {
            purse: Arc::new(Purse::new(Arc::clone(&tokens) as _)),
            callers: config.each_caller.clone().map(Callers::new),
            tokens,
            key: config.key.clone(),
            max_in_flight: config.max_in_flight,
            journal,
            facts: facts::Known::open(&config.facts),
            workers: Workers::default(),
            news: Arc::clone(&news),
            code,
            child: matches!(config.link, Link::Port { .. }).then(Child::new),
            tool: matches!(config.link, Link::Tool { .. }).then(|| Tool::new(news)),
            lists: Lists::default(),
            headers: Mutex::default(),
            sleep: Sleep::new(config.sleep_ms.map(Duration::from_millis)),
            lease: Lease::new(),
            stopping,
            stopped,
            tasks: TaskTracker::new(),
            children: TaskTracker::new(),
            lives_begun: AtomicU64::new(0),
            // Numbers of JavaScript are exact up to 2^53. Each process takes a block of 2^16 behind the one before, which it
            // may outgrow: a number is only ever looked up in the process of the session that answers.
            questions: (u64::from(random) << 20, AtomicU64::new(0)),
            proven: Mutex::default(),
            sessions: Mutex::new(sessions),
            old: Mutex::default(),
            rules: Mutex::default(),
            lives: Mutex::default(),
            replays: Mutex::new(Replays::new(random)),
            config,
        }
    }

    /// Where a new process begins to number its questions.
    pub(crate) fn question_numbers(&self) -> u64 {
        self.questions.0 + (self.questions.1.fetch_add(1, Ordering::Relaxed) << 16)
    }

    /// Names the next life of a process.
    pub(crate) fn next_life(&self) -> u64 {
        self.lives_begun.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a server's question comes with the call that it belongs to.
    pub(crate) fn owners_are_known(&self) -> bool {
        matches!(self.config.link, Link::Port { sse: false, .. } | Link::Remote { sse: false, .. })
    }

    /// A list of tools passes by that says which arguments clients repeat in headers.
    pub(crate) fn learn_headers(&self, line: &[u8]) {
        if let Ok(list) = envelope::scan(line) {
            self.headers.lock().unwrap_or_else(PoisonError::into_inner).learn(&list);
        }
    }

    /// Compares the headers of a modern call with its arguments, as far as its tool is known.
    pub(crate) fn check_headers<'h>(
        &self,
        message: &Envelope<'_>,
        header: impl Fn(&str) -> Field<'h>,
    ) -> Result<(), Refusal> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner).check(message, header)
    }

    /// Whether a caller may be served by any process of its kind. A session that has its own process may not.
    pub(crate) fn may_have_twins(&self, caller: &Caller) -> bool {
        !(self.config.strict_sessions || self.config.mode == Mode::PerSession && caller.session.is_some())
    }

    /// How long a process lives that nobody calls.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.config.idle_ms)
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn old(&self) -> MutexGuard<'_, HashMap<SessionId, OldSession>> {
        self.old.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no process of the server takes `initialize`.
    pub(crate) fn is_modern_only(&self) -> bool {
        self.code.is_some() || self.facts.get().legacy == Some(false)
    }

    /// Whether nothing but the legacy revisions is to be had of the server.
    pub(crate) fn is_known_to_be_legacy(&self) -> bool {
        self.facts.get().modern == Some(false)
    }

    /// What the server said when it was first opened.
    pub(crate) fn proven(&self) -> Option<Arc<Opened>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_proven(&self, opened: &Arc<Opened>) {
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(opened));
    }

    /// The compiled rule of a header's value.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn rule(&self, value: &[u8]) -> Result<Arc<Rule>, String> {
        use base64::Engine as _;
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rule) = rules.get(value) {
            return Ok(Arc::clone(rule));
        }
        let json =
            base64::engine::general_purpose::STANDARD.decode(value).map_err(|error| error.to_string())?;
        let rule = Arc::new(Rule::parse(&json)?);
        if MAX_RULES <= rules.len() {
            rules.clear();
        }
        rules.insert(value.into(), Arc::clone(&rule));
        Ok(rule)
    }

    /// Whether a strict session may go on with this life of a process; the first one that it sees is its own.
    pub(crate) fn is_its_life(&self, session: SessionId, life: u64, is_new: bool) -> bool {
        if !self.config.strict_sessions {
            return true;
        }
        let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        if is_new {
            lives.insert(session, life);
        }
        lives.get(&session) == Some(&life)
    }

    /// The session is over.
    pub(crate) fn forget_session(&self, session: SessionId) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
        let own = self.workers.end_session(session, self.config.mode == Mode::PerSession);
        for worker in own {
            worker.stopping.cancel();
        }
        let resumable = self.replays().end_session(session);
        drop(resumable);
    }

    /// The client of a session whose stream was all it had has left.
    pub(crate) fn left_old(&self, session: SessionId) {
        self.old().remove(&session);
        self.workers.left_session(session);
        self.forget_session(session);
    }

    /// There will be no server any more: the sessions of HTTP+SSE end.
    pub(crate) fn end_old(&self) {
        let old = std::mem::take(&mut *self.old());
        for session in old.into_values() {
            session.stream.push(Letter::End);
        }
    }

    pub(crate) fn status(&self) -> ShimStatus {
        let (mut restarts, mut in_flight, mut processes) = (0, 0, 0);
        let mut server = None;
        if let Some(Facts { state, restarts: again, lives }) = self.tool.as_ref().map(Tool::facts) {
            server = Some(state);
            restarts = again;
            processes = usize::from(lives);
        }
        for worker in self.workers.all() {
            let traffic = worker.traffic();
            restarts += traffic.restarts;
            in_flight += traffic.mux.in_flight();
            drop(traffic);
            processes += usize::from(worker.has_process());
            // The first process tells how the server is; another that keeps failing tells it better.
            let state = state_of(&worker.phase.borrow());
            // What one caller brings and is no good says nothing of the server.
            let keeps_failing =
                matches!(state, ServerState::Failed { crash_loop: true, .. }) && worker.key.own == 0;
            if server.is_none() || keeps_failing {
                server = Some(state);
            }
        }
        if let Some(failed) = self.sleep.failed() {
            server = Some(failed);
        } else if let Some(since) = self.asleep_since() {
            server = Some(ServerState::Asleep { since });
        }
        ShimStatus {
            instance: self.config.instance,
            generation: self.config.generation,
            pid: self.config.pid.unwrap_or_else(std::process::id),
            server: server.unwrap_or(ServerState::Starting { since: now() }),
            restarts,
            in_flight,
            processes,
            asks: self.tokens.asks(),
        }
    }
}

pub(crate) fn state_of(phase: &Phase) -> ServerState {
    match phase {
        Phase::Starting { since } | Phase::Asleep { since } => ServerState::Starting { since: *since },
        Phase::Running { since, opened, .. } => ServerState::Running {
            since: *since,
            server_name: opened.server_name.clone(),
            protocol_version: opened.revision.text().to_owned(),
        },
        Phase::Failed { since, failures, crash_loop, failure, .. } => ServerState::Failed {
            since: *since,
            failures: *failures,
            crash_loop: *crash_loop,
            message: failure.for_owner(),
        },
        Phase::Wanting { since } => ServerState::Running {
            since: *since,
            server_name: String::new(),
            protocol_version: String::new(),
        },
        Phase::Stopping { since } => ServerState::Stopping { since: *since },
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
