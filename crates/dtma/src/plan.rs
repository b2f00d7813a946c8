//! What to do next for one instance: pure functions from what is wanted and what was seen to one step and one status.
//!
//! Nothing here does anything; [`crate::instance`] looks, asks for the step, takes it, and looks again. So a DTMA that
//! ends at any point goes on from what it finds.

use std::time::Duration;

use domain::backoff::Backoff;
use domain::shim::{ServerState, ShimStatus};
use domain::spec::{DesiredState, InstanceSpec};
use domain::status::InstanceStatus;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A shim that has not bound its socket by then, or has lost it for so long, is killed.
pub(crate) const BOOT_LIMIT: Duration = Duration::from_secs(10);
/// So many questions in a row without an answer, and a shim that accepts connections is killed nevertheless.
pub(crate) const SILENCE_LIMIT: u32 = 3;

/// What a shim was started for. A shim with another mark than its spec's is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The spec's generation.
    pub(crate) generation: u64,
    /// The restarts its owner had asked for.
    pub(crate) restarts_asked: u64,
}

impl Mark {
    /// The mark of a spec.
    pub(crate) fn of(spec: &InstanceSpec) -> Self {
        Self { generation: spec.generation, restarts_asked: spec.restarts_asked }
    }
}

/// What was done for an instance; on disk beside its spec.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The last install that succeeded.
    pub(crate) installed: Option<Installed>,
    /// The one before it that gave another digest: the way back, which a cleanup keeps.
    pub(crate) before: Option<Installed>,
    /// The last install, when it failed. It is not tried again for the same mark.
    pub(crate) failed: Option<FailedInstall>,
    /// What the last shim was started for.
    pub(crate) started: Option<Mark>,
    /// Restarts counted by the shims before the present one, and their own ends.
    pub(crate) restarts: u64,
}

impl Record {
    /// Notes an install; what was there before is kept in mind when it was another.
    pub(crate) fn take(&mut self, installed: Installed) {
        match self.installed.replace(installed) {
            Some(before) if Some(&before.digest) != self.installed.as_ref().map(|now| &now.digest) => {
                self.before = Some(before);
            }
            _ => {}
        }
    }
}

/// What an install gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installed {
    /// The exact version.
    pub(crate) version: Option<String>,
    /// `sha256:…`.
    pub(crate) digest: Option<String>,
}

/// How an install failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailedInstall {
    /// For what.
    pub(crate) mark: Mark,
    /// Why, and what to do.
    pub(crate) message: String,
    /// Whether it may pass by itself, so that it is tried again.
    #[serde(default)]
    pub(crate) for_now: bool,
}

/// What was seen of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The shim.
    pub(crate) shim: Shim,
    /// What the shim was started for, as far as is known.
    pub(crate) started: Option<Mark>,
    /// The install for the wanted mark.
    pub(crate) install: Install,
    /// Shims that ended by themselves, in a row.
    pub(crate) failures: u32,
    /// How long the next start must still wait.
    pub(crate) wait: Duration,
    /// When it was seen.
    pub(crate) now: Timestamp,
    /// Until when it may run.
    pub(crate) lease: Lease,
}

/// Until when an instance may run without the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lease {
    /// For ever: it has none.
    None,
    /// It has one, and was granted nothing yet.
    Awaited,
    /// For a while.
    Runs {
        /// So long.
        left: Duration,
        /// Until then, in milliseconds since the boot.
        until: u64,
    },
    /// No more.
    Over {
        /// When the last heartbeat was sent that was answered, as far as this DTMA knows.
        contact: Option<Timestamp>,
    },
}

impl Lease {
    /// How long it may run; for ever when nothing is known to end it.
    pub(crate) fn left(self) -> Duration {
        match self {
            Self::Runs { left, .. } => left,
            Self::None | Self::Awaited | Self::Over { .. } => Duration::MAX,
        }
    }

    /// Until when it may run, in milliseconds since the boot, when something ends it.
    pub(crate) fn until(self) -> Option<u64> {
        match self {
            Self::Runs { until, .. } => Some(until),
            Self::None | Self::Awaited | Self::Over { .. } => None,
        }
    }

