//! The process beside one MCP server: it starts the server, speaks for it on a unix socket, keeps its log, and starts
//! it again when it ends.
//!
//! It runs on one thread and holds no key but its instance's. It talks to its server, over pipes or HTTP, and answers
//! whoever knows the key on its socket; it opens no other connection. What the messages mean is `mcp`'s business; what a sandbox is, `runtime`'s.

mod body;
mod callers;
mod child;
mod facts;
mod front;
mod journal;
mod lease;
mod mailbox;
mod process;
mod reaper;
mod replay;
mod sessions;
mod shared;
mod sleep;
mod supervise;
mod tokens;
mod tool;
pub mod upstream;
mod worker;
mod workers;

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use domain::shim::{Link, SOCKET, ShimConfig};
use hop::serve::Listener;
use mcp::session::Sealer;
use rustix::fs::{FlockOperation, Mode, OFlags};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;
use crate::sessions::Sessions;
use crate::shared::Shared;

/// The file in the socket directory that a living shim keeps locked.
const LOCK: &str = "lock";
/// The largest configuration: a spec's environment and secrets with much room.
const MAX_CONFIG: u64 = 4 << 20;

/// Why a shim does not run.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// What came on standard input is no configuration. The text is not repeated: it holds secrets.
    #[error("the configuration on standard input is not valid: {category} at line {line}, column {column}")]
    Config {
        /// What kind of fault.
        category: &'static str,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A setting that cannot work.
    #[error("the configuration's `{field}` {problem}")]
    Setting {
        /// Which.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another shim serves this directory.
    #[error("another shim is serving {dir}; stop it first")]
    Held {
        /// The socket directory.
        dir: PathBuf,
    },
    /// The system refused something.
    #[error("{what} failed")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Reads a configuration to the end of file.
pub fn read_config(reader: impl Read) -> Result<ShimConfig, ShimError> {
    let mut text = Vec::new();
    let read = reader.take(MAX_CONFIG).read_to_end(&mut text);
    read.map_err(|source| ShimError::System { what: "reading the configuration", source })?;
    serde_json::from_slice(&text).map_err(|error| ShimError::Config {
        category: match error.classify() {
            serde_json::error::Category::Io => "a read error",
            serde_json::error::Category::Syntax => "no JSON",
            serde_json::error::Category::Data => "a missing, unknown or wrong field",
            serde_json::error::Category::Eof => "a cut-off document",
        },
        line: error.line(),
        column: error.column(),
    })
}

/// Runs a shim to its end, as the whole work of this process: no other process of the same user may read its memory,
/// and SIGTERM and SIGINT stop it as `POST /shutdown` does. `beside` runs as long.
pub fn start(config: ShimConfig, beside: impl Future<Output = ()> + Send + 'static) -> Result<(), ShimError> {
    let system = |what| move |source: io::Error| ShimError::System { what, source };
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| system("becoming non-dumpable")(error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .map_err(system("starting the runtime"))?;
    runtime.block_on(async {
        tokio::spawn(beside);
        let mut terminate = signal(SignalKind::terminate()).map_err(system("listening for SIGTERM"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listening for SIGINT"))?;
        let asked = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        if reaper::is_needed() {
            tokio::select! {
                ended = run(config, asked) => ended,
                Err(source) = reaper::reap() => Err(ShimError::System { what: "listening for SIGCHLD", source }),
            }
        } else {
            run(config, asked).await
        }
    })
}

/// A server whose answers come from code, such as one that puts the tools of several others together.
pub trait Virtual: std::fmt::Debug + Send + Sync {
    /// Answers one request of 2026-07-28, `server/discover` among them: a whole message, under the request's id. It is dropped when
    /// its client has left.
    fn answer<'a>(&'a self, asked: Asked<'a>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + 'a>>;
}

/// What is asked of a server that is code.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// A whole message.
    pub request: &'a [u8],
    /// Who calls, such as `user:0198…`; absent for the shim itself, which opens the server and listens to what it says.
    pub principal: Option<&'a str>,
    /// Hands on a notification that belongs to this request: a whole message.
    pub say: &'a (dyn Fn(&[u8]) + Send + Sync),
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("principal", &self.principal).finish_non_exhaustive()
    }
}

/// As [`run`], for a server that is code ([`Link::Virtual`]).
pub async fn run_virtual(
    config: ShimConfig,
    code: Arc<dyn Virtual>,
    stop: impl Future<Output = ()>,
) -> Result<(), ShimError> {
    serve(config, Some(code), stop).await
}

/// Serves until `stop` is done or `POST /shutdown` came; then the server is stopped, calls under way are answered, and
/// this returns. The socket listens from the beginning, so callers learn that the server is starting.
pub async fn run(config: ShimConfig, stop: impl Future<Output = ()>) -> Result<(), ShimError> {
    if config.link == Link::Virtual {
        return Err(ShimError::Setting {
            field: "link",
            problem: "names code that this program does not have",
        });
    }
    serve(config, None, stop).await
}

async fn serve(
    config: ShimConfig,
    code: Option<Arc<dyn Virtual>>,
    stop: impl Future<Output = ()>,
) -> Result<(), ShimError> {
    check(&config)?;
    let system = |what| move |source: io::Error| ShimError::System { what, source };
    let _lock = lock(&config)?;
    let socket = hop::address::bind_unix(&config.socket_dir, SOCKET).map_err(system("binding the socket"))?;
    let journal = Arc::new(Journal::open(config.log.clone()).map_err(system("opening the server's log"))?);
    let sealer = Sealer::new(config.key.expose(), config.generation);
    let sessions =
        Sessions::open(&config.sessions, sealer).map_err(system("opening the file of ended sessions"))?;
    let stopping = CancellationToken::new();
    let stopped = CancellationToken::new();
    let shared = Arc::new(Shared::new(config, code, journal, sessions, stopping.clone(), stopped.clone()));
    shared.start_first();
    shared.start_sleep();
    let supervisor = async {
        stopping.cancelled().await;
        shared.tasks.close();
        shared.tasks.wait().await;
        shared.children.close();
        shared.children.wait().await;
        shared.end_old();
        shared.journal.note("stopped");
        stopped.cancel();
    };
    let asked = async {
        tokio::select! {
            () = stop => stopping.cancel(),
            () = shared.lease.over() => {
                shared.journal.note("its lease ended, and nobody extended it");
                stopping.cancel();
            }
            () = stopping.cancelled() => {}
        }
    };
    let front = front::Front::new(Arc::clone(&shared));
    let serving = hop::serve::serve(Listener::Unix(socket), front, stopped.cancelled());
    tokio::join!(supervisor, asked, serving);
    Ok(())
}

fn check(config: &ShimConfig) -> Result<(), ShimError> {
    let setting = |field, problem| Err(ShimError::Setting { field, problem });
    let has_process = !matches!(config.link, Link::Remote { .. } | Link::Virtual);
    if has_process && config.command.first().is_none_or(String::is_empty) {
        return setting("command", "names no program");
    }
    if config.key.expose().is_empty() {
        return setting("key", "is empty");
    }
    if config.max_in_flight == 0 {
        return setting("max_in_flight", "must be at least 1");
    }
    if config.startup_ms == 0 {
        return setting("startup_ms", "must be at least 1");
    }
    if config.sleep_ms == Some(0) {
        return setting("sleep_ms", "must be at least 1");
    }
    if config.sleep_ms.is_some() && !matches!(config.link, Link::Stdio | Link::Port { .. }) {
        return setting("sleep_ms", "is for MCP servers that are processes");
    }
    Ok(())
}

/// Held as long as the file is open, and let go by the kernel however this process ends.
fn lock(config: &ShimConfig) -> Result<File, ShimError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let locked = rustix::fs::open(config.socket_dir.join(LOCK), flags, Mode::RUSR | Mode::WUSR)
        .and_then(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map(|()| file));
    match locked {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(ShimError::Held { dir: config.socket_dir.clone() }),
        Err(error) => Err(ShimError::System { what: "locking the socket directory", source: error.into() }),
    }
}
