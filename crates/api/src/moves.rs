//! Moving instances between environments: `/api/v1/instances/{name}/move` and `…/failover`, `/api/v1/environments/{name}/drain`.

use std::collections::BTreeMap;

use domain::lease::Failover;
use domain::names::{EnvironmentName, InstanceName};
use serde::{Deserialize, Serialize};

/// `POST …/{name}/move`: where an instance is to run from now on. 200 with the `Instance`; nothing waits for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    /// The environment; `auto`: another one, that with most room.
    pub environment: String,
    /// With the environment `auto`: labels that it must have, such as `region`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_labels: BTreeMap<String, String>,
}

/// `PUT …/{name}/failover`: when an instance is moved away from a host that is not heard.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailoverRequest {
    /// When; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
}

/// What became of an environment's instances when it was drained. It is cordoned, and can be drained again at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Drain {
    /// Which environment.
    pub environment: EnvironmentName,
    /// What it had, by name.
    pub instances: Vec<Drained>,
    /// Instances that have left, and that its host has not let go of yet: they start elsewhere once it has.
    pub leaving: Vec<InstanceName>,
}

/// What became of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Drained {
    /// Its name.
    pub name: InstanceName,
    /// Where it went; absent: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<EnvironmentName>,
    /// Whether it can move at all.
    pub can_move: bool,
    /// Why it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
