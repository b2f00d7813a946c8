//! A life over standard input and output of a process that is started for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::shim::MAX_MESSAGE;
use mcp::lines::Lines;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::task::JoinHandle;

use super::{End, Start, Why, end_calls, take};
use crate::process::{self, Process, Spawned};
use crate::shared::Shared;
use crate::worker::{Phase, Worker};

/// After a process has ended, what it wrote before may still be in the pipe for so long. A grandchild that holds the
/// pipe open must not hold the restart up.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// A process that closed a pipe and goes on for longer than this cannot be served any more.
const EXIT_AFTER_CLOSE: Duration = Duration::from_millis(200);
/// What the writer keeps allocated between writes, in bytes.
const WRITE_BUFFER: usize = 64 << 10;

pub(super) async fn life(
    shared: &Arc<Shared>,
    worker: &Arc<Worker>,
    start: Start,
    serving: impl Future<Output = Why>,
) -> End {
    let Spawned { mut process, stdin, stdout, stderr } =
        match process::spawn(&shared.config, None, worker.own.as_deref()) {
            Ok(spawned) => spawned,
            Err(error) => {
                let program = shared.config.command.first().map_or("", String::as_str);
                return End::Failed(format!("the server could not be started: {program}: {error}"));
            }
        };
    let mut writer = tokio::spawn(write(Arc::clone(worker), stdin));
    let mut reader = tokio::spawn(read(Arc::clone(shared), Arc::clone(worker), stdout, start));
    let journal = Arc::clone(&shared.journal);
    let log = tokio::spawn(async move { journal.follow(stderr).await });
    let why = tokio::select! {
        biased;
        () = worker.stopping.cancelled() => Why::Asked,
        status = process.wait() => Why::Exit(status),
        why = serving => why,
        _ = &mut reader => Why::Closed("standard output"),
        _ = &mut writer => Why::Closed("standard input"),
    };
    why.announce(worker);
    writer.abort();
    // Dropping the writer closes the pipe; an aborted task is dropped by the time it is joined.
    join(&mut writer).await;
    let end = finish(worker, &mut process, why).await;
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

async fn finish(worker: &Worker, process: &mut Process, why: Why) -> End {
    let was_open = matches!(*worker.phase.borrow(), Phase::Running { .. });
    let before = if was_open { "" } else { " before it answered `initialize`" };
    match why {
        Why::Asked | Why::Idle | Why::Proven => {
            // Whatever the exit status: it was asked to end.
            let _ = process.stop().await;
            match why {
                Why::Idle => End::Idle,
                Why::Proven => End::Proven,
                _ => End::Stopped,
            }
        }
        Why::Words(words) => {
            let _ = process.stop().await;
            End::Failed(words)
        }
        Why::Exit(Ok(status)) => End::Failed(format!("the server {}{before}", process::describe(status))),
        Why::Exit(Err(error)) => End::Failed(format!("the server was lost: {error}")),
        Why::Closed(pipe) => {
            // A process that is ending closes its pipes first; then how it ended says more.
            if let Ok(Ok(status)) = tokio::time::timeout(EXIT_AFTER_CLOSE, process.wait()).await {
                return End::Failed(format!("the server {}{before}", process::describe(status)));
            }
            let words = format!("the server closed its {pipe}{before}");
            end_calls(worker, &words);
            let _ = process.stop().await;
            End::Failed(words)
        }
    }
}

/// Writes what is queued, all of it in one write, for as long as the server reads.
async fn write(worker: Arc<Worker>, mut stdin: ChildStdin) {
    let mut lines = Vec::new();
    loop {
        std::mem::swap(&mut lines, &mut worker.traffic().to_server);
        if lines.is_empty() {
            worker.to_write.notified().await;
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

/// Takes the server's lines to the end of its standard output.
async fn read(shared: Arc<Shared>, worker: Arc<Worker>, mut stdout: ChildStdout, start: Start) {
    let mut lines = Lines::new(MAX_MESSAGE);
    let mut start = Some(start);
    loop {
        // A read error is the end of the pipe for all that can be done about it.
        let count = stdout.read(lines.room()).await.unwrap_or(0);
        if count == 0 {
            lines.finish(|line| take(&shared, &worker, &line, None, &mut start));
            return;
        }
        lines.filled(count, |line| take(&shared, &worker, &line, None, &mut start));
    }
}
