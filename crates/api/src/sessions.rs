//! `/api/v1/sessions`: where one is signed in with a browser.

use domain::ids::SessionId;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One browser in which the caller is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// How it began.
    pub method: SignInMethod,
    /// What the browser calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Where it was opened from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// When it ends, unless it is used before; at the latest 30 days after it began.
    pub expires_at: Timestamp,
}

/// How somebody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignInMethod {
    /// With a password.
    Password,
    /// With a one-time link.
    Link,
    /// With an invitation.
    Invitation,
    /// An identity provider said who it is (OpenID Connect).
    Oidc,
}
