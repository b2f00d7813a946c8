//! Changing the host agents of machines to the control plane's own program, in waves.

use domain::ids::UpgradeId;
use domain::names::EnvironmentName;
use domain::program::ProgramDigest;
use domain::time::Timestamp;
use domain::waves::HostState;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/upgrades`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeHostsRequest {
    /// Which environments, in this order.
    #[serde(default)]
    pub environments: Vec<String>,
    /// All that can be upgraded and are not what the control plane is, by name.
    #[serde(default)]
    pub all: bool,
    /// How many are changed when each wave is done, such as `1`, `25%`, `100%`. What none of them reaches is a last one.
    #[serde(default)]
    pub waves: Vec<String>,
}

/// One upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upgrade {
    /// Its id.
    pub id: UpgradeId,
    /// To which program.
    pub program: ProgramDigest,
    /// Its version.
    pub version: String,
    /// How far it is.
    pub state: UpgradeStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Its hosts, in their order.
    pub hosts: Vec<UpgradeHost>,
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeStatus {
    /// Hosts are being changed, or wait for their wave.
    Running,
    /// All are changed.
    Done,
    /// One could not be, so the rest was left as it was.
    Failed,
}

/// One host of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeHost {
    /// Which.
    pub environment: EnvironmentName,
    /// In which wave, from 1.
    pub wave: u64,
    /// How far it is.
    pub state: HostState,
    /// Since when.
    pub since: Timestamp,
    /// What it waits for, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
