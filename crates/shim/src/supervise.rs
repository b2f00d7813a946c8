//! The lives of one process of the server: start, open, serve, end, wait, again.
//!
//! Only the opening's answer makes a server `running`. Whatever ends it by itself, a crash, silence at the opening, a
//! closed pipe, is a failure: calls in flight end at once, and the next start waits longer with each failure in a row.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use domain::backoff::Backoff;
use domain::shim::{Link, MAX_MESSAGE};
use mcp::lines::Line;
use mcp::opening::{Opened, Opening, Plan, Reply, Speaks};
use mcp::revision::Era;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::mailbox::Letter;
use crate::shared::{Shared, now, state_of};
use crate::worker::{Failure, Garbage, Keep, Phase, Worker};

mod code;
mod dialled;
mod pipes;

/// How often calls of callers who have left are looked over.
const TICK: Duration = Duration::from_mins(1);
/// Of a line that is no message, so many characters go into the log.
const GARBAGE_CHARS: usize = 200;
/// Lines that are no message are logged one by one up to this many, then at each doubling.
const GARBAGE_LOGGED: u64 = 5;
/// What a list of tools has in it when headers repeat arguments.
const MARK: &[u8] = b"x-mcp-header";

/// How a life ended.
pub(crate) enum End {
    /// By itself; in words, for anybody who calls.
    Failed(String),
    /// Because it was asked to.
    Stopped,
    /// Because nobody called.
    Idle,
    /// It was to show that it works, and did.
    Proven,
    /// It was to show that it works, and wants what its callers bring.
    Wanting,
}

/// Begins to keep a process as it is meant to be kept, until it or the shim is stopped.
pub(crate) fn start(shared: &Arc<Shared>, worker: &Arc<Worker>) {
    let (shared, worker) = (Arc::clone(shared), Arc::clone(worker));
    shared.tasks.clone().spawn(async move { supervise(&shared, &worker).await });
}

async fn supervise(shared: &Arc<Shared>, worker: &Arc<Worker>) {
    let mut failures = 0;
    let mut waits = worker.keep == Keep::WhileUsed;
    loop {
        if waits && !awaited(shared, worker).await {
            break;
        }
        waits = worker.keep == Keep::WhileUsed;
        let begun = Instant::now();
        let summary = match life(shared, worker).await {
            End::Stopped => break,
            End::Proven => {
                worker.stopping.cancelled().await;
                break;
            }
            End::Wanting => {
                shared.journal.note("the server answers, and wants what its callers bring");
                end_calls(worker, "the server wants what its callers bring");
                worker.enter(Phase::Wanting { since: now() });
                worker.stopping.cancelled().await;
                break;
            }
            End::Idle => {
                failures = 0;
                shared.journal.note("nobody has called for long: stopped, until somebody does");
                end_calls(worker, "the server was stopped because nobody called");
                worker.enter(Phase::Asleep { since: now() });
                waits = true;
                continue;
            }
            End::Failed(summary) => summary,
        };
        failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
        let wait = Backoff::SERVER.wait(failures);
        let failure =
            Failure { summary, garbage: garbage_words(worker), last_words: shared.journal.last_words() };
        shared.journal.note(&format!("{}; next start in {} ms", failure.summary, wait.as_millis()));
        end_calls(worker, &failure.summary);
        let next_start = Instant::now() + wait;
        let crash_loop = Backoff::SERVER.is_crash_loop(failures);
        let failed = Phase::Failed { since: now(), failures, crash_loop, failure, next_start };
        // One that is kept shows by itself how it is. What one caller brings says nothing of the server.
        if shared.sleep.is_wanted() && worker.keep == Keep::WhileUsed && worker.key.own == 0 {
            shared.sleep.set_failed(Some(state_of(&failed)));
        }
        worker.enter(failed);
        tokio::select! {
            () = tokio::time::sleep_until(next_start) => {}
            () = worker.stopping.cancelled() => break,
        }
        worker.traffic().restarts += 1;
        shared.news.notify_waiters();
        if worker.keep == Keep::WhileUsed {
            worker.enter(Phase::Asleep { since: now() });
        }
    }
    worker.enter(Phase::Stopping { since: now() });
    worker.traffic().mux.set_rests(false);
    end_calls(worker, "the server was stopped");
    let streams = worker.traffic().mux.end_streams();
    for (mailbox, last) in streams {
        mailbox.push(last.map_or(Letter::End, |message| Letter::Answer { message, code: None }));
    }
    if shared.stopping.is_cancelled() {
        let resumable = shared.replays().clear();
        drop(resumable);
    }
    shared.workers.remove(worker);
    shared.news.notify_waiters();
}

