//! The one error body of the JSON APIs.

use serde::{Deserialize, Serialize};

/// `{"error": {...}}`: what every response outside 2xx carries on `/api/v1` and `/v1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErrorDetail {
    /// For programs.
    pub code: ErrorCode,
    /// For people; one sentence without a full stop.
    pub message: String,
    /// The field of the request that is wrong, such as `name` or `settings.timezone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a caller can do about it. Each code has one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the request could not be read.
    BadRequest,
    /// 401: no token, or one that is wrong, expired or revoked.
    Unauthorized,
    /// 403: the token does not allow this.
    Forbidden,
    /// 404: no such thing, or not yours.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 409: the name is taken, or a newer generation is there already.
    Conflict,
    /// 410: it was there once, and is used up.
    Gone,
    /// 413: larger than the limit.
    TooLarge,
    /// 422: read, and a value in it cannot be.
    Invalid,
    /// 429: too many at once; see `Retry-After`.
    TooMany,
    /// 500: our fault; the log has the reason.
    Internal,
    /// 502: the party behind answered something that is no answer.
    BadGateway,
    /// 503: cannot be reached or is not ready; see `Retry-After`.
    Unavailable,
    /// 507: no room left on the disk.
    NoSpace,
}

impl ErrorCode {
    /// The HTTP status of the code.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::TooLarge => 413,
            Self::Invalid => 422,
            Self::TooMany => 429,
            Self::Internal => 500,
            Self::BadGateway => 502,
            Self::Unavailable => 503,
            Self::NoSpace => 507,
        }
    }
}
