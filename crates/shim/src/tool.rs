//! The process of a container tool: started, watched by its health check, started again when it ends. No message passes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::backoff::Backoff;
use domain::container::Health;
use domain::shim::{Link, ServerState};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::process::{self, Process, Spawned};
use crate::shared::{Shared, now};

/// A process without a health check runs when it has lived for so long.
const A_MOMENT: Duration = Duration::from_millis(500);
/// How often the health is looked at while it starts or is ill; half as often as the DTMA asks.
const LOOK_SOON: Duration = Duration::from_millis(100);
/// How often the health is looked at while all is well.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// So many looks in a row must fail for what worked to be ill.
const ILL_AFTER: u32 = 3;
/// After it was asked to end, it has this long: as long as the engine itself would give it.
const GRACE: Duration = Duration::from_secs(10);
/// What the process wrote before its end may still be in its pipes for so long.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// The status line of an answer, with room to spare.
const STATUS_LINE: usize = 32;

#[derive(Debug)]
pub(crate) struct Tool {
    facts: Mutex<Facts>,
    /// Told when they are others.
    news: Arc<Notify>,
}

#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) state: ServerState,
    pub(crate) restarts: u64,
    pub(crate) lives: bool,
}

impl Tool {
    pub(crate) fn new(news: Arc<Notify>) -> Self {
        let state = ServerState::Starting { since: now() };
        Self { facts: Mutex::new(Facts { state, restarts: 0, lives: false }), news }
    }

    pub(crate) fn facts(&self) -> Facts {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, state: ServerState) {
        self.locked().state = state;
        self.news.notify_waiters();
    }

    /// Keeps it alive until the shim ends.
    pub(crate) async fn keep(&self, shared: &Arc<Shared>) {
        let mut failures = 0;
        while !shared.stopping.is_cancelled() {
            self.say(ServerState::Starting { since: now() });
            shared.journal.begin_life();
            let begun = Instant::now();
            let Some(words) = self.life(shared).await else { break };
            failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
            let wait = Backoff::SERVER.wait(failures);
            shared.journal.note(&format!("{words}; next start in {} ms", wait.as_millis()));
            let last = shared.journal.last_words();
            let message = if last.is_empty() { words } else { format!("{words}; its last words:\n{last}") };
            let crash_loop = Backoff::SERVER.is_crash_loop(failures);
            self.say(ServerState::Failed { since: now(), failures, crash_loop, message });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shared.stopping.cancelled() => break,
            }
            self.locked().restarts += 1;
        }
        self.say(ServerState::Stopping { since: now() });
    }

    /// One process; why it ended by itself.
    async fn life(&self, shared: &Arc<Shared>) -> Option<String> {
        let Spawned { mut process, stdin, stdout, stderr } = match process::spawn(&shared.config, None, None)
        {
            Ok(spawned) => spawned,
            Err(error) => {
                let program = shared.config.command.first().map_or("", String::as_str);
                return Some(format!("the tool could not be started: {program}: {error}"));
            }
        };
        // It reads nothing, as if it had been started in the background.
        drop(stdin);
        self.locked().lives = true;
        let [errors, output] = {
            let (of_errors, of_output) = (Arc::clone(&shared.journal), Arc::clone(&shared.journal));
            [
                tokio::spawn(async move { of_errors.follow(stderr).await }),
                tokio::spawn(async move { of_output.follow(stdout).await }),
            ]
        };
        let words = tokio::select! {
            () = shared.stopping.cancelled() => None,
            status = process.wait() => Some(described(&status)),
            () = self.watch(shared) => None,
        };
        if words.is_none() {
            self.say(ServerState::Stopping { since: now() });
            self.stop(shared, &mut process).await;
        }
        process.kill_group();
        self.locked().lives = false;
        let last = async {
            // What follows them cannot fail; it ends with the pipes.
            let _ = errors.await;
            let _ = output.await;
        };
        // A grandchild that holds a pipe open must not hold the restart up.
        let _ = tokio::time::timeout(LAST_OUTPUT, last).await;
        words
    }

    /// Asks it to end as its image wants it, and makes it end when it does not.
    async fn stop(&self, shared: &Shared, process: &mut Process) {
        let Link::Tool { stop_signal, .. } = &shared.config.link else { return };
        let signal = stop_signal.as_deref().map_or(Some(Signal::TERM), signal_of);
        let signal = signal.unwrap_or_else(|| {
            shared.journal.note("the image's stop signal is not known here; SIGTERM is sent");
            Signal::TERM
        });
        process.ask_with(signal);
        if tokio::time::timeout(GRACE, process.wait()).await.is_err() {
            shared.journal.note(&format!("it did not end within {} s and is killed", GRACE.as_secs()));
            process.kill_group();
            // It is over, whatever its exit status.
            let _ = process.wait().await;
        }
    }

    /// Looks at it for as long as it lives, and says how it is.
    async fn watch(&self, shared: &Shared) {
        let Link::Tool { health, .. } = &shared.config.link else { return };
        let Some(health) = health else {
            tokio::time::sleep(A_MOMENT).await;
            self.runs(shared);
            return std::future::pending().await;
        };
        let startup = Duration::from_millis(shared.config.startup_ms);
        let begun = Instant::now();
        let (mut has_worked, mut failures) = (false, 0_u32);
        loop {
            let looked = tokio::time::timeout(LOOK_LIMIT, look(health)).await;
            let failed = match looked {
                Ok(Ok(())) => None,
                Ok(Err(words)) => Some(words),
                Err(_elapsed) => Some(format!("no answer within {} s", LOOK_LIMIT.as_secs())),
            };
            let is_ill = matches!(self.locked().state, ServerState::Failed { .. });
            match failed {
                None => {
                    failures = 0;
                    if is_ill || !has_worked {
                        self.runs(shared);
                    }
                    has_worked = true;
                }
                Some(words) => {
                    failures = failures.saturating_add(1);
                    let is_over = if has_worked { ILL_AFTER <= failures } else { startup <= begun.elapsed() };
                    if is_over && !is_ill {
                        let message = format!(
                            "it lives and is unhealthy: {}: {words}; it is looked at again until it is well",
                            named(health)
                        );
                        shared.journal.note(&message);
                        self.say(ServerState::Failed { since: now(), failures, crash_loop: false, message });
                    }
                }
            }
            let well = has_worked && failures == 0;
            tokio::time::sleep(if well {
                LOOK_EVERY
            } else {
                LOOK_SOON.max(begun.elapsed() / 20).min(LOOK_EVERY)
            })
            .await;
        }
    }

    fn runs(&self, shared: &Shared) {
        shared.journal.note("the tool runs");
        let (server_name, protocol_version) = (String::new(), String::new());
        self.say(ServerState::Running { since: now(), server_name, protocol_version });
    }
}