/// Waits until somebody needs the process; false when it is to end for good.
async fn awaited(shared: &Shared, worker: &Arc<Worker>) -> bool {
    loop {
        tokio::select! {
            () = worker.wanted.notified() => return true,
            () = worker.stopping.cancelled() => return false,
            () = tokio::time::sleep(shared.idle().max(TICK)) => {
                if worker.keep == Keep::WhileUsed && shared.workers.forget(worker) {
                    return false;
                }
            }
        }
    }
}

async fn life(shared: &Arc<Shared>, worker: &Arc<Worker>) -> End {
    worker.enter(Phase::Starting { since: now() });
    {
        // Whoever wanted a process gets this one: nobody's wish is left for the time after it.
        let wanted = worker.wanted.notified();
        tokio::pin!(wanted);
        wanted.enable();
    }
    shared.sleep.wake();
    shared.journal.begin_life();
    let config = &shared.config;
    let plan = Plan {
        modern_first: shared.code.is_some()
            || worker.key.era == Era::Modern && !shared.is_known_to_be_legacy(),
        serves_both: config.opening == domain::shim::Opening::Both,
        hello: worker.hello.clone(),
    };
    let (opening, first) = Opening::begin(env!("CARGO_PKG_VERSION"), plan);
    {
        let mut traffic = worker.traffic();
        traffic.garbage = Garbage::default();
        traffic.to_server = first;
        traffic.mux.set_rests(false);
    }
    worker.to_write.notify_one();
    let (done, reply) = oneshot::channel();
    let start = Start { opening, done };
    let serving = serving(shared, worker, reply);
    if let Some(code) = &shared.code {
        return code::life(shared, worker, code, start, serving).await;
    }
    match config.link {
        // A container tool has no worker.
        Link::Stdio | Link::Virtual | Link::Tool { .. } => pipes::life(shared, worker, start, serving).await,
        Link::Port { .. } | Link::Remote { .. } => dialled::life(shared, worker, start, serving).await,
    }
}

/// From the opening's answer to the end that nobody wants more of it.
async fn serving(
    shared: &Shared,
    worker: &Worker,
    reply: oneshot::Receiver<Result<Box<Opened>, String>>,
) -> Why {
    let startup = Duration::from_millis(shared.config.startup_ms);
    match tokio::time::timeout(startup, reply).await {
        Ok(Ok(Ok(opened))) => running(shared, worker, *opened),
        Ok(Ok(Err(refusal))) => return Why::Words(refusal),
        // The reader has ended, and whoever waits for that will say so.
        Ok(Err(_)) => std::future::pending().await,
        Err(_) => return Why::Words(never_answered(shared, worker, startup)),
    }
    if worker.keep == Keep::UntilProven {
        return Why::Proven;
    }
    while_it_runs(shared, worker).await;
    Why::Idle
}

/// Does what is due, until nobody has called for long.
async fn while_it_runs(shared: &Shared, worker: &Worker) {
    let mut swept = Instant::now();
    loop {
        let (due, idle_at) = {
            let traffic = worker.traffic();
            let is_used = worker.keep == Keep::Always || traffic.mux.in_flight() != 0 || traffic.waiting != 0;
            let idle_at = (!is_used).then(|| traffic.last_used + shared.idle());
            (traffic.mux.due(), idle_at)
        };
        let now = Instant::now();
        if idle_at.is_some_and(|at| at <= now) {
            return;
        }
        let due = due.map(|due| now + due.saturating_sub(worker.elapsed()));
        let next = [due, idle_at, Some(swept + TICK)].into_iter().flatten().min().unwrap_or(now + TICK);
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = worker.due.notified() => {}
            () = worker.rest.notified() => {
                // Somebody may have called since it was chosen.
                if worker.traffic().mux.busy() == 0 {
                    return;
                }
            }
        }
        if swept + TICK <= Instant::now() {
            swept = Instant::now();
            let unread = shared.replays().sweep();
            drop(unread);
        }
        let before = worker.traffic().mux.in_flight();
        worker.with_mux(mcp::mux::Mux::tick);
        if worker.traffic().mux.in_flight() < before {
            worker.turn.notify_waiters();
        }
    }
}

