//! From a [`Problem`] to a response: the one place where the JSON API makes an error body.

use api::errors::{ErrorBody, ErrorCode};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gateway::AuthError;
use store::StoreError;

use crate::app::{Problem, tokens};

/// A response that says why not.
#[derive(Debug)]
pub(crate) struct Refused {
    problem: Problem,
    challenge: AuthError,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, challenge: AuthError::Wrong }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self { problem: tokens::refused(error), challenge: error }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = self.problem.into_detail();
        let code = error.code;
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(ErrorBody { error })).into_response();
        let headers = response.headers_mut();
        match code {
            ErrorCode::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, gateway::challenge(self.challenge));
            }
            ErrorCode::Unavailable | ErrorCode::TooMany => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}
