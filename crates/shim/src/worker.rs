//! One process of the server and the clients that share it: their calls in flight, the bytes on their way to it, its
//! state. The process comes and goes; who listens to it stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::time::Timestamp;
use mcp::client::Hello;
use mcp::mux::{CallKey, Mux, Output, Setup, StreamKey};
use mcp::opening::Opened;
use mcp::revision::Era;
use mcp::session::SessionId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::callers::Own;
use crate::mailbox::{Letter, Mailbox};
use crate::shared::{Shared, now};

/// Which clients a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) scope: Scope,
    pub(crate) era: Era,
    /// Of the clients that it was told of ([`Hello::class`]); 0 when it was told of none.
    pub(crate) class: u64,
    /// Tells it from others that serve the same clients, because the first was asking one of them something.
    pub(crate) twin: u16,
    /// Which values of its caller's it has; 0 where callers bring none.
    pub(crate) own: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    Everybody,
    Principal([u8; 16]),
    Session(SessionId),
    /// One of a pool's.
    Slot(u16),
}

/// When there is a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Always, or until the whole server sleeps.
    Always,
    /// Once, to see that the server works; then never again.
    UntilProven,
    /// While it is called.
    WhileUsed,
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) key: Key,
    pub(crate) keep: Keep,
    /// What the process is told of its clients.
    pub(crate) hello: Option<Hello>,
    /// What it has of its caller's.
    pub(crate) own: Option<Arc<Own>>,
    pub(crate) phase: watch::Sender<Phase>,
    /// Something is in [`Traffic::to_server`].
    pub(crate) to_write: Notify,
    /// Somebody needs the process.
    pub(crate) wanted: Notify,
    /// A call has ended, so another may begin.
    pub(crate) turn: Notify,
    /// Something new is due.
    pub(crate) due: Notify,
    /// The process is to make room for another.
    pub(crate) rest: Notify,
    pub(crate) stopping: CancellationToken,
    /// Told with each new phase.
    news: Arc<Notify>,
    /// Whether the server has asked a client anything; and whether that is written down.
    asks: AtomicBool,
    asks_noted: AtomicBool,
    started: Instant,
    traffic: Mutex<Traffic>,
}

/// The state of a process, with what each state needs to answer callers.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// There is none, and one is started when it is needed.
    Asleep {
        since: Timestamp,
    },
    Starting {
        since: Timestamp,
    },
    Running {
        since: Timestamp,
        opened: Arc<Opened>,
        life: u64,
    },
    Failed {
        since: Timestamp,
        failures: u32,
        crash_loop: bool,
        failure: Failure,
        next_start: Instant,
    },
    /// It has answered that it wants what its callers bring, and so serves them and not this process.
    Wanting {
        since: Timestamp,
    },
    Stopping {
        since: Timestamp,
    },
}

/// Why a server does not run.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// For anybody who calls.
    pub(crate) summary: String,
    /// What it printed that is no message: for its owner only, because it can be a part of another client's message.
    pub(crate) garbage: String,
    /// Its last lines on standard error: for its owner only.
    pub(crate) last_words: String,
}

impl Failure {
    pub(crate) fn for_owner(&self) -> String {
        let Self { summary, garbage, last_words } = self;
        if last_words.is_empty() {
            format!("{summary}{garbage}")
        } else {
            format!("{summary}{garbage}; its last lines on standard error:\n{last_words}")
        }
    }
}

#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) mux: Mux<Arc<Mailbox>>,
    /// Lines for the server.
    pub(crate) to_server: Vec<u8>,
    /// Whether there is a process that takes calls. Changes together with `mux`, so that no call is put in after the
    /// process that should answer it has ended.
    pub(crate) open: bool,
    /// Calls that wait for their turn.
    pub(crate) waiting: usize,
    pub(crate) last_used: Instant,
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

