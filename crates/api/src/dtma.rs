//! The DTMA's own API on port 30000, and what it sends to the control plane.

use std::time::Duration;

pub use domain::cleanup::{CleanupReport, Thing, ThingKind};
use domain::ids::{EnvironmentId, InstanceId};
pub use domain::spec::InstanceSpec;
pub use domain::status::{Adoption, Heartbeat, InstanceMetrics, InstanceReport, Protection, SystemMetrics};
use serde::{Deserialize, Serialize};

/// Where a DTMA reports to, on the control plane: `POST`, Bearer the environment's token, [`Heartbeat`] → 204.
pub const HEARTBEAT_PATH: &str = "/api/v1/dtma/heartbeat";
/// Where a DTMA opens its tunnel, on the control plane: `GET`, Bearer the environment's token, `Upgrade: berth-tunnel` → 101. From then
/// on the DTMA serves its own API there, over HTTP/2. Where a proxy between passes no such upgrade, it asks for a WebSocket, whose binary
/// frames hold the same.
pub const TUNNEL_PATH: &str = "/api/v1/dtma/tunnel";
/// Where a DTMA fetches packages that its host cannot: `GET {RELAY_PATH}/npm/…` and `/pypi/…`, Bearer the environment's token.
pub const RELAY_PATH: &str = "/api/v1/dtma/relay";
/// The header of such a request that says where the DTMA's own relay listens: `http://127.0.0.1:PORT`. Addresses of the registries in
/// an answer become addresses there.
pub const RELAY_BASE: &str = "berth-relay-base";
/// The name under which it asks for that (RFC 9110 §7.8).
pub const TUNNEL_PROTOCOL: &str = "berth-tunnel";
/// The longest time between two heartbeats, unless both sides are told another.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_secs(15);
/// The default port of a DTMA.
pub const DEFAULT_PORT: u16 = 30000;

/// What a heartbeat is answered with, when there is something to say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeartbeatAnswer {
    /// Instances with a lease that this host may go on running: their leases count from when the heartbeat was sent.
    #[serde(default)]
    pub leases: Vec<InstanceId>,
}

/// `DELETE /v1/instances/{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveQuery {
    /// Specs up to this generation are refused from then on, and one that is greater is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// `GET /v1/info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DtmaInfo {
    /// The DTMA's version.
    pub version: String,
    /// Its environment.
    pub environment: EnvironmentId,
    /// What its runtime protects servers with.
    pub protections: Vec<Protection>,
}

/// `POST /v1/cleanup`, and the same of the control plane's environments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CleanupRequest {
    /// Remove nothing, and say what would be.
    pub dry_run: bool,
}

/// `POST /v1/shutdown`: ends the DTMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Stop every instance too, without changing what is desired: the next start brings them back.
    #[serde(default)]
    pub stop_instances: bool,
}
