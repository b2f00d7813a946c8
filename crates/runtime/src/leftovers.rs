//! Killing what survives of an instance, and nothing else.
//!
//! A process is known by what it is, not by its number alone: the shim by the start time that was recorded with
//! its number, a sandbox helper by the instance's own working directory on its command line. The check is
//! repeated on an open process descriptor, which a reused number cannot fool. Killing a helper kills its tree.

use std::fs;
use std::path::Path;
use std::time::Duration;

use domain::ids::InstanceId;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::error::RuntimeError;
use crate::layout::Layout;

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Notes which process is the instance's shim.
pub(crate) fn record_shim(layout: &Layout, instance: InstanceId, pid: u32) -> Result<(), RuntimeError> {
    let record = layout.shim_record(instance);
    // A shim that has ended already has no start time, and nothing to record.
    let Some(started) = start_time(pid) else { return Ok(()) };
    fs::write(&record, format!("{pid} {started}")).map_err(RuntimeError::io("write", record))
}

/// Kills the shim, if it lives, and the helpers of its server; returns when they are gone. Blocks.
pub(crate) fn kill(layout: &Layout, instance: InstanceId) -> Result<(), RuntimeError> {
    if let Some((pid, started)) = recorded(&layout.shim_record(instance)) {
        kill_if(pid, || start_time(pid) == Some(started))?;
    }
    // Twice: a shim that was just dying may have started one more.
    let work = layout.work_dir(instance);
    for _ in 0..2 {
        for pid in processes() {
            if is_helper(pid, &work) {
                kill_if(pid, || is_helper(pid, &work))?;
            }
        }
    }
    match fs::remove_file(layout.shim_record(instance)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RuntimeError::io("remove", layout.shim_record(instance))(error))
        }
        _ => Ok(()),
    }
}

/// The process id of the instance's shim, when it lives.
pub(crate) fn living_shim(layout: &Layout, instance: InstanceId) -> Option<u32> {
    let (pid, started) = recorded(&layout.shim_record(instance))?;
    (start_time(pid) == Some(started)).then_some(pid)
}

fn recorded(record: &Path) -> Option<(u32, u64)> {
    let text = fs::read_to_string(record).ok()?;
    let (pid, started) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, started.parse().ok()?))
}

fn kill_if(pid: u32, is_it: impl Fn() -> bool) -> Result<(), RuntimeError> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    let Ok(process) = rustix::process::pidfd_open(raw, PidfdFlags::empty()) else { return Ok(()) };
    // The descriptor is of whatever had the number when it was opened; if that still is the one looked for, so
    // is the descriptor's.
    if !is_it() {
        return Ok(());
    }
    // The one error is that it has ended.
    let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    let timeout = Timespec { tv_sec: GONE_WITHIN.as_secs().cast_signed(), tv_nsec: 0 };
    match rustix::event::poll(&mut fds, Some(&timeout)) {
        Ok(0) => Err(RuntimeError::Unkillable { pid }),
        _ => Ok(()),
    }
}

/// Whether the process is a sandbox helper of the instance whose working directory this is. The server inside
/// cannot pose as one of another instance to any effect: it would be killed itself.
fn is_helper(pid: u32, work: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut args = line.split(|&byte| byte == 0).skip(1);
    let Some(b"__sandbox") = args.next() else { return false };
    let policy =
        args.next().and_then(|arg| serde_json::from_slice::<crate::sandbox::policy::Policy>(arg).ok());
    policy.is_some_and(|policy| policy.cwd == work)
}

pub(crate) fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Clock ticks between the host's start and the process's (field 22 of `/proc/PID/stat`). A zombie has ended.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in parentheses, is the program's name and may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
