//! The life of the server: start, open, serve, end, wait, again.
//!
//! Only the opening's answer makes a server `running`. Whatever ends it by itself, a crash, silence at the opening, a
//! closed pipe, is a failure: calls in flight end at once, and the next start waits longer with each failure in a row.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use domain::backoff::Backoff;
use domain::shim::{MAX_MESSAGE, ShimConfig};
use mcp::lines::{Line, Lines};
use mcp::mux::Output;
use mcp::opening::{Opened, Opening, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::mailbox::Letter;
use crate::process::{self, Process, Spawned};
use crate::shared::{Failure, Garbage, Phase, Shared, now};

/// How often calls of callers who have left are looked over.
const TICK: Duration = Duration::from_mins(1);
/// After a process has ended, what it wrote before may still be in the pipe for so long. A grandchild that holds the
/// pipe open must not hold the restart up.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// A process that closed a pipe and goes on for longer than this cannot be served any more.
const EXIT_AFTER_CLOSE: Duration = Duration::from_millis(200);
/// Of a line that is no message, so many characters go into the log.
const GARBAGE_CHARS: usize = 200;
/// Lines that are no message are logged one by one up to this many, then at each doubling.
const GARBAGE_LOGGED: u64 = 5;
/// What the writer keeps allocated between writes, in bytes.
const WRITE_BUFFER: usize = 64 << 10;

/// How a life ended.
enum End {
    /// By itself; in words, for anybody who calls.
    Failed(String),
    /// Because it was asked to.
    Stopped,
}

/// Keeps the server alive until `stopping`, then ends it.
pub(crate) async fn supervise(config: &ShimConfig, shared: &Arc<Shared>, stopping: &CancellationToken) {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let summary = match life(config, shared, stopping).await {
            End::Stopped => break,
            End::Failed(summary) => summary,
        };
        failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
        let wait = Backoff::SERVER.wait(failures);
        let failure = Failure { summary, last_words: shared.journal.last_words() };
        shared.journal.note(&format!("{}; next start in {} ms", failure.summary, wait.as_millis()));
        end_calls(shared, &failure.summary);
        let next_start = Instant::now() + wait;
        let crash_loop = Backoff::SERVER.is_crash_loop(failures);
        shared.phase.send_replace(Phase::Failed { since: now(), failures, crash_loop, failure, next_start });
        tokio::select! {
            () = tokio::time::sleep_until(next_start) => {}
            () = stopping.cancelled() => break,
        }
        shared.traffic().restarts += 1;
    }
    shared.phase.send_replace(Phase::Stopping { since: now() });
    end_calls(shared, "the server was stopped");
    let streams = shared.traffic().mux.end_streams();
    for (mailbox, last) in streams {
        mailbox.push(last.map_or(Letter::End, |message| Letter::Answer { message, code: None }));
    }
    let resumable = shared.replays().clear();
    drop(resumable);
    shared.journal.note("stopped");
}

