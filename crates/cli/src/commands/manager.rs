//! What a service manager is told: that this process serves, that it still turns, that it ends. sd_notify(3) in the few
//! lines that it takes; without a manager nothing is told.

use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::error::CliError;

/// The way to the service manager.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<UnixDatagram>,
    /// How long it waits for a sign of life before it ends this process.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that `NOTIFY_SOCKET` names, or none.
    pub(crate) fn of_environment() -> Result<Self, CliError> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let name = variable("NOTIFY_SOCKET");
        let connected = || {
            let address = match name.strip_prefix('@') {
                Some(name) => UnixAddress::from_abstract_name(name)?,
                None => UnixAddress::from_pathname(&name)?,
            };
            let socket = UnixDatagram::unbound()?;
            // A manager that does not read must not stop the service.
            socket.set_nonblocking(true)?;
            socket.connect_addr(&address)?;
            Ok(socket)
        };
        let socket = if name.is_empty() { None } else { Some(connected()) }
            .transpose()
            .map_err(|e: std::io::Error| CliError::because("cannot reach the service manager", e))?;
        let pid = variable("WATCHDOG_PID");
        let is_for_us = pid.is_empty() || pid.parse() == Ok(std::process::id());
        let watchdog = variable("WATCHDOG_USEC").parse().ok().filter(|&us| is_for_us && us != 0);
        Ok(Self { socket, watchdog: watchdog.map(Duration::from_micros) })
    }

    /// Tells it, from now on: when `serves` is told, again and again while this process turns, and when `stop` is asked.
    pub(crate) fn keep_told(self, serves: Arc<Notify>, address: SocketAddr, stop: CancellationToken) {
        if self.socket.is_none() {
            return;
        }
        tokio::spawn(async move {
            serves.notified().await;
            self.tell(&format!("READY=1\nSTATUS=serving on {address}"));
            // The process has one thread: one that hangs sends nothing.
            let alive = async {
                let Some(limit) = self.watchdog else { return std::future::pending().await };
                let mut turns = tokio::time::interval(limit / 3);
                loop {
                    turns.tick().await;
                    self.tell("WATCHDOG=1");
                }
            };
            tokio::select! {
                () = stop.cancelled() => {
                    self.tell("STOPPING=1\nSTATUS=finishing the calls under way");
                }
                () = alive => {}
            }
        });
    }

    fn tell(&self, text: &str) {
        if let Some(Err(error)) = self.socket.as_ref().map(|socket| socket.send(text.as_bytes())) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}
