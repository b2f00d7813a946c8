//! `/api/v1/members`: who is in an account.

use domain::ids::UserId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::users::Role;

/// One member of the caller's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Member {
    /// The user's id.
    pub user: UserId,
    /// The user's name.
    pub name: String,
    /// The user's e-mail address, for an admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Since when they are in the account.
    pub joined_at: Timestamp,
}

/// `PATCH /api/v1/members/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMemberRequest {
    /// What they may do from now on: at most what the caller may.
    pub role: Role,
}