/// What ended a life.
pub(crate) enum Why {
    Asked,
    Idle,
    Proven,
    Exit(io::Result<std::process::ExitStatus>),
    Words(String),
    Closed(&'static str),
}

impl Why {
    /// It was ended on purpose: says so to those who look, and lets no call in any more.
    pub(crate) fn announce(&self, worker: &Worker) {
        match self {
            Self::Asked => {
                worker.enter(Phase::Stopping { since: now() });
            }
            // Whoever calls from now on waits for the next one.
            Self::Idle => {
                worker.enter(Phase::Asleep { since: now() });
            }
            Self::Proven | Self::Exit(_) | Self::Words(_) | Self::Closed(_) => {}
        }
        if let Self::Asked | Self::Idle | Self::Proven = self {
            let mut traffic = worker.traffic();
            traffic.open = false;
            traffic.mux.set_rests(matches!(self, Self::Idle));
        }
    }
}

fn running(shared: &Shared, worker: &Worker, opened: Opened) {
    let name = if opened.server_name.is_empty() { "the server" } else { &opened.server_name };
    shared.journal.note(&format!("{name} runs, revision {}", opened.revision.text()));
    shared.facts.learn(|facts| match (opened.backend.speaks, worker.key.era) {
        (Speaks::Modern, Era::Modern) => facts.modern = Some(true),
        // It was asked to initialise and refused.
        (Speaks::Modern, Era::Legacy) => (facts.legacy, facts.modern) = (Some(false), Some(true)),
        (Speaks::Legacy | Speaks::Both, Era::Modern) => facts.modern = Some(false),
        (Speaks::Legacy | Speaks::Both, Era::Legacy) => facts.legacy = Some(true),
    });
    {
        let mut traffic = worker.traffic();
        let traffic = &mut *traffic;
        traffic.mux.open(opened.backend.clone(), &mut traffic.to_server);
        traffic.open = true;
        traffic.last_used = Instant::now();
    }
    worker.to_write.notify_one();
    let opened = Arc::new(opened);
    shared.set_proven(&opened);
    shared.sleep.opened(worker, &opened);
    shared.sleep.set_failed(None);
    worker.enter(Phase::Running { since: now(), opened, life: shared.next_life() });
}

fn never_answered(shared: &Shared, worker: &Worker, startup: Duration) -> String {
    if worker.key.era == Era::Modern {
        // A server that says nothing to what it does not know: it is not asked again.
        shared.facts.learn(|facts| facts.modern = Some(false));
    }
    format!(
        "the server did not answer `initialize` within {} s; is it an MCP server that speaks over standard input and \
         output?",
        startup.as_secs_f32()
    )
}

fn garbage_words(worker: &Worker) -> String {
    match &worker.traffic().garbage {
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
pub(crate) fn end_calls(worker: &Worker, why: &str) {
    let ended = {
        let mut traffic = worker.traffic();
        traffic.open = false;
        traffic.to_server = Vec::new();
        traffic.mux.ended(why)
    };
    for (mailbox, message) in ended {
        mailbox.push(Letter::Answer { message, code: None });
    }
    worker.turn.notify_waiters();
}

/// A start that is under way.
pub(crate) struct Start {
    opening: Opening,
    done: oneshot::Sender<Result<Box<Opened>, String>>,
}

/// Takes a line of the server's. `origin` is the call on whose own stream it came, where there is such a thing.
pub(crate) fn take(
    shared: &Shared,
    worker: &Worker,
    line: &Line<'_>,
    origin: Option<u64>,
    start: &mut Option<Start>,
) {
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
                worker.traffic().to_server.extend_from_slice(&request);
                worker.to_write.notify_one();
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
    let (output, learned) =
        worker.with_mux(|mux, now, out| (mux.line(line, origin, now, out), mux.learned()));
    if !learned.is_empty() {
        shared.sleep.learn(worker, learned);
    }
    shared.lists.look_at(line);
    if memchr::memmem::find(line, MARK).is_some() {
        shared.learn_headers(line);
    }
    if worker.asks_for_the_first_time() {
        shared.facts.learn(|facts| facts.asks = true);
    }
    if let Some(error) = worker.deliver(output) {
        let text: String = String::from_utf8_lossy(line).chars().take(GARBAGE_CHARS).collect();
        let count = {
            let garbage = &mut worker.traffic().garbage;
            garbage.lines += 1;
            garbage.first.get_or_insert_with(|| text.clone());
            garbage.lines
        };
        if count <= GARBAGE_LOGGED || count.is_power_of_two() {
            shared
                .journal
                .note(&format!("line {count} on standard output that is no MCP message ({error}): {text}"));
        }
    }
}
