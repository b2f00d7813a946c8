//! What the front and the supervisor share: the calls in flight, the bytes on their way to the server, the sessions,
//! and the server's state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use domain::ids::InstanceId;
use domain::secret::Secret;
use domain::shim::{ServerState, ShimConfig, ShimStatus};
use domain::time::Timestamp;
use mcp::mux::{CallKey, Mux, StreamKey};
use mcp::opening::Opened;
use mcp::session::SessionId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::mailbox::Mailbox;
use crate::replay::Replays;
use crate::sessions::Sessions;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) key: Secret,
    pub(crate) max_in_flight: usize,
    pub(crate) journal: Arc<Journal>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Something is in [`Traffic::to_server`].
    pub(crate) to_write: Notify,
    /// Ask for the end.
    pub(crate) stopping: CancellationToken,
    /// The server has ended for good.
    pub(crate) stopped: CancellationToken,
    instance: InstanceId,
    generation: u64,
    started: Instant,
    traffic: Mutex<Traffic>,
    /// Never locked while `traffic` is.
    replays: Mutex<Replays>,
}

/// The state of the server, with what each state needs to answer callers.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    Starting { since: Timestamp },
    Running { since: Timestamp, opened: Arc<Opened> },
    Failed { since: Timestamp, failures: u32, crash_loop: bool, failure: Failure, next_start: Instant },
    Stopping { since: Timestamp },
}

/// Why a server does not run.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// For anybody who calls.
    pub(crate) summary: String,
    /// Its last lines on standard error: for its owner only.
    pub(crate) last_words: String,
}

#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) mux: Mux<Arc<Mailbox>>,
    /// Lines for the server's standard input.
    pub(crate) to_server: Vec<u8>,
    pub(crate) sessions: Sessions,
    /// Whether there is a process that takes calls. Changes together with `mux`, so that no call is put in after the
    /// process that should answer it has ended.
    pub(crate) open: bool,
    pub(crate) restarts: u64,
    pub(crate) garbage: Garbage,
}

/// What a server printed on standard output that was no message.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    pub(crate) lines: u64,
    /// The first line, cut.
    pub(crate) first: Option<String>,
}

impl Shared {
    pub(crate) fn new(
        config: &ShimConfig,
        journal: Arc<Journal>,
        sessions: Sessions,
        stopping: CancellationToken,
        stopped: CancellationToken,
    ) -> Self {
        // Without randomness an id of an older shim could be taken for one of this one: a resumed stream that ends early.
        let random = getrandom::u32().unwrap_or_default();
        Self {
            key: config.key.clone(),
            max_in_flight: config.max_in_flight,
            journal,
            phase: watch::Sender::new(Phase::Starting { since: now() }),
            to_write: Notify::new(),
            stopping,
            stopped,
            instance: config.instance,
            generation: config.generation,
            started: Instant::now(),
            traffic: Mutex::new(Traffic {
                mux: Mux::new(),
                to_server: Vec::new(),
                sessions,
                open: false,
                restarts: 0,
                garbage: Garbage::default(),
            }),
            replays: Mutex::new(Replays::new(random)),
        }
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time for the multiplexer.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The caller of a call has left.
    pub(crate) fn left(&self, call: CallKey) {
        let now = self.elapsed();
        let mut traffic = self.traffic();
        let traffic = &mut *traffic;
        traffic.mux.left(call, now, &mut traffic.to_server);
        if !traffic.to_server.is_empty() {
            self.to_write.notify_one();
        }
    }

    /// The client of a stream has left.
    pub(crate) fn closed(&self, stream: StreamKey) {
        let mut traffic = self.traffic();
        let traffic = &mut *traffic;
        traffic.mux.close(stream, &mut traffic.to_server);
        if !traffic.to_server.is_empty() {
            self.to_write.notify_one();
        }
    }

    /// The client of a session whose stream was all it had has left.
    pub(crate) fn left_session(&self, session: SessionId) {
        let now = self.elapsed();
        let mut traffic = self.traffic();
        let traffic = &mut *traffic;
        traffic.mux.left_session(session, now);
        // Its stream is closed already.
        let _ = traffic.mux.end_session(session, &mut traffic.to_server);
        if !traffic.to_server.is_empty() {
            self.to_write.notify_one();
        }
    }

    pub(crate) fn status(&self) -> ShimStatus {
        let server = match &*self.phase.borrow() {
            Phase::Starting { since } => ServerState::Starting { since: *since },
            Phase::Running { since, opened } => ServerState::Running {
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
            Phase::Stopping { since } => ServerState::Stopping { since: *since },
        };
        let traffic = self.traffic();
        ShimStatus {
            instance: self.instance,
            generation: self.generation,
            pid: std::process::id(),
            server,
            restarts: traffic.restarts,
            in_flight: traffic.mux.in_flight(),
        }
    }
}

impl Failure {
    pub(crate) fn for_owner(&self) -> String {
        if self.last_words.is_empty() {
            self.summary.clone()
        } else {
            format!("{}; its last lines on standard error:\n{}", self.summary, self.last_words)
        }
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