async fn life(config: &ShimConfig, shared: &Arc<Shared>, stopping: &CancellationToken) -> End {
    shared.phase.send_replace(Phase::Starting { since: now() });
    shared.journal.begin_life();
    let serves_both = config.opening == domain::shim::Opening::Both;
    let (opening, first) = Opening::begin(env!("CARGO_PKG_VERSION"), serves_both);
    {
        let mut traffic = shared.traffic();
        traffic.garbage = Garbage::default();
        traffic.to_server = first;
    }
    shared.to_write.notify_one();
    let Spawned { mut process, stdin, stdout, stderr } = match process::spawn(config) {
        Ok(spawned) => spawned,
        Err(error) => {
            let program = config.command.first().map_or("", String::as_str);
            return End::Failed(format!("the server could not be started: {program}: {error}"));
        }
    };
    let (done, reply) = oneshot::channel();
    let mut writer = tokio::spawn(write(Arc::clone(shared), stdin));
    let mut reader = tokio::spawn(read(Arc::clone(shared), stdout, Start { opening, done }));
    let journal = Arc::clone(&shared.journal);
    let log = tokio::spawn(async move { journal.follow(stderr).await });

    let serving = async {
        let startup = Duration::from_millis(config.startup_ms);
        match tokio::time::timeout(startup, reply).await {
            Ok(Ok(Ok(opened))) => running(shared, *opened),
            Ok(Ok(Err(refusal))) => return refusal,
            // The reader has ended, and so the other branch below will be taken.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return never_answered(shared, startup),
        }
        loop {
            tokio::time::sleep(TICK).await;
            let unread = shared.replays().sweep();
            drop(unread);
            let now = shared.elapsed();
            let mut traffic = shared.traffic();
            let traffic = &mut *traffic;
            traffic.mux.tick(now, &mut traffic.to_server);
            shared.to_write.notify_one();
        }
    };
    let why = tokio::select! {
        biased;
        () = stopping.cancelled() => None,
        status = process.wait() => Some(Why::Exit(status)),
        why = serving => Some(Why::Words(why)),
        _ = &mut reader => Some(Why::Closed("standard output")),
        _ = &mut writer => Some(Why::Closed("standard input")),
    };
    if why.is_none() {
        shared.phase.send_replace(Phase::Stopping { since: now() });
        shared.traffic().open = false;
    }
    writer.abort();
    // Dropping the writer closes the pipe; an aborted task is dropped by the time it is joined.
    join(&mut writer).await;
    let end = finish(shared, &mut process, why).await;
    process.kill_group();
    let last = async {
        join(&mut reader).await;
        log.await
    };
    if tokio::time::timeout(LAST_OUTPUT, last).await.is_err() {
        reader.abort();
    }
    end
}

