//! What can be typed about the host agent itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use dtma::Proxy;

use super::{ChildArgs, DtmaCommand, HeartbeatArgs, PackagesChoice, RuntimeChoice};
use crate::settings::PROXY_VARIABLE;

/// `berth dtma`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags on a command line, each on its own")]
pub(crate) struct DtmaArgs {
    /// Something else than running it.
    #[command(subcommand)]
    pub(crate) command: Option<DtmaCommand>,
    /// Address of the host agent; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:30000")]
    pub(crate) listen: SocketAddr,
    /// Serve TLS there, with a key of this host's own, which `berth dtma pin` prints
    #[arg(long, conflicts_with = "insecure_http")]
    pub(crate) tls: bool,
    /// Let the host agent be reached from other machines without encryption: whoever is between reads its token
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Address of the control plane that it reports to; default: the one it was enrolled with, else it works alone
    #[arg(long, value_name = "URL")]
    pub(crate) control_url: Option<String>,
    /// Open the connection over which the control plane reaches this host: it needs no port that others can dial
    #[arg(long)]
    pub(crate) tunnel: bool,
    /// Proxy through which the control plane, npm and PyPI are reached; default: the one that this host was enrolled with
    #[arg(long, value_name = "URL", env = PROXY_VARIABLE, hide_env_values = true)]
    pub(crate) proxy: Option<Proxy>,
    /// File with the key that older backends share among all hosts: it opens the older paths beside the token, for as
    /// long as you migrate
    #[arg(long, value_name = "FILE", conflicts_with = "backend_key_from_env")]
    pub(crate) backend_key_file: Option<PathBuf>,
    /// The same key from the environment variable `BACKEND_TO_DTMA_API_KEY`, which is ignored without this
    #[arg(long)]
    pub(crate) backend_key_from_env: bool,
    /// Whom names of instances are asked of, instead of this host's resolvers
    #[arg(long, hide = true, env = "BERTH_NAMESERVER", value_delimiter = ',')]
    pub(crate) nameserver: Vec<SocketAddr>,
    /// What runs the servers
    #[arg(long, value_enum, default_value_t = RuntimeChoice::Auto)]
    pub(crate) runtime: RuntimeChoice,
    /// Where packages of npm and PyPI and container images come from
    #[arg(long, value_enum, default_value_t = PackagesChoice::Direct)]
    pub(crate) packages: PackagesChoice,
    /// How full the disk may become before what no instance needs is removed; 0 removes nothing
    #[arg(long, value_name = "PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u8).range(..=100))]
    pub(crate) cleanup_at: u8,
    /// It is a service of systemd's: what must outlive it gets scopes of its own
    #[arg(long, hide = true)]
    pub(crate) service: bool,
    /// How often it reports.
    #[command(flatten)]
    pub(crate) heartbeat: HeartbeatArgs,
    /// How the supervisor started it.
    #[command(flatten)]
    pub(crate) child: ChildArgs,
}
