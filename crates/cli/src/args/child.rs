//! What processes of Berth's own tell each other on the command line.

use std::time::Duration;

use api::dtma::HEARTBEAT_PERIOD;
use clap::Args;

/// How often host agents report: both sides must be told the same.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HeartbeatArgs {
    /// Milliseconds between two heartbeats; for tests
    #[arg(long, hide = true, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(crate) heartbeat_ms: Option<u64>,
}

impl HeartbeatArgs {
    /// The longest time between two heartbeats.
    pub(crate) fn period(self) -> Duration {
        self.heartbeat_ms.map_or(HEARTBEAT_PERIOD, Duration::from_millis)
    }
}

/// What `berth up` tells the processes that it starts.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChildArgs {
    /// Standard input is the listening socket
    #[arg(long, hide = true)]
    pub(crate) listen_stdin: bool,
    /// Standard output is a second listening socket
    #[arg(long, hide = true)]
    pub(crate) listen_stdout: bool,
    /// End when this process, which must be the parent, ends
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) parent_pid: Option<i32>,
}
