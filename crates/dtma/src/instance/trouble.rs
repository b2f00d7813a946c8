//! What the host refused, for how long, and what that makes of an instance.

use std::time::Duration;

use domain::backoff::Backoff;
use domain::spec::DesiredState;
use domain::status::{InstanceStatus, TRIES_AGAIN};
use runtime::error::RuntimeError;
use tokio::time::Instant;

use super::{Instance, chain};
use crate::plan::{FailedInstall, Mark};

/// The pause before an install that failed for now is tried again: somebody may have to look after the host or a registry,
/// and each try may fetch much.
const INSTALL_AGAIN: Backoff = Backoff {
    first: Duration::from_secs(10),
    longest: Duration::from_mins(5),
    healthy_after: Duration::MAX,
    crash_loop_after: u32::MAX,
};
/// An engine that is away for no longer is waited for; after that it is an error. One that is started again needs some
/// ten seconds on a slow host.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the host refused.
pub(super) struct Trouble {
    pub(super) text: String,
    /// Whether it may pass by itself.
    is_passing: bool,
    /// Since when the host refuses.
    since: Instant,
}

impl Trouble {
    /// What it makes of an instance: one whose engine is being started again is only late.
    pub(super) fn status(&self, desired: DesiredState, now: Instant) -> InstanceStatus {
        if !self.is_passing || PATIENCE <= now.duration_since(self.since) {
            return InstanceStatus::ErrorRuntime;
        }
        match desired {
            DesiredState::Running => InstanceStatus::Starting,
            DesiredState::Stopped => InstanceStatus::Stopping,
        }
    }
}

impl Instance {
    /// The host did what was asked.
    pub(super) fn untroubled(&mut self) {
        self.trouble = None;
        self.refusals = 0;
    }

    /// Notes why the package is not there, and when it is tried again if that may help.
    pub(super) fn install_failed(&mut self, mark: Mark, error: &RuntimeError) {
        let mut message = chain(error);
        tracing::warn!(instance = %self.id, error = message, "the package could not be installed");
        let for_now = error.may_mend();
        if for_now {
            message = format!("{}; {TRIES_AGAIN}", message.trim_end_matches('.'));
            self.installs_failed.0 = self.installs_failed.0.saturating_add(1);
            self.installs_failed.1 = Instant::now() + INSTALL_AGAIN.wait(self.installs_failed.0);
        }
        self.record.failed = Some(FailedInstall { mark, message, for_now });
    }

    pub(super) fn refused(&mut self, what: &str, error: &RuntimeError) {
        let trouble = format!("{what}: {}", chain(error));
        tracing::warn!(instance = %self.id, error = trouble, "the host refused; trying again");
        self.troubled(trouble, error.is_passing());
    }

    pub(super) fn troubled(&mut self, text: String, is_passing: bool) {
        let since = self.trouble.as_ref().map_or_else(Instant::now, |before| before.since);
        self.trouble = Some(Trouble { text, is_passing, since });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_comes_back_soon_is_no_error() {
        let since = Instant::now();
        for (is_passing, desired, seconds, expected) in [
            (true, DesiredState::Running, 0, InstanceStatus::Starting),
            (true, DesiredState::Running, 29, InstanceStatus::Starting),
            (true, DesiredState::Running, 31, InstanceStatus::ErrorRuntime),
            (true, DesiredState::Stopped, 0, InstanceStatus::Stopping),
            (false, DesiredState::Running, 0, InstanceStatus::ErrorRuntime),
        ] {
            let trouble = Trouble { text: String::new(), is_passing, since };
            let now = since + Duration::from_secs(seconds);
            assert_eq!(trouble.status(desired, now), expected, "{is_passing}, after {seconds} s");
        }
    }
}
