//! Every answer outside 2xx: which code, which field, what to do.

use api::errors::{ErrorBody, ErrorCode, ErrorDetail};
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::shim::{REFUSED_AWAY, REFUSED_HEADER};
use serde::de::DeserializeOwned;

use crate::instance::chain;
use crate::instances::ChangeError;
use crate::ports::PortError;
use crate::specs::WriteError;

/// The field of a port that cannot be had.
const PORTS: &str = "launch.container.ports";

/// A JSON body; what is wrong with one is said in an [`ErrorBody`].
pub(crate) struct Body<T>(pub(crate) T);

/// Parts of the path; as [`Body`].
pub(crate) struct Path<T>(pub(crate) T);

/// The query; as [`Body`].
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        Ok(Self(Json::from_request(request, state).await?.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(extract::Path::from_request_parts(parts, state).await?.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(extract::Query::from_request_parts(parts, state).await?.0))
    }
}

/// An answer outside 2xx.
#[derive(Debug)]
pub(crate) struct Refusal {
    detail: ErrorDetail,
    retry_after: bool,
    is_away: bool,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            detail: ErrorDetail { code, message: message.into(), field: None, hint: None },
            retry_after: code == ErrorCode::Unavailable,
            is_away: false,
        }
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
            .hint("send `Authorization: Bearer TOKEN` with the token of this environment")
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    pub(crate) fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::MethodNotAllowed, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// Nobody received what was to be forwarded, so another process may take it.
    pub(crate) fn away(mut self) -> Self {
        self.is_away = true;
        self
    }

    pub(crate) fn field(mut self, field: impl Into<String>) -> Self {
        self.detail.field = Some(field.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }

    /// Something of ours failed: logged here, with its causes, and told without them.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = chain(error), "a request failed");
        Self::new(ErrorCode::Internal, "this host could not do it; the DTMA's log has the reason")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.detail.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(ErrorBody { error: self.detail })).into_response();
        if self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.is_away {
            response.headers_mut().insert(REFUSED_HEADER, HeaderValue::from_static(REFUSED_AWAY));
        }
        response
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::Unknown(_) => Self::not_found(message),
            ChangeError::Older { .. } => Self::new(ErrorCode::Conflict, message)
                .field("generation")
                .hint("read the instance, and send a greater generation than it has"),
            ChangeError::LetGo { .. } => Self::new(ErrorCode::Conflict, message)
                .field("generation")
                .hint("send the newest spec of the instance, if it is to run here again"),
            ChangeError::Removing => {
                Self::new(ErrorCode::Conflict, message).hint("try again when `GET` of it answers 404")
            }
            ChangeError::Unreadable => {
                Self::new(ErrorCode::Conflict, message).hint("send its whole spec again with `PUT`")
            }
            ChangeError::RemovedHere => Self::new(ErrorCode::Conflict, message)
                .hint("the next heartbeat tells the control plane, which then forgets it"),
            ChangeError::NameTaken(_) => Self::new(ErrorCode::Conflict, message).field("name"),
            ChangeError::IdTaken { .. } => Self::new(ErrorCode::Conflict, message).field("id"),
            ChangeError::Port(PortError::Own(_) | PortError::Shape(_) | PortError::Address(_)) => {
                Self::new(ErrorCode::Invalid, message).field(PORTS).hint("choose another port of the host")
            }
            ChangeError::Port(PortError::Taken { .. } | PortError::InUse(_)) => {
                Self::new(ErrorCode::Conflict, message).field(PORTS).hint("choose another port of the host")
            }
            ChangeError::Halting => Self::unavailable(message).hint("try again when it is back"),
            ChangeError::Slow => Self::unavailable(message).hint("it goes on: ask again"),
            ChangeError::Write(WriteError::NoSpace(_)) => {
                tracing::warn!(error = chain(&error), "nothing was changed");
                Self::new(ErrorCode::NoSpace, "no room is left on this host's disk; nothing was changed")
                    .hint("free some room on the host and try again")
            }
            ChangeError::Write(WriteError::Io { .. }) => Self::internal(&error),
        }
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::JsonDataError(error) => {
                let (field, message) = field_of(&error.body_text());
                let refusal = Self::new(ErrorCode::Invalid, message);
                match field {
                    Some(field) => refusal.field(field),
                    None => refusal,
                }
            }
            JsonRejection::JsonSyntaxError(error) => {
                let text = error.body_text();
                let reason = text.rsplit_once(": ").map_or(text.as_str(), |(_, reason)| reason);
                Self::new(ErrorCode::BadRequest, format!("the body is not JSON: {reason}"))
            }
            JsonRejection::MissingJsonContentType(_) => {
                Self::new(ErrorCode::BadRequest, "the body is not declared as JSON")
                    .field("Content-Type")
                    .hint("send `Content-Type: application/json`")
            }
            other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(ErrorCode::TooLarge, format!("the body has more than {} bytes", super::MAX_JSON))
            }
            other => Self::new(ErrorCode::BadRequest, other.body_text()),
        }
    }
}

impl From<PathRejection> for Refusal {
    fn from(_: PathRejection) -> Self {
        Self::new(ErrorCode::BadRequest, "the id in the path is not a UUID")
            .field("id")
            .hint("write it as `01981234-5678-7abc-8def-0123456789ab`")
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        let (field, message) = field_of(&rejection.body_text());
        let refusal = Self::new(ErrorCode::BadRequest, message);
        match field {
            Some(field) => refusal.field(field),
            None => refusal,
        }
    }
}

/// Takes apart `Failed to …: path.to.field: what is wrong`; a field that is unknown or missing is named in backticks.
fn field_of(text: &str) -> (Option<String>, String) {
    let text = [
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to deserialize query string: ",
    ]
    .iter()
    .find_map(|prefix| text.strip_prefix(prefix))
    .unwrap_or(text);
    let (path, message) = match text.split_once(": ") {
        Some((path, message)) if !path.contains([' ', '`']) => (Some(path), message),
        _ => (None, text),
    };
    let named = ["unknown field `", "missing field `"]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix)?.split_once('`').map(|(name, _)| name));
    let field = match (path, named) {
        (Some(path), Some(name)) if path == name || path.ends_with(&format!(".{name}")) => {
            Some(path.to_owned())
        }
        (Some(path), Some(name)) => Some(format!("{path}.{name}")),
        (Some(path), None) => Some(path.to_owned()),
        (None, Some(name)) => Some(name.to_owned()),
        (None, None) => None,
    };
    (field, message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, field: Option<&str>, message: &str) {
        assert_eq!(field_of(text), (field.map(str::to_owned), message.to_owned()));
    }

    #[test]
    fn fields() {
        let json = "Failed to deserialize the JSON body into the target type: ";
        check(&format!("{json}name: a name cannot be empty"), Some("name"), "a name cannot be empty");
        check(&format!("{json}missing field `key` at line 1"), Some("key"), "missing field `key` at line 1");
        check(
            &format!("{json}limits: unknown field `x`, expected"),
            Some("limits.x"),
            "unknown field `x`, expected",
        );
        check(&format!("{json}limits.x: unknown field `x`, e"), Some("limits.x"), "unknown field `x`, e");
        check("Failed to deserialize query string: tail: invalid digit", Some("tail"), "invalid digit");
        check(&format!("{json}invalid type: null"), None, "invalid type: null");
    }
}