/// One look from inside the container's own network.
async fn look(health: &Health) -> Result<(), String> {
    match health {
        Health::Tcp { port } => connect(*port).await.map(drop),
        Health::Http { port, path } => {
            let mut stream = connect(*port).await?;
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
            let asked = async {
                stream.write_all(request.as_bytes()).await?;
                let mut line = Vec::new();
                let mut part = [0; STATUS_LINE];
                while line.len() < STATUS_LINE && !line.contains(&b'\n') {
                    let count = stream.read(&mut part).await?;
                    if count == 0 {
                        break;
                    }
                    line.extend_from_slice(&part[..count]);
                }
                Ok::<_, io::Error>(line)
            };
            let line = asked.await.map_err(|error| error.to_string())?;
            let line = String::from_utf8_lossy(&line);
            let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
            match status {
                Some(..400) => Ok(()),
                Some(status) => Err(format!("it answered {status}")),
                None => Err("its answer is no HTTP".to_owned()),
            }
        }
    }
}

/// Most listen on both; some on one of them only.
async fn connect(port: u16) -> Result<TcpStream, String> {
    let first = match TcpStream::connect((IpAddr::V4(Ipv4Addr::LOCALHOST), port)).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    let second = TcpStream::connect((IpAddr::V6(Ipv6Addr::LOCALHOST), port)).await;
    second.map_err(|_| first.to_string())
}

fn named(health: &Health) -> String {
    match health {
        Health::Tcp { port } => format!("port {port} of the container"),
        Health::Http { port, path } => format!("GET {path} on port {port} of the container"),
    }
}

fn described(status: &io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the tool {}", process::describe(*status)),
        Err(error) => format!("the tool was lost: {error}"),
    }
}

/// A signal by its name, with or without `SIG`, or by its number, as the engine takes it.
fn signal_of(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse() {
        return Signal::from_named_raw(number);
    }
    let upper = text.to_ascii_uppercase();
    match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" => Some(Signal::HUP),
        "INT" => Some(Signal::INT),
        "QUIT" => Some(Signal::QUIT),
        "KILL" => Some(Signal::KILL),
        "USR1" => Some(Signal::USR1),
        "USR2" => Some(Signal::USR2),
        "TERM" => Some(Signal::TERM),
        "WINCH" => Some(Signal::WINCH),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals_are_names_and_numbers() {
        for (text, expected) in [
            ("SIGQUIT", Some(Signal::QUIT)),
            ("sigint", Some(Signal::INT)),
            ("WINCH", Some(Signal::WINCH)),
            ("3", Some(Signal::QUIT)),
            ("SIGRTMIN+3", None),
            ("", None),
        ] {
            assert_eq!(signal_of(text), expected, "{text}");
        }
    }
}
