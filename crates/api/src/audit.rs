//! `/api/v1/audit`: who did what to what, and when.

use domain::ids::AuditId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The query of `GET /api/v1/audit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// No line that is older, in microseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<i64>)]
    pub since: Option<Timestamp>,
    /// Actions that begin with this, such as `instance.` or `token.create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Of the thing with this name or id alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The lines that come after this one in the list: its `id`, as the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub after: Option<AuditId>,
    /// How many, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// One line. Lines are added and, when they are older than the installation keeps them, removed; never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditLine {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who, such as `user:0198…`, `environment:0198…` or `system`.
    pub actor: String,
    /// The user's name, where the actor is one that is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_name: Option<String>,
    /// What was done, such as `instance.deploy`.
    pub action: String,
    /// To what kind of thing, such as `instance`.
    pub object_kind: String,
    /// Its id, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// What else is worth knowing; never a secret.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}
