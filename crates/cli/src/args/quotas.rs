//! What can be typed about how much an account may have.

use std::ffi::OsString;

use clap::Args;
use control::Quotas;

/// Quotas of each account.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// How many instances an account may have; default: no limit
    #[arg(long, value_name = "N")]
    pub(crate) max_instances: Option<u64>,
    /// How much memory the instances of an account may use together, in MiB; default: no limit
    #[arg(long, value_name = "MIB")]
    pub(crate) max_memory_mib: Option<u64>,
}

impl QuotaArgs {
    /// Both.
    pub(crate) fn quotas(&self) -> Quotas {
        Quotas { instances: self.max_instances, memory_mib: self.max_memory_mib }
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = OsString> {
        let given = [("--max-instances", self.max_instances), ("--max-memory-mib", self.max_memory_mib)];
        given.into_iter().filter_map(|(name, number)| Some(format!("{name}={}", number?).into()))
    }
}
