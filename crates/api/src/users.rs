//! `/api/v1/whoami`: who a token speaks for.

use domain::ids::{AccountId, UserId};
use domain::names::AccountName;
use domain::scopes::Scopes;
use domain::secret::{self, Secret};
use serde::{Deserialize, Serialize};

/// What a user may do in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and deploys.
    Member,
    /// Everything but the account itself.
    Admin,
    /// Everything.
    Owner,
}

/// The answer to `GET /api/v1/whoami`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WhoAmI {
    /// The user's id.
    pub user: UserId,
    /// The user's name.
    pub user_name: String,
    /// The account's id.
    pub account: AccountId,
    /// The account's name: the first part of its MCP addresses.
    pub account_name: AccountName,
    /// What the user may do in it with this token.
    pub role: Role,
    /// What the token is for; absent: everything that its user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Scopes>,
    /// The control plane's version.
    pub version: String,
}

/// `PUT /api/v1/whoami/password`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPasswordRequest {
    /// The new password: at least 12 characters and at most 1024 bytes.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub password: Secret,
    /// The present password; it must be given when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "secret::expose_some")]
    #[schema(value_type = Option<String>)]
    pub current: Option<Secret>,
}
