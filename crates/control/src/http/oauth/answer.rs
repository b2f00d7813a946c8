//! Answers that no cache keeps, and errors as OAuth has them.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use oauth::errors::{Code, ErrorBody, Refused};
use serde::Serialize;

use crate::app::oauth::Failure;
use crate::app::problem::Chain;

/// Nobody on the way keeps an answer with a token in it (OAuth 2.1 §3.2.3).
pub(crate) const NO_STORE: [(HeaderName, HeaderValue); 1] =
    [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// An answer with something secret in it.
pub(crate) struct Secretly<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Secretly<T> {
    fn into_response(self) -> Response {
        (NO_STORE, Json(self.0)).into_response()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refused = match self {
            Self::Refused(refused) => refused,
            Self::Failed(problem) => {
                tracing::error!(error = %Chain(&problem), "the authorization server failed");
                Refused::new(Code::ServerError, "the authorization server failed; its log has the reason")
            }
        };
        let status = match refused.code {
            Code::InvalidClient => StatusCode::UNAUTHORIZED,
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Code::TemporarilyUnavailable => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::BAD_REQUEST,
        };
        tracing::debug!(
            code = refused.code.as_str(),
            why = refused.description,
            "a client of OAuth was refused"
        );
        let mut response = (status, NO_STORE, Json(ErrorBody::from(&refused))).into_response();
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6749 §5.2 wants the scheme that a client used; there is one that it can.
            let value = HeaderValue::from_static(r#"Basic realm="berth""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}
