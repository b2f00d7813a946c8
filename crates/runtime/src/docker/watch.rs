//! The end of a container's first process, seen on a descriptor of it: at once, and without the engine, which may be away.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::{InspectContainerOptions, LogsOptions};
use futures_util::StreamExt as _;
use rustix::process::{Pid, PidfdFlags};
use tokio::io::unix::AsyncFd;

use super::engine::Engine;

/// How long the engine may take to say how a container ended. Somebody waits to start the next.
const TELLS: Duration = Duration::from_secs(3);
/// How often it is asked whether it knows already.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Lines of the shim's own that are kept.
const LINES: &str = "100";

/// One process.
#[derive(Debug)]
pub(super) struct Watch(Option<AsyncFd<OwnedFd>>);

impl Watch {
    /// A process that has ended already has ended.
    pub(super) fn of(pid: u32) -> Self {
        let opened = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).ok());
        #[expect(
            deprecated,
            reason = "its successor is unsafe for descriptors that others may close; an `OwnedFd` is ours alone"
        )]
        let watched = opened.and_then(|fd| AsyncFd::with_interest(fd, tokio::io::Interest::READABLE).ok());
        Self(watched)
    }

    /// Waits for its end. May be dropped and called again.
    pub(super) async fn ended(&self) {
        if let Some(fd) = &self.0 {
            // An error would mean that it cannot be waited for; then it is looked at.
            let _ = fd.readable().await;
        }
    }
}

/// How a container ended, in words; what its shim wrote is kept in `log`, because the container is removed.
pub(super) async fn words(engine: &Engine, id: &str, log: &Path) -> String {
    let look = engine.ask("look at the container", TELLS, |docker| async move {
        loop {
            let found = docker.inspect_container(id, None::<InspectContainerOptions>).await?;
            let state = found.state.unwrap_or_default();
            // The engine hears of the end a little later, and has no exit code before.
            if state.running != Some(true) {
                return Ok(state);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    });
    let state = match look.await {
        Ok(state) => state,
        Err(error) => return format!("unknown: {error}"),
    };
    let last = match last_lines(engine, id).await {
        Ok(lines) => {
            if let Err(error) = append(log, &lines) {
                tracing::warn!(path = %log.display(), %error, "a shim's last words cannot be kept");
            }
            lines.lines().next_back().map(|line| format!(": {line}")).unwrap_or_default()
        }
        Err(error) => {
            tracing::debug!(%error, "a shim's last words cannot be read");
            String::new()
        }
    };
    let code = state.exit_code.map_or_else(|| "unknown".to_owned(), |code| format!("exit code {code}"));
    let memory = if state.oom_killed == Some(true) { ", out of memory" } else { "" };
    format!("{code}{memory}{last}")
}

async fn last_lines(engine: &Engine, id: &str) -> Result<String, crate::error::RuntimeError> {
    engine
        .ask("read the container's log", TELLS, |docker| async move {
            let options =
                LogsOptions { stdout: true, stderr: true, tail: LINES.to_owned(), ..LogsOptions::default() };
            let mut pieces = docker.logs(id, Some(options));
            let mut text = String::new();
            while let Some(piece) = pieces.next().await {
                text.push_str(&String::from_utf8_lossy(&piece?.into_bytes()));
            }
            Ok(text)
        })
        .await
}

fn append(log: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    file.write_all(text.as_bytes())
}
