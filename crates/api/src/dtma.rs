//! The DTMA's own API on port 30000, and what it sends to the control plane.

use std::time::Duration;

pub use domain::checks::{Check, Verdict};
pub use domain::cleanup::{CleanupReport, Thing, ThingKind};
use domain::ids::{EnvironmentId, InstanceId, UpgradeId};
use domain::program::ProgramDigest;
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
/// Where a DTMA fetches container images of its instances that its host cannot: `GET {IMAGES_PATH}/v2/REGISTRY/NAME/manifests/…` and `/blobs/…` of
/// the distribution specification, Bearer the environment's token.
pub const IMAGES_PATH: &str = "/api/v1/dtma/images";
/// The header of a request for packages that says where the DTMA's own relay listens: `http://127.0.0.1:PORT`. Addresses of the registries in
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
    /// The architecture of its host as Rust calls it, such as `x86_64`; absent: it is older than the word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
}

/// The largest binary that a host takes, in bytes.
pub const MAX_BINARY: u64 = 1 << 30;
/// The largest piece of one that a request may carry, in bytes.
pub const MAX_PIECE: usize = 4 << 20;

/// `PUT /v1/binary/{sha256}?offset=N&size=N`, the body a piece: where this piece begins and how large the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PieceQuery {
    /// Bytes before this piece. A piece that does not follow what is there changes nothing.
    pub offset: u64,
    /// Bytes of the whole binary.
    pub size: u64,
}

/// How much of a binary a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BinaryProgress {
    /// Bytes from its beginning.
    pub received: u64,
    /// It is whole, and has the digest of its name.
    pub is_complete: bool,
}

/// `POST /v1/upgrade`: makes a binary that is there the service's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// Which.
    pub program: ProgramDigest,
    /// Whose attempt that is: the same again changes nothing.
    pub attempt: UpgradeId,
}

/// `GET /v1/upgrade`: what became of the last attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeView {
    /// The last that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<UpgradeRequest>,
    /// What became of it; absent: it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<UpgradeOutcome>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UpgradeOutcome {
    /// Which.
    pub attempt: UpgradeId,
    /// Why the binary before it serves again, or still; absent: it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
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
