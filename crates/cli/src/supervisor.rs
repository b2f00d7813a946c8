//! Keeps Berth's own processes alive: starts them with their listening socket as standard input, starts them again
//! when they end, keeps their logs, and reaps what they leave behind.
//!
//! The sockets belong to the supervisor, so while a process is started again its connections queue instead of being
//! refused. It decides nothing about instances; those are the DTMA's.

mod child_log;

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use domain::backoff::Backoff;
use domain::secret::Secret;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, set_child_subreaper, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::child_log::ChildLog;
use crate::error::{CliError, io_failure};
use crate::output::Output;
use crate::settings::{
    DATABASE_VARIABLE, DROPLET_VARIABLES, MASTER_KEY_VARIABLE, PIN_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE,
    WEBHOOKS_VARIABLE,
};

/// One process to keep alive.
#[derive(Debug)]
pub(crate) struct Worker {
    /// What it is called in logs and on the terminal.
    pub(crate) name: &'static str,
    /// Its arguments, the subcommand first.
    pub(crate) arguments: Vec<OsString>,
    /// What it is told in its environment, because arguments can be read by everybody.
    pub(crate) environment: Vec<(&'static str, Secret)>,
    /// Becomes its standard input. Closed when the worker has ended for good: a connection that nobody will ever
    /// accept would keep the other side waiting.
    pub(crate) listener: Option<TcpListener>,
    /// Becomes its standard output, in the same way; not every worker has one.
    pub(crate) second_listener: Option<TcpListener>,
    /// Where its standard error goes.
    pub(crate) log: PathBuf,
}

impl Worker {
    fn close(&mut self) {
        self.listener = None;
        self.second_listener = None;
    }
}

/// The workers by name, with their process ids; without one while it waits for its next start. A worker that has
/// ended for good is absent.
pub(crate) type Pids = HashMap<&'static str, Option<Pid>>;

/// The handle of a running supervisor.
#[derive(Debug)]
pub(crate) struct Supervisor {
    orders: mpsc::Sender<Order>,
    pids: watch::Receiver<Pids>,
}

#[derive(Debug)]
enum Order {
    /// Do not start this one again once it has ended well.
    LetEnd(&'static str),
    /// Send this to it and do not start it again, however it ends.
    End(&'static str, Signal),
}

impl Supervisor {
    /// Starts every worker and goes on in the background. Fails when one cannot be started at all.
    pub(crate) fn start(workers: Vec<Worker>, output: Output) -> Result<Self, CliError> {
        // Shims outlive a DTMA; they come to this process instead of the machine's init.
        set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|e| CliError::because("cannot become the parent of what the DTMA leaves behind", e))?;
        let ended = signal(SignalKind::child())
            .map_err(|e| CliError::because("cannot watch for processes that end", e))?;
        let program =
            std::env::current_exe().map_err(|e| CliError::because("cannot tell which program this is", e))?;
        let mut running = Vec::new();
        for worker in workers {
            running.push(Kept::start(worker, &program, output)?);
        }
        let (orders, inbox) = mpsc::channel(8);
        let (told, pids) = watch::channel(pids_of(&running));
        tokio::spawn(keep(running, program, output, ended, inbox, told));
        Ok(Self { orders, pids })
    }

    /// The process ids of now.
    pub(crate) fn pids(&self) -> Pids {
        self.pids.borrow().clone()
    }

    /// From now on `name` is not started again when it ends well; after a crash it still is.
    pub(crate) async fn let_end(&self, name: &'static str) {
        let _ = self.orders.send(Order::LetEnd(name)).await;
    }

    /// Sends `name` a signal, and does not start it again however it ends.
    pub(crate) async fn end(&self, name: &'static str, signal: Signal) {
        let _ = self.orders.send(Order::End(name, signal)).await;
    }

    /// Waits until `name` has ended and is not to be started again; `false` when that takes longer.
    pub(crate) async fn ended(&mut self, name: &'static str, longest: Duration) -> bool {
        let gone = self.pids.wait_for(|pids| !pids.contains_key(name));
        tokio::time::timeout(longest, gone).await.is_ok()
    }
}

/// One worker and what became of it.
#[derive(Debug)]
struct Kept {
    worker: Worker,
    log: ChildLog,
    pid: Option<Pid>,
    started: Instant,
    failures: u32,
    /// When it is started again.
    due: Option<Instant>,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Started again, however it ends.
    No,
    /// Started again unless it ends well.
    WhenWell,
    /// Not started again.
    Yes,
}

impl Kept {
    fn start(worker: Worker, program: &std::path::Path, output: Output) -> Result<Self, CliError> {
        let log = ChildLog::open(&worker.log).map_err(|e| io_failure("write", &worker.log, e))?;
        let mut kept = Self {
            worker,
            log,
            pid: None,
            started: Instant::now(),
            failures: 0,
            due: None,
            ending: Ending::No,
        };
        kept.spawn(program, output)
            .map_err(|e| CliError::because(format!("cannot start `berth {}`", kept.worker.name), e))?;
        Ok(kept)
    }

