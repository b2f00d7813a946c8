//! What can be typed about how often MCP servers may be called.

use std::ffi::OsString;

use clap::Args;
use control::Rates;
use domain::rate::Rate;

/// Limits of calls.
#[derive(Debug, Args)]
pub(crate) struct RateArgs {
    /// How often MCP servers may be called with each API token, such as `600/m`; default: no limit
    #[arg(id = "rate_token", long = "rate-token", value_name = "RATE")]
    pub(crate) token: Option<Rate>,
    /// The same with all tokens of each account together
    #[arg(id = "rate_account", long = "rate-account", value_name = "RATE")]
    pub(crate) account: Option<Rate>,
    /// How often each instance may be called, whoever calls
    #[arg(id = "rate_instance", long = "rate-instance", value_name = "RATE")]
    pub(crate) instance: Option<Rate>,
}

impl RateArgs {
    /// All of them.
    pub(crate) fn rates(&self) -> Rates {
        Rates { token: self.token, account: self.account, instance: self.instance }
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let given = [
            ("--rate-token", self.token),
            ("--rate-account", self.account),
            ("--rate-instance", self.instance),
        ];
        given.into_iter().filter_map(|(name, rate)| Some(format!("{name}={}", rate?).into()))
    }
}
