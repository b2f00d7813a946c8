//! Authorization at servers that run elsewhere: what owners of an instance ask for, and what its host does.

use domain::ids::InstanceId;
use domain::secret::{self, Secret};
pub use domain::shim::{TokenOutcome, TokenReason, TokenWanted};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a DTMA asks for a token, on the control plane: `POST`, Bearer the environment's token, [`UpstreamTokenRequest`] →
/// [`TokenOutcome`].
pub const UPSTREAM_TOKEN_PATH: &str = "/api/v1/dtma/upstream-token";
/// Where a person comes back to from an authorization server.
pub const CALLBACK_PATH: &str = "/oauth/upstream/callback";
/// Where authorization servers read who Berth is (Client ID Metadata Documents).
pub const CLIENT_PATH: &str = "/oauth/client.json";

/// What a DTMA asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTokenRequest {
    /// For which of its instances.
    pub instance: InstanceId,
    /// What its server wants.
    pub wanted: TokenWanted,
}

/// `POST /api/v1/instances/{name}/authorization`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizeRequest {
    /// A client that was registered by hand, for authorization servers that take no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<UpstreamClient>,
}

/// A client that was registered by hand. It is kept, and used from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamClient {
    /// The authorization server that knows it, as the server's documents write it.
    #[schema(example = "https://auth.example.com")]
    pub issuer: String,
    /// Its id.
    pub client_id: String,
    /// Its secret, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "secret::expose_some")]
    #[schema(value_type = Option<String>, write_only)]
    pub client_secret: Option<Secret>,
}

/// Where a person has to decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuthorizationStarted {
    /// What they open in their browser. It is for whoever asked for it alone.
    pub url: String,
    /// The authorization server that they are sent to.
    pub issuer: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Until when they may take.
    pub expires_at: Timestamp,
}

/// `GET /api/v1/instances/{name}/authorization`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Authorization {
    /// How it stands.
    pub state: AuthorizationState,
    /// The authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What was granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// When somebody authorized it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized_at: Option<Timestamp>,
    /// When the present token ends, as far as anybody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether it is renewed without a person.
    #[serde(default)]
    pub is_renewable: bool,
    /// What is wrong, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How the authorization of an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationState {
    /// The server has not asked for one.
    None,
    /// A person has to authorize it.
    Needed,
    /// There is a token.
    Authorized,
}
