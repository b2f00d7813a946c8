//! Whether a shim's process lives, and its end as an event: of a child by the runtime's word, of an adopted process by
//! a descriptor of it, which no reused process id can confuse.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

/// One process.
#[derive(Debug)]
pub(crate) struct Life {
    /// Its process id.
    pub(crate) pid: u32,
    /// Since when it is known to live.
    pub(crate) since: Instant,
    watch: Watch,
}

#[derive(Debug)]
enum Watch {
    Child(oneshot::Receiver<String>),
    Adopted(AsyncFd<OwnedFd>),
    Ended(String),
}

impl Life {
    /// A shim that was just started.
    pub(crate) fn of_child(shim: runtime::Shim) -> Self {
        Self { pid: shim.pid, since: Instant::now(), watch: Watch::Child(shim.ended) }
    }

    /// A shim that somebody else started; `None` when there is no such process.
    pub(crate) fn of_pid(pid: u32) -> Option<Self> {
        let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let fd = rustix::process::pidfd_open(process, PidfdFlags::NONBLOCK).ok()?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for descriptors that others may close; an `OwnedFd` is ours alone"
        )]
        let watch = AsyncFd::with_interest(fd, tokio::io::Interest::READABLE).ok()?;
        Some(Self { pid, since: Instant::now(), watch: Watch::Adopted(watch) })
    }

    /// How it ended; `None` while it lives.
    pub(crate) fn end(&mut self) -> Option<String> {
        let how = match &mut self.watch {
            Watch::Ended(how) => return Some(how.clone()),
            Watch::Child(ended) => match ended.try_recv() {
                Ok(how) => how,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Closed) => "unknown".to_owned(),
            },
            Watch::Adopted(fd) => {
                let mut poll = [rustix::event::PollFd::new(fd.get_ref(), rustix::event::PollFlags::IN)];
                let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                match rustix::event::poll(&mut poll, Some(&now)) {
                    Ok(0) => return None,
                    Ok(_) => "ended".to_owned(),
                    Err(error) => format!("unknown: {error}"),
                }
            }
        };
        self.watch = Watch::Ended(how.clone());
        Some(how)
    }

    /// Waits for its end; for ever once the end was reported. May be dropped and called again.
    pub(crate) async fn ended(&mut self) {
        let how = match &mut self.watch {
            Watch::Child(ended) => ended.await.unwrap_or_else(|_| "unknown".to_owned()),
            Watch::Adopted(fd) => match fd.readable().await {
                Ok(_) => "ended".to_owned(),
                Err(error) => format!("unknown: {error}"),
            },
            Watch::Ended(_) => return std::future::pending().await,
        };
        self.watch = Watch::Ended(how);
    }
}
