//! `/api/v1/instances/{name}/own-values`: what a caller brings for themselves to an instance whose callers each bring their own.

use domain::secret::{self, Secrets};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What the caller brings. Values are never shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnValues {
    /// One for each that callers of the instance bring; none where they bring nothing.
    pub values: Vec<OwnValue>,
    /// When the caller last gave any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OwnValue {
    /// Its name, as it was deployed.
    pub name: String,
    /// Whether the caller has given one.
    pub is_set: bool,
}

/// `PUT`: values by their names. Those that are not named stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnValuesRequest {
    /// The values.
    #[serde(serialize_with = "secret::expose_all")]
    #[schema(value_type = std::collections::BTreeMap<String, String>, write_only)]
    pub values: Secrets,
}
