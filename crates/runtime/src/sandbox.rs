//! The sandbox: `berth __sandbox <policy> -- program args…` becomes the program with nothing but what the policy
//! names. Called first thing in `main`, before any thread and any async runtime.
//!
//! Three processes. The *outer* helper makes the namespaces and dies with its parent, the shim. *Init* is the
//! first process of the new process tree: it builds the root, reaps, passes signals on, and its death kills the
//! whole tree. The *server* gives up everything else and becomes the program. The two helpers are the same
//! pages as the binary that they came from, so they cost little.
//!
//! What the policy says is enforced is enforced, or the program is not started: nothing is tried and let pass.

mod confine;
mod filter;
pub mod policy;
pub mod probe;
mod root;
mod sys;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use rustix::thread::{CapabilitySet, UnshareFlags};

use self::policy::Policy;
use self::sys::Fork;

/// The helper could not do what the policy asks; the program was not started.
const EXIT_SANDBOX: i32 = 125;
/// The program could not be executed.
const EXIT_EXEC: i32 = 126;

/// Runs the helper with what follows `__sandbox` on the command line and never returns. It exits as the program
/// does, 128 and the number for a signal, 125 when the sandbox could not be made, 126 when the program could not
/// be executed.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ! {
    let mut args = args.into_iter();
    let first = args.next().unwrap_or_default();
    let code = if first == probe::FLAG {
        probe::answer()
    } else {
        match sandboxed(&first, args) {
            Ok(code) => code,
            Err(failure) => {
                report(&failure);
                EXIT_SANDBOX
            }
        }
    };
    std::process::exit(code)
}

/// Whether there is a system call filter for this kind of processor.
pub fn has_filter() -> bool {
    filter::is_known()
}

/// Puts the system call filter on this process and all that it starts, for good. The process must not be able to gain
/// privileges.
///
/// # Errors
/// When the kernel refuses.
pub fn restrict_calls() -> io::Result<()> {
    filter::install()
}

/// What could not be done, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub(crate) struct Failure {
    step: String,
    #[source]
    source: io::Error,
}

impl Failure {
    fn new(step: impl Into<String>, source: io::Error) -> Self {
        Self { step: step.into(), source }
    }

    /// For `map_err`.
    fn of<E: Into<io::Error>>(step: &str) -> impl FnOnce(E) -> Self + use<'_, E> {
        move |source| Self::new(step, source.into())
    }
}

/// The helper has no log: its standard error is the server's.
fn report(failure: &Failure) {
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(io::stderr(), "berth sandbox: {failure}: {}", failure.source);
}

fn sandboxed(policy: &OsString, mut args: impl Iterator<Item = OsString>) -> Result<i32, Failure> {
    let usage = || Failure::new("read the command line", io::ErrorKind::InvalidInput.into());
    let policy = policy.to_str().ok_or_else(usage)?;
    let policy: Policy =
        serde_json::from_str(policy).map_err(|e| Failure::new("read the policy", e.into()))?;
    if args.next().is_none_or(|separator| separator != "--") {
        return Err(usage());
    }
    let program: Vec<OsString> = args.collect();
    if program.is_empty() {
        return Err(usage());
    }

    let parent = rustix::process::getppid();
    sys::close_inherited().map_err(Failure::of("close inherited files"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    make_namespaces(&policy)?;
    // After the namespaces, which may clear it.
    die_with(parent)?;

    let (alive, alive_writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(Failure::of("make a pipe between the helpers"))?;
    let signals = sys::signal_descriptor(FORWARDED).map_err(Failure::of("receive signals"))?;
    // Opened while there is one: entering the new root takes the outer helper along, long before it has devices.
    let null =
        File::options().read(true).write(true).open("/dev/null").map_err(Failure::of("open /dev/null"))?;
    match sys::fork().map_err(Failure::of("start the inner helper"))? {
        Fork::Child => {
            drop((alive_writer, signals));
            init(&policy, &program, &alive, &null)
        }
        Fork::Parent(init) => {
            drop(alive);
            let code = outer(init, &signals, &null);
            drop(alive_writer);
            code
        }
    }
}

const FORWARDED: &[libc::c_int] = &[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// Asks the kernel to kill this process when its parent dies, and makes sure that it has not died before.
fn die_with(parent: Option<Pid>) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Failure::of("tie the helper to its parent"))?;
    let orphaned = rustix::process::getppid() != parent || is_broken(io::stderr()) || is_broken(io::stdout());
    if orphaned {
        return Err(Failure::new("go on: the parent has ended", io::ErrorKind::BrokenPipe.into()));
    }
    Ok(())
}

/// A pipe that nobody reads any more.
fn is_broken(stream: impl std::os::fd::AsFd) -> bool {
    let mut fds = [PollFd::new(&stream, PollFlags::empty())];
    let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&at_once)).is_ok_and(|_| fds[0].revents().contains(PollFlags::ERR))
}

