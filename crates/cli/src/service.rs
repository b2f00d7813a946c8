//! The host agent as a service of systemd's: its units, its binaries, and putting one in the place of another.

use std::net::SocketAddr;

pub(crate) use dtma::checks::has_systemd;
use hop::tls::Pin;

mod programs;
mod switch;
mod systemctl;
mod units;

pub(crate) use self::programs::Programs;
pub(crate) use self::switch::{DEFAULT_LIMIT, check_version, switch, wait_until_it_serves};
pub(crate) use self::systemctl::systemctl;
pub(crate) use self::units::{Settings, Units};

/// Where a service is asked whether it serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// As this host reaches it.
    pub(crate) address: SocketAddr,
    /// Its key, where it serves TLS.
    pub(crate) pin: Option<Pin>,
}

/// The service.
pub(crate) const SERVICE: &str = "berth-dtma.service";
/// Its socket, which stays while the service is started again.
pub(crate) const SOCKET: &str = "berth-dtma.socket";
/// What shims run in, apart from the service.
pub(crate) const SLICE: &str = "berth.slice";
