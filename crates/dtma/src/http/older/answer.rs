//! Bodies in and out, in the older shapes: `{"success": …}` with a text for an error.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::instance::chain;
use crate::instances::ChangeError;
use crate::ports::PortError;
use crate::specs::WriteError;

/// What a handler answers.
pub(crate) type Answer = Result<(StatusCode, Json<Value>), Failure>;

/// 200 with a body.
#[expect(clippy::unnecessary_wraps, reason = "it is what handlers return")]
pub(crate) fn ok(body: Value) -> Answer {
    Ok((StatusCode::OK, Json(body)))
}

/// 200 with `success` and a message.
pub(crate) fn done(message: impl Into<String>) -> Answer {
    ok(json!({"success": true, "message": message.into()}))
}

/// A moment as the older callers write it.
pub(crate) fn iso(at: Timestamp) -> String {
    Timestamp(at.0 - at.0.rem_euclid(1000)).to_string()
}

/// Now, likewise.
pub(crate) fn timestamp() -> String {
    iso(crate::instance::now())
}

/// An answer outside 2xx.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    error: String,
    message: Option<String>,
    field: Option<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), message: None, field: None, hint: None }
    }

    /// 400 about a field.
    pub(crate) fn bad(field: impl Into<String>, error: impl Into<String>) -> Self {
        let mut failure = Self::new(StatusCode::BAD_REQUEST, error);
        failure.field = Some(field.into());
        failure
    }

    /// 404 for a tool.
    pub(crate) fn no_tool(name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("Tool instance '{name}' not found or not managed by this DTMA."),
        )
    }

    pub(crate) fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error alone, for a part of an answer.
    pub(crate) fn into_error(self) -> String {
        self.error
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = json!({"success": false, "error": self.error});
        for (key, value) in [("message", self.message), ("field", self.field), ("hint", self.hint)] {
            if let Some(value) = value {
                body[key] = value.into();
            }
        }
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let text = error.to_string();
        match error {
            ChangeError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, text),
            ChangeError::Port(PortError::Taken { port, .. }) => Self::new(
                StatusCode::CONFLICT,
                format!("Port conflict: Requested HostPort {port} is already in use by a managed instance."),
            ),
            ChangeError::Port(PortError::InUse(port)) => Self::new(
                StatusCode::CONFLICT,
                format!("Port conflict: Requested HostPort {port} is already in use on this host."),
            ),
            ChangeError::Port(PortError::Own(_) | PortError::Shape(_) | PortError::Address(_)) => {
                Self::bad("PortBindings", text).hint("choose another port of the host")
            }
            ChangeError::NameTaken(_)
            | ChangeError::IdTaken { .. }
            | ChangeError::Older { .. }
            | ChangeError::LetGo { .. }
            | ChangeError::Removing
            | ChangeError::RemovedHere
            | ChangeError::Unreadable => Self::new(StatusCode::CONFLICT, text),
            ChangeError::Halting | ChangeError::Slow => Self::new(StatusCode::SERVICE_UNAVAILABLE, text),
            ChangeError::Write(WriteError::NoSpace(_)) => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "no room is left on this host's disk")
                    .hint("free some room on the host and try again")
            }
            ChangeError::Write(WriteError::Io { .. }) => {
                tracing::error!(error = chain(&error), "a request failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "this host could not do it; the DTMA's log has the reason",
                )
            }
        }
    }
}

/// A JSON object, whatever its declared type: not every older caller declares one. An empty body is an empty object.
pub(crate) struct Object(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let body = axum::body::Bytes::from_request(request, state).await.map_err(|rejection| {
            Failure::new(rejection.status(), format!("the body cannot be read: {}", rejection.body_text()))
        })?;
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(&body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(Failure::new(StatusCode::BAD_REQUEST, "the body must be a JSON object")),
            Err(error) => {
                Err(Failure::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}")))
            }
        }
    }
}

impl Object {
    /// Texts that must be there.
    pub(crate) fn texts<const N: usize>(&self, names: [&str; N]) -> Result<[&str; N], Failure> {
        texts(&self.0, names)
    }
}

/// Texts that must be in an object; the first that is missing is named, and all are listed.
pub(crate) fn texts<'a, const N: usize>(
    object: &'a Map<String, Value>,
    names: [&str; N],
) -> Result<[&'a str; N], Failure> {
    let mut found = [""; N];
    let mut missing = Vec::new();
    for (slot, name) in found.iter_mut().zip(names) {
        match object.get(name) {
            None | Some(Value::Null) => missing.push(name),
            Some(Value::String(text)) if text.is_empty() => missing.push(name),
            Some(Value::String(text)) => *slot = text,
            Some(_) => return Err(Failure::bad(name, format!("{name} must be a text"))),
        }
    }
    match missing.first() {
        None => Ok(found),
        Some(first) => Err(Failure::bad(*first, format!("Missing required fields: {}", missing.join(", ")))),
    }
}
