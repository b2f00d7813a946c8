//! What can be typed about where instances run: `berth move`, `berth failover`, and the same of `berth deploy`.

use clap::Args;
use domain::lease::Failover;

/// `berth move`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  berth move clock --env frankfurt --wait
  berth move clock --env auto --env-label region=fra1")]
pub(crate) struct MoveArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Environment that it is to run in, or `auto` for another one, that with most room
    #[arg(long = "env", value_name = "ENVIRONMENT")]
    pub(crate) environment: String,
    /// A label that the environment of `--env auto` must have, such as `region=fra1`; may be repeated
    #[arg(long = "env-label", value_name = "KEY=VALUE", value_parser = super::setting)]
    pub(crate) environment_labels: Vec<(String, String)>,
    /// Wait until it runs there, showing each step
    #[arg(long)]
    pub(crate) wait: bool,
}

/// `berth failover`.
#[derive(Debug, Args)]
#[command(after_help = "Its server is restarted with the change.

Examples:
  berth failover clock
  berth failover clock --lease 60 --lost-after 120
  berth failover clock --off")]
pub(crate) struct FailoverArgs {
    /// Name of the instance
    pub(crate) name: String,
    /// Leave it where it is, whatever becomes of its host
    #[arg(long, conflicts_with_all = ["lease", "lost_after"])]
    pub(crate) off: bool,
    /// The times.
    #[command(flatten)]
    pub(crate) times: LeaseArgs,
}

/// The failover of `berth deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployFailoverArgs {
    /// Start it on another host when its own is not heard any more
    #[arg(long)]
    pub(crate) failover: bool,
    /// The times.
    #[command(flatten)]
    pub(crate) times: LeaseArgs,
}

/// How long what is waited for.
#[derive(Debug, Args)]
pub(crate) struct LeaseArgs {
    /// With failover: seconds that its host may run it without the control plane; default 60
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lease: Option<u64>,
    /// With failover: seconds that its host is silent before it is started on another one; default 90
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lost_after: Option<u64>,
}

impl LeaseArgs {
    /// What is said, and the default of the rest.
    pub(crate) fn failover(&self) -> Failover {
        let default = Failover::default();
        Failover {
            lease_seconds: self.lease.unwrap_or(default.lease_seconds),
            lost_after_seconds: self.lost_after.unwrap_or(default.lost_after_seconds),
        }
    }
}

impl DeployFailoverArgs {
    /// Either of the times asks for it too.
    pub(crate) fn failover(&self) -> Option<Failover> {
        let LeaseArgs { lease, lost_after } = self.times;
        (self.failover || lease.is_some() || lost_after.is_some()).then(|| self.times.failover())
    }
}
