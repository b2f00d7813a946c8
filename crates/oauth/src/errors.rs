//! The error answers of authorization servers (RFC 6749 §5.2, RFC 7591 §3.2.2, RFC 8628 §3.5, RFC 8707 §2).

use serde::{Deserialize, Serialize};

/// The code of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// The client is not known, or did not prove that it is the one.
    InvalidClient,
    /// The code, refresh token or assertion is wrong, over, used or another client's.
    InvalidGrant,
    /// The client may not do that.
    UnauthorizedClient,
    /// There is no such grant here.
    UnsupportedGrantType,
    /// Only `code` is given (OAuth 2.1 §4).
    UnsupportedResponseType,
    /// None of the scopes can be given.
    InvalidScope,
    /// The resource is none of this server's, or not the user's (RFC 8707 §2).
    InvalidTarget,
    /// The person refused.
    AccessDenied,
    /// Something failed here.
    ServerError,
    /// Try again later.
    TemporarilyUnavailable,
    /// Nobody decided on the device code yet (RFC 8628 §3.5).
    AuthorizationPending,
    /// Ask less often (RFC 8628 §3.5).
    SlowDown,
    /// The device code is over (RFC 8628 §3.5).
    ExpiredToken,
    /// A redirect URI is not allowed (RFC 7591 §3.2.2).
    InvalidRedirectUri,
    /// Something else in the client's metadata is not allowed (RFC 7591 §3.2.2).
    InvalidClientMetadata,
}

impl Code {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
        }
    }
}

/// Why a request is refused, for the client and for the person who reads its log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {description}", .code.as_str())]
pub struct Refused {
    /// Its code.
    pub code: Code,
    /// A sentence. It reaches the client.
    pub description: String,
}

impl Refused {
    /// A refusal in words.
    pub fn new(code: Code, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }
}

/// The body of an error answer as others send it; their codes may be any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The code.
    pub error: String,
    /// A sentence, perhaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

impl From<&Refused> for ErrorBody {
    fn from(refused: &Refused) -> Self {
        Self { error: refused.code.as_str().to_owned(), error_description: Some(refused.description.clone()) }
    }
}
