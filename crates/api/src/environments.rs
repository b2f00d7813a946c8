//! `/api/v1/environments`: the machines.

use std::collections::BTreeMap;

use domain::ids::EnvironmentId;
use domain::names::EnvironmentName;
use domain::placement::Labels;
use domain::secret::{self, Secret};
use domain::status::{EnvironmentStatus, Protection, SystemMetrics};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One machine as its account sees it. Its DTMA's token is never part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Environment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// Its state.
    pub status: EnvironmentStatus,
    /// What is wrong, or waited for, and what to do; absent while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where its DTMA is dialled; absent for the control plane's own machine, and for one that opens a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its DTMA's version, once it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtma_version: Option<String>,
    /// When its DTMA last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_at: Option<Timestamp>,
    /// Load and room, once it reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<SystemMetrics>,
    /// What its runtime protects servers with, once it reported.
    #[serde(default)]
    pub protections: Vec<Protection>,
    /// Instances in it.
    pub instances: u64,
    /// Whether it takes no new instances.
    #[serde(default)]
    pub cordoned: bool,
    /// What it is told apart by when an instance looks for a place; a droplet's `region` and `size` among it.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Labels,
}

/// `PATCH /api/v1/environments/{name}`: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeEnvironmentRequest {
    /// Another name, unique in the account. Addresses of instances do not have it in them, so they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it takes no new instances; those that it has go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
    /// Labels to set, and with null those to take away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
}

/// `POST /api/v1/environments`: another machine becomes an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddEnvironmentRequest {
    /// Its name, unique in the account.
    pub name: String,
    /// What it is.
    pub kind: EnvironmentKind,
    /// Where its DTMA will listen and is dialled: an IP address and a port, such as `10.0.0.5:30000`. Absent: its DTMA opens a
    /// tunnel, and needs no port that others can dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The key of the DTMA there, which serves TLS (`berth dtma --tls`), as `berth dtma pin` prints it: `sha256//…`. Absent: the host
    /// says it when it is enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<String>,
    /// Speak plain HTTP to that address: whoever is between reads its token and the secrets of its servers.
    #[serde(default)]
    pub insecure_http: bool,
}

/// What another machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentKind {
    /// A Linux host that is there already.
    Host,
}

/// `POST …/{name}/token`: the token between an environment's DTMA and the control plane. Every time it is shown is a line
/// of the audit.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnvironmentToken {
    /// Whose.
    pub environment: EnvironmentName,
    /// What the DTMA's callers show, and what the DTMA shows.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub token: Secret,
}
