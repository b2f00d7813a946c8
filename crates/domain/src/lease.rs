//! Leases: how an instance is moved away from a host that nobody hears, and still never runs twice.
//!
//! A host may run an instance that has a lease until a heartbeat's *sending* plus the lease, where that heartbeat's answer named
//! the instance. The control plane moves it when it has heard nothing of the host for longer than the lease and the time to stop. It hears
//! a heartbeat after that was sent, so the lease has run out by then, whatever was lost between. Both count on clocks of their own
//! that only go forwards, and compare none with the other's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;
use crate::time::Timestamp;

/// A host whose lease has ended stops the instance, by force if need be, within this time.
pub const STOP: Duration = Duration::from_secs(8);
/// What lies at least between the end of a lease and a move: [`STOP`], and what a busy host is late.
const MARGIN_SECONDS: u64 = 10;
/// Two clocks go apart by at most one part of so many: ten times as much as time services correct.
const DRIFT: u64 = 100;
/// The longest lease and silence.
const LONGEST_SECONDS: u64 = 24 * 3600;

/// When an instance is moved away from a host that is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Failover {
    /// Seconds that its host may run it after the last heartbeat that the control plane answered; default 60.
    #[serde(default = "default_lease")]
    pub lease_seconds: u64,
    /// Seconds without a heartbeat of its host after which it is started on another; default 90.
    #[serde(default = "default_lost_after")]
    pub lost_after_seconds: u64,
}

const fn default_lease() -> u64 {
    60
}

const fn default_lost_after() -> u64 {
    90
}

impl Default for Failover {
    fn default() -> Self {
        Self { lease_seconds: default_lease(), lost_after_seconds: default_lost_after() }
    }
}

/// Why a failover cannot be like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FailoverError {
    /// Hosts report too seldom for it.
    #[error("a lease is at least {least} s: three heartbeats")]
    LeaseTooShort {
        /// The shortest, in seconds.
        least: u64,
    },
    /// The instance could run twice.
    #[error(
        "with a lease of {lease} s it takes at least {least} s: its host must have had the time to stop it"
    )]
    LostTooSoon {
        /// The lease, in seconds.
        lease: u64,
        /// The least, in seconds.
        least: u64,
    },
    /// Too long to mean anything.
    #[error("at most {LONGEST_SECONDS} s are accepted, a day")]
    TooLong,
}

impl FailoverError {
    /// The field that is wrong.
    pub fn field(self) -> &'static str {
        match self {
            Self::LeaseTooShort { .. } => "failover.lease_seconds",
            Self::LostTooSoon { .. } | Self::TooLong => "failover.lost_after_seconds",
        }
    }
}

impl Failover {
    /// Whether it can hold where hosts report every `heartbeat`.
    ///
    /// # Errors
    /// Any [`FailoverError`].
    pub fn check(self, heartbeat: Duration) -> Result<Self, FailoverError> {
        let beats = heartbeat.saturating_mul(3).as_millis().div_ceil(1000);
        let beats = u64::try_from(beats).unwrap_or(u64::MAX).max(1);
        if self.lease_seconds < beats {
            return Err(FailoverError::LeaseTooShort { least: beats });
        }
        if LONGEST_SECONDS < self.lease_seconds.max(self.lost_after_seconds) {
            return Err(FailoverError::TooLong);
        }
        let lease = self.lease_seconds;
        let silence = lease + lease / DRIFT + MARGIN_SECONDS;
        if self.lost_after_seconds < silence {
            return Err(FailoverError::LostTooSoon { lease, least: silence });
        }
        Ok(self)
    }

    /// How long its host may run it unheard.
    pub fn lease(self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// How long its host must have been silent.
    pub fn lost_after(self) -> Duration {
        Duration::from_secs(self.lost_after_seconds)
    }
}

/// A host's side: until when it may run what. Times are milliseconds since the host was booted, sleep included, so they mean
/// something to one boot alone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grants {
    /// Which boot the times are of.
    boot: String,
    /// When the newest answered heartbeat was sent whose answer named the instance.
    sent: BTreeMap<InstanceId, u64>,
}

impl Grants {
    /// What is left of earlier grants, `kept` on disk: all of it after a restart, nothing after a boot.
    pub fn at_start(kept: Option<Self>, boot: String) -> Self {
        match kept {
            Some(kept) if !boot.is_empty() && kept.boot == boot => kept,
            _ => Self { boot, sent: BTreeMap::new() },
        }
    }

    /// Takes the answer to the heartbeat that was sent at `sent`; whether anything was granted.
    pub fn acknowledge(&mut self, sent: u64, instances: &[InstanceId]) -> bool {
        for id in instances {
            let known = self.sent.entry(*id).or_default();
            *known = sent.max(*known);
        }
        let oldest = sent.saturating_sub(LONGEST_SECONDS * 1000);
        self.sent.retain(|_, at| oldest <= *at);
        !instances.is_empty()
    }

    /// Forgets what was granted to an instance, which is here anew.
    pub fn forget(&mut self, instance: InstanceId) {
        self.sent.remove(&instance);
    }

    /// Until when an instance may run; `None` when it may not at all.
    pub fn until(&self, instance: InstanceId, lease: Duration) -> Option<u64> {
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        self.sent.get(&instance).map(|sent| sent.saturating_add(lease))
    }
}

/// The control plane's side: for how long a host was not heard, as one process saw it. `now` is that process's own clock, which only
/// goes forwards; what is told of a heartbeat counts as whatever it is, as long as the next one differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    last: Option<Timestamp>,
    since: Duration,
}

impl Silence {
    /// Begins to listen.
    pub fn new(last: Option<Timestamp>, now: Duration) -> Self {
        Self { last, since: now }
    }

    /// What is known of the host's last heartbeat now; how long it has been the same.
    pub fn observe(&mut self, last: Option<Timestamp>, now: Duration) -> Duration {
        if self.last != last {
            *self = Self::new(last, now);
        }
        now.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests;