fn make_namespaces(policy: &Policy) -> Result<(), Failure> {
    let enforce = &policy.enforce;
    let mut flags = UnshareFlags::empty();
    flags.set(UnshareFlags::NEWUSER, enforce.user_namespace);
    flags.set(UnshareFlags::NEWNS, enforce.mount_namespace);
    flags.set(UnshareFlags::NEWIPC, enforce.mount_namespace);
    flags.set(UnshareFlags::NEWUTS, enforce.mount_namespace);
    flags.set(UnshareFlags::NEWPID, enforce.pid_namespace);
    flags.set(UnshareFlags::NEWNET, policy.no_network);
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    if !flags.is_empty() {
        sys::unshare(flags).map_err(Failure::of("make namespaces"))?;
    }
    if enforce.user_namespace {
        // The user keeps its number: a server that is told it is root behaves as if it were.
        let write = |name: &str, content: String| {
            std::fs::write(format!("/proc/self/{name}"), content)
                .map_err(Failure::of(&format!("write {name}")))
        };
        write("setgroups", "deny".to_owned())?;
        write("uid_map", format!("{uid} {uid} 1"))?;
        write("gid_map", format!("{gid} {gid} 1"))?;
    }
    if policy.no_network {
        sys::raise_loopback().map_err(Failure::of("take its loopback interface up"))?;
    }
    Ok(())
}

/// Waits for init and passes signals on to it.
fn outer(init: Pid, signals: &OwnedFd, null: &File) -> Result<i32, Failure> {
    release_standard_streams(null)?;
    loop {
        wait_for(signals, None)?;
        for signal in arrived(signals)? {
            if signal != libc::SIGCHLD
                && let Some(signal) = Signal::from_named_raw(signal)
            {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(init, signal);
            }
        }
        if let Some((_, status)) = wait(Some(init), WaitOptions::NOHANG)? {
            return Ok(exit_code(status));
        }
    }
}

/// The first process of the new tree (or, where the kernel grants no tree, the one that orphans come back to).
fn init(policy: &Policy, program: &[OsString], alive: &OwnedFd, null: &File) -> Result<i32, Failure> {
    // Its parent's death is seen on the pipe, too: the kernel's signal alone would miss one that came before.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Failure::of("tie the inner helper to the outer"))?;
    // Out of the group that the shim signals: signals come from the outer helper, once.
    rustix::process::setsid().map_err(Failure::of("start a session"))?;
    // Nobody inside, of the same user or not, may look into this process.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(Failure::of("close the inner helper to others"))?;
    if !policy.enforce.pid_namespace {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(Failure::of("adopt orphans"))?;
    }
    if policy.enforce.mount_namespace {
        root::enter(policy)?;
    }
    let signals = sys::signal_descriptor(FORWARDED).map_err(Failure::of("receive signals"))?;
    match sys::fork().map_err(Failure::of("start the server"))? {
        Fork::Child => become_server(policy, program),
        Fork::Parent(server) => {
            release_standard_streams(null)?;
            // A server with a user of its own could not be signalled without this one.
            confine::drop_capabilities(CapabilitySet::KILL)?;
            rustix::thread::set_no_new_privs(true).map_err(Failure::of("set no_new_privs"))?;
            let code = tend(server, &signals, alive)?;
            if !policy.enforce.pid_namespace {
                kill_all(server)?;
            }
            Ok(code)
        }
    }
}

