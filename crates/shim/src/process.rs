//! One process of the server: started with a clean environment in a process group of its own, and stopped politely
//! first. That it dies with its shim is the sandbox helper's work, which asks the kernel for it.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use domain::shim::{Link, PORT_PLACEHOLDER, ShimConfig};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::callers::Own;
use crate::reaper;

/// After its standard input was closed, a server has this long to end by itself.
const AFTER_CLOSE: Duration = Duration::from_secs(2);
/// After SIGTERM, this long.
const AFTER_TERM: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Option<Pid>,
    _own: reaper::Own,
}

/// A process and its three pipes.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) process: Process,
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

/// Starts the server's command. `port` is where it is to serve HTTP, if it does; `own` is what it has of its caller's.
pub(crate) fn spawn(config: &ShimConfig, port: Option<u16>, own: Option<&Own>) -> io::Result<Spawned> {
    if let (Some(own), Some(each)) = (own, &config.each_caller) {
        own.make_room(each)?;
    }
    let port = port.map(|port| port.to_string());
    let told = |text: &str| match (&port, own) {
        (Some(port), _) => text.replace(PORT_PLACEHOLDER, port),
        (None, Some(own)) => own.told(text),
        (None, None) => text.to_owned(),
    };
    let is_tool = matches!(config.link, Link::Tool { .. });
    let mut words = config.command.iter();
    let program = words.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command
        .args(words.map(|word| told(word)))
        .current_dir(&config.cwd)
        .env_clear()
        // The home of an image's user is known to nobody but the engine, which told this process.
        .envs(std::env::var_os("HOME").filter(|_| is_tool).map(|home| ("HOME", home)))
        .envs(port.as_ref().map(|port| ("PORT", port)))
        .envs(config.env.iter().map(|(name, value)| (name, told(value))))
        .envs(config.secrets.iter().map(|(name, secret)| (name, secret.expose())))
        .envs(own.iter().flat_map(|own| &own.values).map(|(name, secret)| (name, secret.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    let tracked = reaper::Own::new(child.id());
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(io::Error::other("the process has no pipes"));
    };
    Ok(Spawned { process: Process { child, group, _own: tracked }, stdin, stdout, stderr })
}

impl Process {
    /// Waits for it to end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it, whose standard input is closed already: waits, asks, kills.
    pub(crate) async fn stop(&mut self) -> io::Result<ExitStatus> {
        if let Ok(status) = tokio::time::timeout(AFTER_CLOSE, self.child.wait()).await {
            return status;
        }
        self.signal(Signal::TERM);
        if let Ok(status) = tokio::time::timeout(AFTER_TERM, self.child.wait()).await {
            return status;
        }
        self.signal(Signal::KILL);
        self.child.wait().await
    }

    /// Asks it to end, as the host does when it shuts down.
    pub(crate) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks the process alone, and none of those that it started: how those end is its own business.
    pub(crate) fn ask_with(&self, signal: Signal) {
        if let Some(process) = self.group {
            // The one possible error is that nobody is left, which is what was wanted.
            let _ = rustix::process::kill_process(process, signal);
        }
    }

    /// Ends at once whatever is left of its process group. Of an empty group the kernel says so; the number of one that
    /// has just become empty is not given out again before all others were.
    pub(crate) fn kill_group(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // The one possible error is that nobody is left, which is what was wanted.
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

/// How a process ended, for people: `ended with exit code 3`. The sandbox helper, like a shell, ends with 128 and the
/// number of the signal that ended the server.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code @ 129..=192), _) => {
            format!("ended with exit code {code}, as after signal {}", signal_words(code - 128))
        }
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {}", signal_words(signal)),
        (None, None) => "ended".to_owned(),
    }
}

fn signal_words(signal: i32) -> String {
    let name = match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        31 => " (SIGSYS)",
        _ => "",
    };
    format!("{signal}{name}")
}
