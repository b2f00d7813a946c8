//! What `berth server`, `berth dtma` and `berth shim` have in common: where they listen, when they stop, and how they
//! log.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd};

use dtma::OwnLog;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt as _;

use crate::args::ChildArgs;
use crate::error::CliError;
use crate::supervisor;

/// What is logged, such as `debug` or `info,gateway=debug`; default `info`.
const LOG_VARIABLE: &str = "BERTH_LOG";

/// The second listening socket of a process: the one that the supervisor handed over as standard output, which these
/// processes print nothing to, or a new one.
pub(crate) fn second_listener(
    child: &ChildArgs,
    address: SocketAddr,
    flag: &str,
) -> Result<tokio::net::TcpListener, CliError> {
    let listener = if child.listen_stdout {
        handed(std::io::stdout().as_fd(), "`--listen-stdout`", "standard output")?
    } else {
        supervisor::bind(address, flag)?
    };
    to_tokio(listener, address)
}

/// The listening socket: the one that the supervisor or a service manager handed over, or a new one.
pub(crate) fn listener(
    child: &ChildArgs,
    address: SocketAddr,
    flag: &str,
) -> Result<tokio::net::TcpListener, CliError> {
    let listener = match activated()? {
        _ if child.listen_stdin => handed(std::io::stdin().as_fd(), "`--listen-stdin`", "standard input")?,
        Some(listener) => listener,
        None => supervisor::bind(address, flag)?,
    };
    to_tokio(listener, address)
}

/// A socket that was bound.
pub(crate) fn to_tokio(
    listener: TcpListener,
    address: SocketAddr,
) -> Result<tokio::net::TcpListener, CliError> {
    let cannot = |e| CliError::because(format!("cannot listen on {address}"), e);
    listener.set_nonblocking(true).map_err(cannot)?;
    tokio::net::TcpListener::from_std(listener).map_err(cannot)
}

fn handed(stream: BorrowedFd<'_>, flag: &str, name: &str) -> Result<TcpListener, CliError> {
    let not_one = || CliError::usage(format!("{flag} is for `berth up`: {name} is no listening socket"));
    let handed = stream.try_clone_to_owned().map_err(|_| not_one())?;
    match rustix::net::sockopt::socket_acceptconn(&handed) {
        Ok(true) => Ok(TcpListener::from(handed)),
        Ok(false) | Err(_) => Err(not_one()),
    }
}

/// The one listening socket that a service manager handed over; it stays the manager's too, so that no connection is
/// refused while this process is started again.
fn activated() -> Result<Option<TcpListener>, CliError> {
    let mut handed = runtime::activation::take()
        .map_err(|e| CliError::because("cannot take the listening socket of the service manager", e))?;
    let Some((name, socket)) = handed.pop() else { return Ok(None) };
    let listens = rustix::net::sockopt::socket_acceptconn(&socket) == Ok(true);
    let listener = TcpListener::from(socket);
    if listens && handed.is_empty() && listener.local_addr().is_ok() {
        return Ok(Some(listener));
    }
    Err(CliError::usage(format!(
        "what the service manager handed over (`{name}`) is not one listening TCP socket"
    ))
    .with_hint("give the socket unit one `ListenStream=ADDRESS:PORT`"))
}

/// Ends this process when its parent ends, even when that is killed.
pub(crate) fn end_with_parent(child: &ChildArgs) -> Result<(), CliError> {
    let Some(expected) = child.parent_pid else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| CliError::because("cannot watch the parent process", e))?;
    // The parent may have ended before the line above.
    if getppid() == Pid::from_raw(expected) {
        Ok(())
    } else {
        Err(CliError::failed("the process that started this one has ended"))
    }
}

/// Cancelled by SIGTERM or SIGINT.
pub(crate) fn stop_on_signals() -> Result<CancellationToken, CliError> {
    let cannot = |e| CliError::because("cannot watch for signals", e);
    let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// An address that listens on every interface is reached on the loopback one.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Lets this process open as many files as its host lets it: each tunnel and each client is one, and most hosts give a process
/// 1024 until it asks for more. What it cannot have it does without.
pub(crate) fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "the number of open files stays as it was");
    }
}

/// Logs to standard error, one line per event.
pub(crate) fn log() -> Result<(), CliError> {
    tracing_subscriber::fmt().with_env_filter(filter()?).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}

/// The same, and into a log that this process keeps.
pub(crate) fn log_into(kept: OwnLog) -> Result<(), CliError> {
    let both = std::io::stderr.and(move || kept.clone());
    tracing_subscriber::fmt().with_env_filter(filter()?).with_writer(both).with_ansi(false).init();
    Ok(())
}

fn filter() -> Result<EnvFilter, CliError> {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = if wanted.is_empty() { Ok(EnvFilter::new("info")) } else { EnvFilter::try_new(&wanted) };
    filter.map_err(|e| CliError::usage(format!("{LOG_VARIABLE}: {e}")))
}
