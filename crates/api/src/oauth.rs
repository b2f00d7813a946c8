//! `/api/v1/oauth`: clients that an account registered, and what its people allowed clients.

use domain::ids::GrantId;
use domain::names::InstanceName;
use domain::scopes::Scopes;
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST /api/v1/oauth/clients`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateClientRequest {
    /// What people are shown, 1 to 100 characters.
    pub name: String,
    /// Where people are sent back to; absent: it gets tokens for itself alone, or by device codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Its public keys (RFC 7517), when it proves who it is by them (`private_key_jwt`); absent: it gets a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub jwks: Option<Value>,
    /// It is a program on people's machines and can keep no secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
}

/// The answer to [`CreateClientRequest`]: the only time the secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CreatedClient {
    /// What it is.
    #[serde(flatten)]
    pub client: Client,
    /// Its secret, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "secret::expose_some")]
    #[schema(value_type = Option<String>)]
    pub client_secret: Option<Secret>,
}

/// A client that somebody of the account registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// What people are shown.
    pub name: String,
    /// Where people are sent back to.
    pub redirect_uris: Vec<String>,
    /// How it gets tokens.
    pub grant_types: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// What a person allowed a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who allowed it.
    pub user_name: String,
    /// The client's id.
    pub client_id: String,
    /// What the client calls itself.
    pub client_name: String,
    /// Where the person was sent back to: a host, or a program's scheme.
    pub sent_to: String,
    /// The instance that it may call; absent: it is for this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub instance: Option<InstanceName>,
    /// What it is for.
    #[schema(value_type = Vec<String>)]
    pub scopes: Scopes,
    /// When it was allowed.
    pub created_at: Timestamp,
    /// When a token was last made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_why: Option<String>,
}
