//! Listening sockets that a service manager hands over: `sd_listen_fds(3)`. They come as descriptors from 3 on, told by
//! `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first descriptor that is handed over.
const FIRST: RawFd = 3;

/// What was handed to this very process, with the names that the manager gave; nothing when nothing was, or when it was
/// taken before. No child inherits any of it.
///
/// # Errors
/// When the environment promises what is not there.
pub fn take() -> io::Result<Vec<(String, OwnedFd)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let variable = |name| std::env::var(name).unwrap_or_default();
    let is_for_us = variable("LISTEN_PID").parse() == Ok(std::process::id());
    let count: RawFd = variable("LISTEN_FDS").parse().unwrap_or_default();
    if !is_for_us || count < 1 || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let names = variable("LISTEN_FDNAMES");
    let mut names = names.split(':');
    (FIRST..FIRST.saturating_add(count))
        .map(|fd| Ok((names.next().unwrap_or_default().to_owned(), adopt(fd)?)))
        .collect()
}

#[expect(unsafe_code, reason = "a descriptor that comes as a number has no safe wrapper")]
fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(F_SETFD) touches no memory, and fails for a number that is no descriptor.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as just seen; it was handed to this process to own, and `take` gives it out once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
