//! `/api/v1/accounts`: the tenants of an installation.

use domain::ids::AccountId;
use domain::names::AccountName;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::users::Role;

/// `POST /api/v1/accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAccountRequest {
    /// Its name, unique everywhere: the first part of its MCP addresses.
    pub name: AccountName,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: AccountName,
    /// What the caller's user may do in it; absent: the user is no member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// When it was made.
    pub created_at: Timestamp,
}
