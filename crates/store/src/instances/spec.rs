//! What an instance is, as one column.

use std::collections::BTreeMap;

use domain::lease::Failover;
use domain::names::InstanceName;
use domain::package::Package;
use domain::spec::{Launch, Limits};
use serde::{Deserialize, Serialize};

use super::InstanceRow;

/// What runs, without secrets (`spec_json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecColumn {
    /// The package.
    pub package: Package,
    /// How it is installed and started.
    pub launch: Launch,
    /// Plain environment variables.
    pub env: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// What is known about moving it.
    #[serde(default)]
    pub moving: Moving,
    /// The instance that it is tried beside, of a change's candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate_of: Option<InstanceName>,
}

/// What is known about moving an instance to another host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Moving {
    /// When it is moved away from a host that is not heard; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
    /// The first generation whose specs have that failover.
    #[serde(default)]
    pub told_from: u64,
    /// The first generation that its present host can have; 0 when that is not known.
    #[serde(default)]
    pub arrived: u64,
    /// Whether it came about on its host, by an older caller.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

impl Moving {
    /// Of an instance that is new: its host has it from the first generation on.
    pub fn first(failover: Option<Failover>) -> Self {
        Self { failover, told_from: 1, arrived: 1, adopted: false }
    }
}

impl InstanceRow {
    /// Whether every spec that its host can have is held to the present lease.
    pub fn is_bound(&self) -> bool {
        let moving = &self.spec.moving;
        moving.failover.is_some() && moving.told_from <= self.observed_generation.max(moving.arrived)
    }
}
