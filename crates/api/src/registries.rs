//! `/api/v1/registries`: what opens registries of container images.

use domain::registry::RegistryHost;
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `PUT /api/v1/registries/{host}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryLoginRequest {
    /// The user at the registry, 1 to 255 characters.
    pub username: String,
    /// Their password, or a token that takes its place. It is never shown again.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String, write_only)]
    pub password: Secret,
}

/// One registry that the account has a login for, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Registry {
    /// The registry, as the names of its images begin.
    pub host: RegistryHost,
    /// The user at the registry.
    pub username: String,
    /// When the login was given.
    pub updated_at: Timestamp,
}