    /// Whether it may run now.
    pub(crate) fn runs(self) -> bool {
        matches!(self, Self::None | Self::Runs { .. })
    }
}

/// What was seen of a shim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shim {
    /// Nobody listens and no process is known.
    Absent {
        /// Whether all it may have left behind has been killed.
        clean: bool,
    },
    /// Its process lives and nobody listens: it is about to bind its socket, or about to end.
    Deaf {
        /// For how long.
        since: Duration,
    },
    /// It takes connections and does not answer.
    Silent {
        /// Questions in a row without an answer.
        times: u32,
    },
    /// It is another instance's, or does not take the instance's key.
    Foreign,
    /// It answered.
    Answers(ShimStatus),
}

/// What is known of the install for the wanted mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Install {
    /// Nothing was ever installed for this instance.
    Never,
    /// Not looked at since this DTMA started, or for another mark.
    Unknown,
    /// The package is there.
    Done,
    /// It failed.
    Failed {
        /// Why, and what to do.
        message: String,
        /// How long until it is tried again; absent: never.
        again: Option<Duration>,
    },
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Install the package, or find it installed.
    Install,
    /// Start a shim.
    Start,
    /// Ask the shim to stop its server and end, then kill what is left.
    ShutDown,
    /// Kill all that may be left of a shim.
    Kill,
    /// Nothing for so long; then look again.
    Watch(Duration),
    /// Nothing until something else is wanted.
    Rest,
}

/// The next step towards a spec.
pub(crate) fn next(spec: &InstanceSpec, observed: &Observed) -> Step {
    match spec.desired {
        DesiredState::Running if observed.lease.runs() => {
            match (towards_running(Mark::of(spec), observed), observed.lease) {
                (Step::Watch(time), Lease::Runs { left, .. }) => Step::Watch(time.min(left)),
                (step, _) => step,
            }
        }
        // What is installed meanwhile need not be waited for afterwards.
        DesiredState::Running => match (towards_stopped(observed), &observed.install) {
            (Step::Rest, Install::Unknown | Install::Never) => Step::Install,
            (step, _) => step,
        },
        DesiredState::Stopped => towards_stopped(observed),
    }
}

/// The next step towards nothing being there; [`Step::Rest`] when nothing is.
pub(crate) fn towards_stopped(observed: &Observed) -> Step {
    match &observed.shim {
        Shim::Absent { clean: true } => Step::Rest,
        Shim::Answers(_) => Step::ShutDown,
        Shim::Absent { clean: false } | Shim::Deaf { .. } | Shim::Silent { .. } | Shim::Foreign => Step::Kill,
    }
}

fn towards_running(mark: Mark, observed: &Observed) -> Step {
    let current = observed.started == Some(mark);
    match &observed.shim {
        Shim::Answers(status) if current && status.generation == mark.generation => {
            Step::Watch(look_again(&status.server, observed.now))
        }
        // The new package is fetched while the old server still serves.
        Shim::Answers(_) if matches!(observed.install, Install::Unknown | Install::Never) => Step::Install,
        Shim::Answers(_) => Step::ShutDown,
        Shim::Deaf { since } if current && *since < BOOT_LIMIT => {
            let quick = *since < Duration::from_millis(500);
            Step::Watch(Duration::from_millis(if quick { 5 } else { 100 }))
        }
        Shim::Silent { times } if current && *times < SILENCE_LIMIT => {
            Step::Watch(Duration::from_millis(200))
        }
        Shim::Deaf { .. } | Shim::Silent { .. } | Shim::Foreign | Shim::Absent { clean: false } => Step::Kill,
        Shim::Absent { clean: true } => match observed.install {
            Install::Unknown | Install::Never | Install::Failed { again: Some(Duration::ZERO), .. } => {
                Step::Install
            }
            Install::Failed { again: None, .. } => Step::Rest,
            Install::Failed { again: Some(wait), .. } => Step::Watch(wait),
            Install::Done if observed.wait.is_zero() => Step::Start,
            Install::Done => Step::Watch(observed.wait),
        },
    }
}

