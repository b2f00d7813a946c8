//! `/api/v1/invitations`: one-time links into an account.

use domain::ids::InvitationId;
use domain::names::UserName;
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::users::Role;

/// `POST /api/v1/invitations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitationRequest {
    /// What whoever accepts it may do: at most what the caller may.
    pub role: Role,
    /// A name to propose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<UserName>,
    /// Whom it is for: an identity provider that vouches for this e-mail address accepts it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Seconds until it is no good any more, at most 30 days; absent: 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// The answer to [`CreateInvitationRequest`]: the only time the link itself is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedInvitation {
    /// What it is.
    #[serde(flatten)]
    pub invitation: Invitation,
    /// The link: whoever opens it first is in.
    #[serde(serialize_with = "secret::expose")]
    #[schema(value_type = String)]
    pub url: Secret,
}

/// One invitation that nobody has accepted, without its link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// What whoever accepts it may do.
    pub role: Role,
    /// The name that is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name of who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}