    fn spawn(&mut self, program: &std::path::Path, output: Output) -> std::io::Result<()> {
        let Some(listener) = &self.worker.listener else { return Ok(()) };
        let listener = OwnedFd::from(listener.try_clone()?);
        let second = self.worker.second_listener.as_ref().map(TcpListener::try_clone).transpose()?;
        let mut child = Command::new(program)
            .args(&self.worker.arguments)
            // What the client commands are told is nothing to these processes, and a secret is best not there.
            .env_remove(URL_VARIABLE)
            .env_remove(TOKEN_VARIABLE)
            .env_remove(PIN_VARIABLE)
            .env_remove(DATABASE_VARIABLE)
            .env_remove(WEBHOOKS_VARIABLE)
            .env_remove(MASTER_KEY_VARIABLE)
            .env_remove(DROPLET_VARIABLES[0])
            .env_remove(DROPLET_VARIABLES[1])
            .envs(self.worker.environment.iter().map(|(name, value)| (name, value.expose())))
            .arg("--listen-stdin")
            .args(second.is_some().then_some("--listen-stdout"))
            .arg("--parent-pid")
            .arg(rustix::process::getpid().as_raw_nonzero().to_string())
            .stdin(Stdio::from(listener))
            .stdout(second.map_or_else(Stdio::null, |second| Stdio::from(OwnedFd::from(second))))
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for the supervisor alone, which then ends the others in order.
            .process_group(0)
            .spawn()?;
        if let Some(stderr) = child.stderr.take() {
            self.log.copy_from(OwnedFd::from(stderr), self.worker.name, output)?;
        }
        self.pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        self.started = Instant::now();
        self.due = None;
        Ok(())
    }

    /// Decides when it starts again.
    fn has_ended(&mut self, how: &str, well: bool, output: Output) {
        self.pid = None;
        if well && self.ending == Ending::WhenWell {
            self.ending = Ending::Yes;
        }
        if self.ending == Ending::Yes {
            self.worker.close();
            return;
        }
        self.failures = Backoff::OWN.failures_after(self.failures, self.started.elapsed());
        let wait = Backoff::OWN.wait(self.failures);
        self.due = Some(Instant::now() + wait);
        output.warn(&format!(
            "{} ended ({how}); starting it again in {} ms; its log: {}",
            self.worker.name,
            wait.as_millis(),
            self.worker.log.display()
        ));
    }
}

async fn keep(
    mut running: Vec<Kept>,
    program: PathBuf,
    output: Output,
    mut ended: tokio::signal::unix::Signal,
    mut inbox: mpsc::Receiver<Order>,
    told: watch::Sender<Pids>,
) {
    loop {
        let due = running.iter().filter_map(|kept| kept.due).min();
        let next_start = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = ended.recv() => {}
            () = next_start => {}
            order = inbox.recv() => match order {
                Some(order) => obey(&order, &mut running),
                None => return,
            },
        }
        // Signals of one kind are merged, so after every wake-up all that have ended are collected. This process
        // has no children but the workers and the orphans that came to it.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(kept) = running.iter_mut().find(|kept| kept.pid == Some(pid)) {
                kept.has_ended(&how(status), status.exit_status() == Some(0), output);
            }
        }
        for kept in &mut running {
            if kept.due.is_some_and(|due| due <= Instant::now())
                && let Err(error) = kept.spawn(&program, output)
            {
                kept.has_ended(&format!("it could not be started: {error}"), false, output);
            }
        }
        told.send_replace(pids_of(&running));
    }
}

fn obey(order: &Order, running: &mut [Kept]) {
    for kept in running {
        match *order {
            Order::LetEnd(name) if name == kept.worker.name => {
                kept.ending = Ending::WhenWell;
            }
            Order::End(name, signal) if name == kept.worker.name => {
                kept.ending = Ending::Yes;
                kept.due = None;
                match kept.pid {
                    // It may have ended in this moment; then there is nothing to do.
                    Some(pid) => drop(kill_process(pid, signal)),
                    None => kept.worker.close(),
                }
            }
            _ => {}
        }
    }
}

fn pids_of(running: &[Kept]) -> Pids {
    let lives = |kept: &&Kept| kept.pid.is_some() || kept.ending != Ending::Yes;
    running.iter().filter(lives).map(|kept| (kept.worker.name, kept.pid)).collect()
}

fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown cause".to_owned(),
    }
}

/// Binds an address; says which flag changes it when it is taken.
pub(crate) fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, CliError> {
    let listener = TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            CliError::failed(format!("{flag}: {address} is in use")).with_hint(format!(
                "another `berth up` may hold it, or another program (`ss -ltnp 'sport = :{}'` shows which); \
                 choose another with `{flag} ADDR`, or a free one with `{flag} {}`",
                address.port(),
                SocketAddr::new(address.ip(), 0)
            ))
        }
        std::io::ErrorKind::AddrNotAvailable => {
            CliError::because(format!("{flag}: {} is no address of this machine", address.ip()), error)
        }
        std::io::ErrorKind::PermissionDenied => {
            CliError::because(format!("{flag}: {address} may not be used by this user"), error)
                .with_hint("ports below 1024 are for root; choose a higher one")
        }
        _ => CliError::because(format!("{flag}: cannot listen on {address}"), error),
    })?;
    listener
        .set_nonblocking(true)
        .map_err(|e| CliError::because(format!("{flag}: cannot listen on {address}"), e))?;
    Ok(listener)
}
