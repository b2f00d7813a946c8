//! The process of a server that serves HTTP on this host: started on a free port, kept alive, its output in the log.
//! It is one for all clients; what they share of it is a matter of sessions.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use domain::backoff::Backoff;
use domain::shim::Link;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::process::{self, Process, Spawned};
use crate::shared::Shared;

/// How often it is looked whether the port is served.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the server wrote before its end may still be in its pipes for so long.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Child {
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Starting,
    Listening {
        port: u16,
    },
    /// In words; `keeps_failing` when waiting helps nobody.
    Down {
        words: String,
        keeps_failing: bool,
    },
}

/// How a process ended.
enum End {
    /// By itself, in words.
    Failed(String),
    /// Because nobody uses it.
    Idle,
    /// With the shim.
    Stopped,
}

impl Child {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(State::Starting) }
    }

    /// The port, once it is served.
    ///
    /// # Errors
    /// Why it is not, in words, when the server keeps failing.
    pub(crate) async fn port(&self) -> Result<u16, String> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Listening { port } => return Ok(*port),
                State::Down { words, keeps_failing: true } => return Err(words.clone()),
                State::Starting | State::Down { .. } => {}
            }
            if state.changed().await.is_err() {
                return Err("the server was stopped".to_owned());
            }
        }
    }

    /// Waits until the port is served no more; why, in words.
    pub(crate) async fn ended(&self, port: u16) -> String {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| *state != State::Listening { port }).await.as_deref() {
            Ok(State::Down { words, .. }) => words.clone(),
            _ => "the server was started again".to_owned(),
        }
    }

    /// Keeps it alive until the shim ends, but for the time in which nobody uses it.
    pub(crate) async fn keep(&self, shared: &Arc<Shared>) {
        let mut failures = 0;
        while !shared.stopping.is_cancelled() {
            self.state.send_replace(State::Starting);
            let begun = Instant::now();
            let words = match self.life(shared).await {
                End::Stopped => return,
                End::Idle => {
                    failures = 0;
                    tokio::select! {
                        () = shared.sleep.woken() => continue,
                        () = shared.stopping.cancelled() => return,
                    }
                }
                End::Failed(words) => words,
            };
            failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
            let wait = Backoff::SERVER.wait(failures);
            shared.journal.note(&format!("{words}; next start in {} ms", wait.as_millis()));
            let keeps_failing = Backoff::SERVER.is_crash_loop(failures);
            self.state.send_replace(State::Down { words, keeps_failing });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shared.stopping.cancelled() => {}
            }
        }
    }

    /// One process, to its end.
    async fn life(&self, shared: &Arc<Shared>) -> End {
        let fixed = match shared.config.link {
            Link::Port { port, .. } => port,
            _ => None,
        };
        let port = match fixed.map_or_else(free_port, Ok) {
            Ok(port) => port,
            Err(error) => return End::Failed(format!("there is no free port for the server: {error}")),
        };
        let Spawned { mut process, stdin, stdout, stderr } =
            match process::spawn(&shared.config, Some(port), None) {
                Ok(spawned) => spawned,
                Err(error) => {
                    let program = shared.config.command.first().map_or("", String::as_str);
                    return End::Failed(format!("the server could not be started: {program}: {error}"));
                }
            };
        let journal = Arc::clone(&shared.journal);
        let errors = tokio::spawn(async move { journal.follow(stderr).await });
        let journal = Arc::clone(&shared.journal);
        // Of a server over HTTP standard output is no protocol, and what it says there is for its owner.
        let output = tokio::spawn(async move { journal.follow(stdout).await });
        let startup = Duration::from_millis(shared.config.startup_ms);
        let end = tokio::select! {
            () = shared.stopping.cancelled() => End::Stopped,
            status = process.wait() => End::Failed(described(&status)),
            () = served(port) => {
                self.state.send_replace(State::Listening { port });
                tokio::select! {
                    // Those who speak with it end their sessions first.
                    () = ended(shared) => End::Stopped,
                    () = shared.rested() => {
                        // Whoever calls from now on waits for the next one.
                        self.state.send_replace(State::Starting);
                        End::Idle
                    }
                    status = process.wait() => End::Failed(described(&status)),
                }
            }
            () = tokio::time::sleep(startup) => End::Failed(unheard(fixed, startup)),
        };
        drop(stdin);
        stop(&mut process, matches!(end, End::Failed(_))).await;
        let last = async {
            let _ = errors.await;
            let _ = output.await;
        };
        // A grandchild that holds a pipe open must not hold the restart up.
        let _ = tokio::time::timeout(LAST_OUTPUT, last).await;
        end
    }
}

async fn stop(process: &mut Process, has_failed: bool) {
    if !has_failed {
        // A server over HTTP does not look at its standard input, so it is asked at once.
        process.ask_to_end();
    }
    // Whatever the exit status: it is over.
    let _ = process.stop().await;
    process.kill_group();
}

/// That nobody listens, and what may be the matter.
fn unheard(fixed: Option<u16>, startup: Duration) -> String {
    let seconds = startup.as_secs_f32();
    match fixed {
        Some(port) => format!("the server did not listen on port {port} within {seconds} s; is it another?"),
        None => format!(
            "the server did not listen on its port within {seconds} s; does it take the port from `PORT`, or `{{port}}` in its \
             arguments? (one of an image that has its own is deployed with `--port`)"
        ),
    }
}

fn described(status: &io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the server {}", process::describe(*status)),
        Err(error) => format!("the server was lost: {error}"),
    }
}

/// Until everything that speaks with the server has ended, after the shim was asked to end.
fn ended(shared: &Shared) -> impl Future<Output = ()> {
    let (stopping, speaking) = (shared.stopping.clone(), shared.tasks.clone());
    async move {
        stopping.cancelled().await;
        speaking.close();
        speaking.wait().await;
    }
}

async fn served(port: u16) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A port that nobody listens on at this moment. Whoever takes it before the server does makes its start fail, and the
/// next start takes another.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