/// Reaps, and passes signals on, until the server ends or the outer helper is gone.
fn tend(server: Pid, signals: &OwnedFd, alive: &OwnedFd) -> Result<i32, Failure> {
    loop {
        let orphaned = wait_for(signals, Some(alive))?;
        if orphaned {
            return Ok(EXIT_SANDBOX);
        }
        for signal in arrived(signals)? {
            if signal != libc::SIGCHLD
                && let Some(signal) = Signal::from_named_raw(signal)
            {
                // The server's group as a whole; it may have ended meanwhile.
                match rustix::process::kill_process_group(server, signal) {
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => report(&Failure::new("pass a signal on to the server", error.into())),
                }
            }
        }
        while let Some((pid, status)) = wait(None, WaitOptions::NOHANG)? {
            if pid == server {
                return Ok(exit_code(status));
            }
        }
    }
}

/// Where the kernel grants no process tree: kills the server's group and every orphan that came back.
fn kill_all(server: Pid) -> Result<(), Failure> {
    let _ = rustix::process::kill_process_group(server, Signal::KILL);
    let own = rustix::process::getpid().as_raw_nonzero();
    loop {
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
        for pid in children.filter_map(Pid::from_raw) {
            // A child of ours stays a child until we reap it: its number cannot be another's.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        if wait(None, WaitOptions::empty())?.is_none() {
            return Ok(());
        }
    }
}

fn become_server(policy: &Policy, program: &[OsString]) -> Result<i32, Failure> {
    rustix::process::chdir(&policy.cwd).map_err(Failure::of(&format!("enter {}", policy.cwd.display())))?;
    confine::confine(policy)?;
    let Some((name, args)) = program.split_first() else {
        return Ok(EXIT_EXEC);
    };
    // Resets the signals that this process blocked; returns only when it failed.
    let error = Command::new(name).args(args).exec();
    report(&Failure::new(format!("execute {}", name.display()), error));
    Ok(EXIT_EXEC)
}

/// The server's standard streams are the server's: a helper that held them open would hide that it closed them.
/// Standard error stays, for the helpers' own last words.
fn release_standard_streams(null: &File) -> Result<(), Failure> {
    rustix::stdio::dup2_stdin(null).map_err(Failure::of("let go of standard input"))?;
    rustix::stdio::dup2_stdout(null).map_err(Failure::of("let go of standard output"))
}

/// Waits for a signal; whether the pipe to the outer helper broke instead.
fn wait_for(signals: &OwnedFd, alive: Option<&OwnedFd>) -> Result<bool, Failure> {
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    fds.extend(alive.map(|alive| PollFd::new(alive, PollFlags::IN)));
    match rustix::event::poll(&mut fds, None) {
        Ok(_) => Ok(fds.get(1).is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(Failure::new("wait for signals", error.into())),
    }
}

/// The numbers of the signals that arrived (`struct signalfd_siginfo` begins with it and has 128 bytes).
fn arrived(signals: &OwnedFd) -> Result<Vec<libc::c_int>, Failure> {
    let mut buffer = [0_u8; 128 * 8];
    match rustix::io::read(signals.as_fd(), &mut buffer) {
        Ok(length) => Ok(buffer[..length]
            .chunks_exact(128)
            .map(|info| libc::c_int::from_ne_bytes([info[0], info[1], info[2], info[3]]))
            .collect()),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Vec::new()),
        Err(error) => Err(Failure::new("read signals", error.into())),
    }
}

/// Reaps a child: `None` when none has ended, or none is left.
fn wait(child: Option<Pid>, options: WaitOptions) -> Result<Option<(Pid, WaitStatus)>, Failure> {
    loop {
        let reaped = match child {
            Some(child) => rustix::process::waitpid(Some(child), options),
            // Not `waitpid(None)`, which waits for the own process group only.
            None => rustix::process::wait(options),
        };
        match reaped {
            Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            result => return result.map_err(Failure::of("wait for a child")),
        }
    }
}

fn exit_code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(EXIT_SANDBOX)
}
