//! How a host becomes an environment: a one-time token, and what it is exchanged for.

use domain::ids::EnvironmentId;
use domain::names::EnvironmentName;
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a host exchanges its one-time token, on the control plane: `POST`, [`EnrolRequest`] → [`Enrolled`]. The token in the body is
/// all that it shows.
pub const ENROL_PATH: &str = "/api/v1/dtma/enrol";

/// `POST /api/v1/environments/{name}/enrolment`: what makes a host this environment, once. Every time is a line of the audit.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Enrolment {
    /// Which environment.
    pub environment: EnvironmentName,
    /// The one-time token, `berth_enrol_…`. One that was made before is no good any more.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub token: Secret,
    /// Until when it must be used.
    pub expires_at: Timestamp,
    /// The control plane's address in that line.
    pub control_url: String,
    /// The line to run on the host as root, the token in it.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub command: Secret,
}

/// `POST /api/v1/dtma/enrol`: a host asks to be the environment of its one-time token.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnrolRequest {
    /// The one-time token.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String, write_only)]
    pub token: Secret,
    /// 16 to 200 random characters, which the host makes up and shows again when it has to repeat itself, because an answer was
    /// lost: within five minutes it is answered again, and nobody else is.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String, write_only)]
    pub nonce: Secret,
    /// What the host calls itself, for the audit.
    pub hostname: String,
    /// The version of its DTMA.
    pub dtma_version: String,
    /// The key of its DTMA, for a control plane that dials it over TLS: `sha256//…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<String>,
    /// The environment that it is already. It cannot become another one: its instances stay with their environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
}

/// What makes a host an environment.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Enrolled {
    /// The environment's id.
    pub environment: EnvironmentId,
    /// Its name.
    pub name: EnvironmentName,
    /// What its DTMA shows and is shown from now on; the one before opens nothing any more.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub token: Secret,
    /// How it is reached.
    pub way: EnrolledWay,
    /// Where its DTMA is dialled, for [`EnrolledWay::Direct`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// Whether its DTMA serves TLS there, with the key that the host showed.
    #[serde(default)]
    pub tls: bool,
    /// The longest time between two heartbeats.
    pub heartbeat_seconds: u64,
}

/// How the control plane reaches a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnrolledWay {
    /// Through a connection that the host opens.
    Tunnel,
    /// It dials the host.
    Direct,
}
