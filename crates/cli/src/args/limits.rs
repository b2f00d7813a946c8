//! What can be typed about what a server may use, and when it is stopped because nobody does.

use clap::Args;
use domain::spec::Limits;

/// Limits of an instance; those that are not given are the usual ones, or stay.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// Memory that the server may use, in MiB
    #[arg(long, value_name = "MIB")]
    memory_mib: Option<u64>,
    /// Cores that it may use, such as `0.5`, in a container; usually 2. A sandboxed process is not held to it
    #[arg(long, value_name = "CORES", value_parser = super::millicores)]
    cpus: Option<u64>,
    /// Processes and threads that the server may have
    #[arg(long, value_name = "N")]
    processes: Option<u64>,
    /// Open files that each of its processes may have
    #[arg(long, value_name = "N")]
    open_files: Option<u64>,
    /// Seconds until the server must have answered; usually 60
    #[arg(long, value_name = "SECONDS")]
    startup_seconds: Option<u64>,
}

impl LimitArgs {
    /// As the control plane is asked for them.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            memory_mib: self.memory_mib,
            cpu_millicores: self.cpus,
            processes: self.processes,
            open_files: self.open_files,
            startup_seconds: self.startup_seconds,
        }
    }
}

/// When a server sleeps; what is not given is the catalog's, or stays.
#[derive(Debug, Args)]
pub(crate) struct SleepArgs {
    /// Stop it when nobody has used it for so long, such as `15m`; the next call wakes it
    #[arg(long, value_name = "DURATION", value_parser = super::duration_seconds)]
    sleep: Option<u64>,
    /// It never sleeps, whatever the catalog says
    #[arg(long, conflicts_with = "sleep")]
    no_sleep: bool,
}

impl SleepArgs {
    /// As the control plane is asked for it: seconds, 0 for never.
    pub(crate) fn seconds(&self) -> Option<u64> {
        self.sleep.or(self.no_sleep.then_some(0))
    }
}
