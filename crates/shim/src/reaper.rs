//! The first process of a process tree of its own, as in a container: orphans become its children, and nobody else reaps
//! them.
//!
//! The children that the shim started itself are waited for elsewhere, so only others may be reaped here. They are told
//! apart by a list. Starting, listing and reaping all happen on the shim's one thread, so nothing comes in between.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::signal::unix::{SignalKind, signal};

static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A child of the shim's own, from its start until it was waited for.
#[derive(Debug)]
pub(crate) struct Own(Option<u32>);

impl Own {
    pub(crate) fn new(pid: Option<u32>) -> Self {
        if let Some(pid) = pid {
            OWN.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
        }
        Self(pid)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            OWN.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
        }
    }
}

/// Whether orphans come to this process.
pub(crate) fn is_needed() -> bool {
    std::process::id() == 1
}

/// Reaps orphans for ever.
pub(crate) async fn reap() -> std::io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    loop {
        reap_orphans();
        if children.recv().await.is_none() {
            return Ok(());
        }
    }
}

fn reap_orphans() {
    for pid in children() {
        let is_own = OWN.lock().unwrap_or_else(PoisonError::into_inner).contains(&pid);
        if let (false, Some(pid)) = (is_own, i32::try_from(pid).ok().and_then(Pid::from_raw)) {
            // Of a living one the answer is nothing, and nobody wants to know how the others ended.
            let _ = rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

/// The children of every thread: an orphan belongs to one that lives.
fn children() -> Vec<u32> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
