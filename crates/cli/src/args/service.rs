//! What makes the host agent a service of its host.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use domain::ids::UpgradeId;

use super::{PackagesChoice, RuntimeChoice};

/// `berth dtma install`. The data directory is `--data`, by default `/var/lib/berth`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags on a command line, each on its own")]
pub(crate) struct InstallArgs {
    /// Address of the host agent
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:30000")]
    pub(crate) listen: SocketAddr,
    /// Serve TLS there, with a key of this host's own, which `berth dtma pin` prints
    #[arg(long, conflicts_with = "insecure_http")]
    pub(crate) tls: bool,
    /// Let the host agent be reached from other machines without encryption: whoever is between reads its token
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Address of the control plane that it reports to; without it the DTMA works alone
    #[arg(long, value_name = "URL")]
    pub(crate) control_url: Option<String>,
    /// Open the connection over which the control plane reaches this host: it needs no port that others can dial
    #[arg(long)]
    pub(crate) tunnel: bool,
    /// What runs the servers
    #[arg(long, value_enum, default_value_t = RuntimeChoice::Auto)]
    pub(crate) runtime: RuntimeChoice,
    /// Where packages of npm and PyPI and container images come from
    #[arg(long, value_enum, default_value_t = PackagesChoice::Direct)]
    pub(crate) packages: PackagesChoice,
    /// How full the disk may become before what no instance needs is removed; 0 removes nothing
    #[arg(long, value_name = "PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u8).range(..=100))]
    pub(crate) cleanup_at: u8,
    /// Write into the file system of another host, such as an image that is being made; nothing is started
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Print the units and do nothing
    #[arg(long)]
    pub(crate) print: bool,
}

/// `berth dtma upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// The new binary
    pub(crate) file: PathBuf,
    /// Seconds that it has to serve; then the one before is brought back
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) within: u64,
    /// File to leave what became of it in, for the host agent that asked
    #[arg(long, hide = true, value_name = "FILE", requires = "attempt")]
    pub(crate) outcome: Option<PathBuf>,
    /// Whose attempt it is
    #[arg(long, hide = true, value_name = "ID")]
    pub(crate) attempt: Option<UpgradeId>,
}
