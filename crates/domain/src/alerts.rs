//! What is broken and who is told of it when: once when something has been broken for a while, once when it is well again.
//! Nothing here asks anybody or reads a clock.
//!
//! A *trouble* begins when a subject is first seen broken and is over when it was seen well for as long as the debounce, or is gone.
//! It is told once it is that old and the subject is still broken. So something that comes and goes is one trouble, told
//! once, and a short hiccup is none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::{EnvironmentStatus, InstanceStatus, SystemMetrics, words};
use crate::time::Timestamp;

/// How long something is broken before anybody is told, unless said otherwise.
pub const DEBOUNCE: Duration = Duration::from_mins(1);
/// A disk that is fuller than so many per cent is nearly full. A host clears its own at 85.
const FULL_PERCENT: u64 = 92;
/// One that is less full than this is not any more; between the two it is as it was.
const ROOM_PERCENT: u64 = 89;

words! {
    /// What can be broken.
    AlertKind {
        /// An environment's host agent does not report.
        EnvironmentUnresponsive = "environment_unresponsive",
        /// The disk of an environment that holds its data directory is nearly full.
        DiskNearlyFull = "disk_nearly_full",
        /// An environment's machine could not be made, or destroyed, or is gone.
        ProvisioningFailed = "provisioning_failed",
        /// An instance cannot be installed, or ends again and again.
        InstanceFailed = "instance_failed",
    }
}

/// What was seen of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It is broken.
    Broken,
    /// It is well.
    Well,
    /// Nothing can be said: it is on its way, or not to be seen.
    Unknown,
    /// It is there no more.
    Gone,
}

/// What is remembered of a trouble that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// When it began.
    pub broken_since: Timestamp,
    /// Since when its subject is seen well again, while that is too short to believe.
    pub well_since: Option<Timestamp>,
    /// When it was told; absent: not yet.
    pub told_at: Option<Timestamp>,
}

/// What is to be done about a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Remember this trouble, or that it is like this now, and tell nobody.
    Remember(Trouble),
    /// Remember that it was told, and tell that it is broken.
    Tell(Trouble),
    /// Tell that it is well again, and close the trouble.
    Heal,
    /// Forget the trouble, which nobody was told of.
    Forget,
}

/// What is due, from what is remembered and what is seen.
pub fn step(trouble: Option<Trouble>, sight: Sight, now: Timestamp, debounce: Duration) -> Step {
    let debounce = i64::try_from(debounce.as_micros()).unwrap_or(i64::MAX);
    let over = |trouble: Trouble| if trouble.told_at.is_some() { Step::Heal } else { Step::Forget };
    match (trouble, sight) {
        (None, Sight::Broken) => {
            let begun = Trouble { broken_since: now, well_since: None, told_at: None };
            if debounce <= 0 {
                Step::Tell(Trouble { told_at: Some(now), ..begun })
            } else {
                Step::Remember(begun)
            }
        }
        (None, _) | (Some(_), Sight::Unknown) => Step::Nothing,
        (Some(trouble), Sight::Gone) => over(trouble),
        (Some(trouble), Sight::Broken) => {
            let broken = Trouble { well_since: None, ..trouble };
            if trouble.told_at.is_none() && debounce <= now.micros_since(trouble.broken_since) {
                Step::Tell(Trouble { told_at: Some(now), ..broken })
            } else if broken == trouble {
                Step::Nothing
            } else {
                Step::Remember(broken)
            }
        }
        (Some(trouble), Sight::Well) => {
            let since = trouble.well_since.unwrap_or(now);
            if debounce <= now.micros_since(since) {
                over(trouble)
            } else if trouble.well_since.is_some() {
                Step::Nothing
            } else {
                Step::Remember(Trouble { well_since: Some(now), ..trouble })
            }
        }
    }
}

/// Whether an environment reports.
pub fn responsiveness(status: EnvironmentStatus) -> Sight {
    match status {
        EnvironmentStatus::Unresponsive => Sight::Broken,
        EnvironmentStatus::Active => Sight::Well,
        _ => Sight::Unknown,
    }
}

/// Whether its machine could be made and is there.
pub fn provisioning(status: EnvironmentStatus) -> Sight {
    match status {
        EnvironmentStatus::ErrorCreation
        | EnvironmentStatus::ErrorProvisioning
        | EnvironmentStatus::ErrorDeletion
        | EnvironmentStatus::Deprovisioned => Sight::Broken,
        EnvironmentStatus::Active | EnvironmentStatus::Unresponsive => Sight::Well,
        _ => Sight::Unknown,
    }
}

/// Whether there is room on its disk, as it last said; and how full that is, in per cent.
pub fn room(status: EnvironmentStatus, system: Option<&SystemMetrics>) -> (Sight, Option<u64>) {
    let Some(disk) = system.and_then(|system| system.disk.as_ref()) else { return (Sight::Unknown, None) };
    // As `df` has it: what is kept for the system counts as neither.
    let usable = disk.used_bytes.saturating_add(disk.free_bytes).max(1);
    let percent = disk.used_bytes.saturating_mul(100) / usable;
    let sight = match status {
        EnvironmentStatus::Active if FULL_PERCENT <= percent => Sight::Broken,
        EnvironmentStatus::Active if percent < ROOM_PERCENT => Sight::Well,
        _ => Sight::Unknown,
    };
    (sight, Some(percent))
}

/// Whether an instance does what it is to do. On a host that does not report nothing is known of it.
pub fn instance(status: InstanceStatus, host: EnvironmentStatus) -> Sight {
    match status {
        _ if host != EnvironmentStatus::Active => Sight::Unknown,
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => Sight::Broken,
        InstanceStatus::Running | InstanceStatus::Asleep | InstanceStatus::Stopped => Sight::Well,
        InstanceStatus::PendingDeploy
        | InstanceStatus::Installing
        | InstanceStatus::Starting
        | InstanceStatus::Stopping
        | InstanceStatus::Deleting => Sight::Unknown,
    }
}

#[cfg(test)]
mod tests;
