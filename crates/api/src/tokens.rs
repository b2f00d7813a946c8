//! `/api/v1/tokens`: API tokens.

use domain::ids::TokenId;
use domain::names::AccountName;
use domain::scopes::Scopes;
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTokenRequest {
    /// What it is for, 1 to 100 characters.
    pub name: String,
    /// Seconds until it expires; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// What it is for: `read`, `deploy`, `admin`, `mcp:call`, `mcp:call:INSTANCE`, `mcp:call:INSTANCE/TOOL`. Absent: what the
    /// token is for that makes it, which is everything that its user may unless it has scopes itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Scopes>,
    /// Another account of the caller's user that it is for; absent: the caller's. It takes a token without scopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
}

/// The answer to [`CreateTokenRequest`]: the only time the token itself is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedToken {
    /// What it is.
    #[serde(flatten)]
    pub token: Token,
    /// The token itself, `berth_…`.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub secret: Secret,
}

/// One API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// Its first characters, to tell it from others.
    pub prefix: String,
    /// What it is for; absent: everything that its user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Scopes>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}