impl Worker {
    pub(crate) fn new(
        shared: &Shared,
        key: Key,
        keep: Keep,
        hello: Option<Hello>,
        own: Option<Arc<Own>>,
    ) -> Self {
        let mut random = [0; mcp::park::RANDOM];
        // Without randomness a ticket of an older process could be taken for one of this one's; it would still have to
        // be the same principal's and for the same request.
        let _ = getrandom::fill(&mut random);
        let mut mux = Mux::new(&Setup {
            instance_key: shared.key.expose(),
            random,
            first_question: shared.question_numbers(),
            is_private: !matches!(key.scope, Scope::Slot(_) | Scope::Everybody),
            owners_are_known: shared.owners_are_known(),
        });
        let asks = shared.facts.get().asks;
        if asks {
            mux.set_asks();
        }
        if shared.sleep.is_wanted() {
            mux.set_recalls();
        }
        let phase = match keep {
            Keep::WhileUsed => Phase::Asleep { since: now() },
            Keep::Always | Keep::UntilProven => Phase::Starting { since: now() },
        };
        Self {
            key,
            keep,
            hello,
            own,
            phase: watch::Sender::new(phase),
            to_write: Notify::new(),
            wanted: Notify::new(),
            turn: Notify::new(),
            due: Notify::new(),
            rest: Notify::new(),
            stopping: shared.stopping.child_token(),
            news: Arc::clone(&shared.news),
            asks: AtomicBool::new(asks),
            asks_noted: AtomicBool::new(asks),
            started: Instant::now(),
            traffic: Mutex::new(Traffic {
                mux,
                to_server: Vec::new(),
                open: false,
                waiting: 0,
                last_used: Instant::now(),
                restarts: 0,
                garbage: Garbage::default(),
            }),
        }
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes over to another phase, and says so to all who wait for one.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
        self.news.notify_waiters();
    }

    /// The key of the same process when it serves as a legacy one: it was told of its client while it was opened.
    pub(crate) fn legacy_key(&self) -> Key {
        Key { era: Era::Legacy, class: self.hello.as_ref().map_or(0, Hello::class), ..self.key }
    }

    /// Time for the multiplexer.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether a process runs, or is about to.
    pub(crate) fn has_process(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Starting { .. }) || self.traffic().open
    }

    /// Something happens to the calls; whoever has to know of it is told.
    pub(crate) fn with_mux<T>(
        &self,
        change: impl FnOnce(&mut Mux<Arc<Mailbox>>, Duration, &mut Vec<u8>) -> T,
    ) -> T {
        let now = self.elapsed();
        let (result, more) = {
            let mut traffic = self.traffic();
            let traffic = &mut *traffic;
            let due = traffic.mux.due();
            let result = change(&mut traffic.mux, now, &mut traffic.to_server);
            if !traffic.to_server.is_empty() {
                self.to_write.notify_one();
            }
            if traffic.mux.due() != due {
                self.due.notify_one();
            }
            self.asks.store(traffic.mux.asks(), Ordering::Relaxed);
            // The usual case has nothing more, and allocates nothing.
            let more: Vec<_> = std::iter::from_fn(|| traffic.mux.more()).collect();
            (result, more)
        };
        for output in more {
            self.deliver(output);
        }
        result
    }

    /// Puts what a line meant into the mailboxes; what is no message is given back.
    pub(crate) fn deliver(&self, output: Output<Arc<Mailbox>>) -> Option<mcp::envelope::EnvelopeError> {
        match output {
            Output::Answer { to, message, code } => {
                to.push(Letter::Answer { message, code });
                self.turn.notify_waiters();
            }
            Output::Between { to, message } => to.push(Letter::Between(message)),
            Output::Many(heard) => {
                for (to, message) in heard {
                    to.push(Letter::Between(message));
                }
            }
            Output::Nobody => {}
            Output::Garbage(error) => return Some(error),
        }
        None
    }

    /// Whether it is news that the server asks its clients.
    pub(crate) fn asks_for_the_first_time(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
            && !self.asks_noted.load(Ordering::Relaxed)
            && !self.asks_noted.swap(true, Ordering::Relaxed)
    }

    /// The caller of a call has left.
    pub(crate) fn left(&self, call: CallKey) {
        self.with_mux(|mux, now, out| mux.left(call, now, out));
        self.turn.notify_waiters();
    }

    /// The client of a stream has left.
    pub(crate) fn closed(&self, stream: StreamKey) {
        self.with_mux(|mux, _, out| mux.close(stream, out));
    }

    /// A session is over; its stream ends.
    pub(crate) fn end_session(&self, session: SessionId) {
        if let Some(stream) = self.with_mux(|mux, _, out| mux.end_session(session, out)) {
            stream.push(Letter::End);
        }
    }
}