/// Waits for a task that may have been joined already. That it was aborted is no error here.
async fn join(task: &mut JoinHandle<()>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

/// What ended a life.
enum Why {
    Exit(io::Result<std::process::ExitStatus>),
    Words(String),
    Closed(&'static str),
}

async fn finish(shared: &Shared, process: &mut Process, why: Option<Why>) -> End {
    let was_open = matches!(*shared.phase.borrow(), Phase::Running { .. });
    let before = if was_open { "" } else { " before it answered `initialize`" };
    let garbage = garbage_words(shared);
    match why {
        None => {
            // Whatever the exit status: it was asked to end.
            let _ = process.stop().await;
            End::Stopped
        }
        Some(Why::Words(words)) => {
            let _ = process.stop().await;
            End::Failed(words)
        }
        Some(Why::Exit(Ok(status))) => {
            End::Failed(format!("the server {}{before}{garbage}", process::describe(status)))
        }
        Some(Why::Exit(Err(error))) => End::Failed(format!("the server was lost: {error}")),
        Some(Why::Closed(pipe)) => {
            // A process that is ending closes its pipes first; then how it ended says more.
            if let Ok(Ok(status)) = tokio::time::timeout(EXIT_AFTER_CLOSE, process.wait()).await {
                return End::Failed(format!("the server {}{before}{garbage}", process::describe(status)));
            }
            let words = format!("the server closed its {pipe}{before}{garbage}");
            end_calls(shared, &words);
            let _ = process.stop().await;
            End::Failed(words)
        }
    }
}

fn running(shared: &Shared, opened: Opened) {
    let name = if opened.server_name.is_empty() { "the server" } else { &opened.server_name };
    shared.journal.note(&format!("{name} runs, revision {}", opened.revision.text()));
    {
        let mut traffic = shared.traffic();
        let traffic = &mut *traffic;
        traffic.mux.open(opened.backend.clone(), &mut traffic.to_server);
        traffic.open = true;
    }
    shared.to_write.notify_one();
    shared.phase.send_replace(Phase::Running { since: now(), opened: Arc::new(opened) });
}

fn never_answered(shared: &Shared, startup: Duration) -> String {
    format!(
        "the server did not answer `initialize` within {} s{}; is it an MCP server that speaks over standard input and \
         output?",
        startup.as_secs_f32(),
        garbage_words(shared)
    )
}

fn garbage_words(shared: &Shared) -> String {
    match &shared.traffic().garbage {
        Garbage { lines, first: Some(first) } => {
            format!(
                "; it printed {lines} line(s) on standard output that are no MCP message, the first: `{first}` (logs belong \
                 on standard error)"
            )
        }
        Garbage { .. } => String::new(),
    }
}

/// No call may be put in any more, and those in flight end now, each with its own id.
fn end_calls(shared: &Shared, why: &str) {
    let ended = {
        let mut traffic = shared.traffic();
        traffic.open = false;
        traffic.to_server = Vec::new();
        traffic.mux.ended(why)
    };
    for (mailbox, message) in ended {
        mailbox.push(Letter::Answer { message, code: None });
    }
}

/// Writes what is queued, all of it in one write, for as long as the server reads.
async fn write(shared: Arc<Shared>, mut stdin: ChildStdin) {
    let mut lines = Vec::new();
    loop {
        std::mem::swap(&mut lines, &mut shared.traffic().to_server);
        if lines.is_empty() {
            shared.to_write.notified().await;
            continue;
        }
        // The one error is a closed pipe; the end of this task says so.
        if stdin.write_all(&lines).await.is_err() {
            return;
        }
        lines.clear();
        lines.shrink_to(WRITE_BUFFER);
    }
}

/// A start that is under way.
struct Start {
    opening: Opening,
    done: oneshot::Sender<Result<Box<Opened>, String>>,
}

/// Takes the server's lines to the end of its standard output.
async fn read(shared: Arc<Shared>, mut stdout: ChildStdout, start: Start) {
    let mut lines = Lines::new(MAX_MESSAGE);
    let mut start = Some(start);
    loop {
        // A read error is the end of the pipe for all that can be done about it.
        let count = stdout.read(lines.room()).await.unwrap_or(0);
        if count == 0 {
            lines.finish(|line| take(&shared, &line, &mut start));
            return;
        }
        lines.filled(count, |line| take(&shared, &line, &mut start));
    }
}

fn take(shared: &Shared, line: &Line<'_>, start: &mut Option<Start>) {
    let line = match line {
        Line::Whole(line) => *line,
        Line::TooLong(len) => {
            shared.journal.note(&format!(
                "a message of {len} bytes was dropped: the limit is {MAX_MESSAGE}; the call it answers gets no answer"
            ));
            return;
        }
    };
    if let Some(Start { opening, .. }) = start {
        let outcome = match opening.line(line) {
            Reply::Opened(opened) => Some(Ok(opened)),
            Reply::Refused(why) => Some(Err(why)),
            Reply::Ask(request) => {
                shared.traffic().to_server.extend_from_slice(&request);
                shared.to_write.notify_one();
                return;
            }
            Reply::Other => None,
        };
        if let Some(outcome) = outcome {
            if let Some(Start { done, .. }) = start.take() {
                // Nobody waits any more when the start has timed out at this very moment.
                let _ = done.send(outcome);
            }
            return;
        }
    }
    let output = {
        let mut traffic = shared.traffic();
        let traffic = &mut *traffic;
        let output = traffic.mux.line(line, &mut traffic.to_server);
        if !traffic.to_server.is_empty() {
            shared.to_write.notify_one();
        }
        output
    };
    match output {
        Output::Answer { to, message, code } => to.push(Letter::Answer { message, code }),
        Output::Between { to, message } => to.push(Letter::Between(message)),
        Output::Many(heard) => {
            for (to, message) in heard {
                to.push(Letter::Between(message));
            }
        }
        Output::Nobody => {}
        Output::Garbage(error) => {
            let text: String = String::from_utf8_lossy(line).chars().take(GARBAGE_CHARS).collect();
            let count = {
                let garbage = &mut shared.traffic().garbage;
                garbage.lines += 1;
                garbage.first.get_or_insert_with(|| text.clone());
                garbage.lines
            };
            if count <= GARBAGE_LOGGED || count.is_power_of_two() {
                shared.journal.note(&format!(
                    "line {count} on standard output that is no MCP message ({error}): {text}"
                ));
            }
        }
    }
}