/// How long a server in this state may go without being looked at. The end of its shim is noticed at once anyhow.
fn look_again(server: &ServerState, now: Timestamp) -> Duration {
    Duration::from_millis(match server {
        // Most are up within a second or two, and somebody waits; those that are not may take a minute.
        ServerState::Starting { since } if now.micros_since(*since) < 2_000_000 => 20,
        ServerState::Starting { .. } | ServerState::Failed { .. } => 200,
        ServerState::Stopping { .. } => 100,
        ServerState::Running { .. } | ServerState::Asleep { .. } => 1000,
    })
}

/// The status to report while `step` is taken, with its reason when there is one. An install that takes its time reports
/// its own.
pub(crate) fn status(
    spec: &InstanceSpec,
    observed: &Observed,
    step: Step,
) -> (InstanceStatus, Option<String>) {
    if spec.desired == DesiredState::Stopped {
        let status = if step == Step::Rest { InstanceStatus::Stopped } else { InstanceStatus::Stopping };
        return (status, None);
    }
    match (&observed.install, step) {
        (Install::Failed { message, .. }, Step::Rest)
        | (Install::Failed { message, again: Some(_) }, Step::Watch(_) | Step::Install)
            if matches!(observed.shim, Shim::Absent { .. }) =>
        {
            return (InstanceStatus::ErrorInstall, Some(message.clone()));
        }
        (Install::Never, Step::Install) => return (InstanceStatus::Installing, None),
        _ => {}
    }
    match observed.lease {
        Lease::None | Lease::Runs { .. } => {}
        Lease::Awaited => {
            let why = "it has a lease, and starts once the control plane grants it to this host";
            return (InstanceStatus::Starting, Some(why.to_owned()));
        }
        Lease::Over { contact } => {
            let since = contact.map(|at| format!(" since {at}")).unwrap_or_default();
            let status = if step == Step::Rest { InstanceStatus::Stopped } else { InstanceStatus::Stopping };
            let why = format!(
                "its lease ended: no contact with the control plane{since}; it starts again once the control plane grants it to this host"
            );
            return (status, Some(why));
        }
    }
    match (&observed.shim, step) {
        (Shim::Answers(status), Step::Watch(_)) => of_server(&status.server),
        (Shim::Silent { times }, _) => (
            InstanceStatus::ErrorRuntime,
            Some(format!(
                "its shim has not answered {times} times in a row; it is killed and started again after {SILENCE_LIMIT}"
            )),
        ),
        (Shim::Absent { .. }, _) if 0 < observed.failures => {
            let crash_loop = Backoff::OWN.is_crash_loop(observed.failures);
            let status = if crash_loop { InstanceStatus::ErrorRuntime } else { InstanceStatus::Starting };
            let message = format!(
                "its shim ended by itself, {} in a row, and is started again; `shim.log` in the instance's directory has its last words",
                observed.failures,
            );
            (status, Some(message))
        }
        (Shim::Absent { .. } | Shim::Answers(_) | Shim::Deaf { .. } | Shim::Foreign, _) => {
            (InstanceStatus::Starting, None)
        }
    }
}

fn of_server(server: &ServerState) -> (InstanceStatus, Option<String>) {
    match server {
        ServerState::Starting { .. } => (InstanceStatus::Starting, None),
        ServerState::Running { .. } => (InstanceStatus::Running, None),
        ServerState::Asleep { .. } => (InstanceStatus::Asleep, None),
        ServerState::Stopping { .. } => (InstanceStatus::Stopping, None),
        ServerState::Failed { failures, crash_loop: true, message, .. } => (
            InstanceStatus::ErrorRuntime,
            Some(format!("crash loop, {failures} failures in a row: {message}")),
        ),
        ServerState::Failed { message, .. } => (InstanceStatus::ErrorRuntime, Some(message.clone())),
    }
}

#[cfg(test)]
mod tests;
