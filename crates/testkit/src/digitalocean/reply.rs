//! Answers in the API's shapes, and the parts of a request.

use serde_json::{Value, json};

/// A request, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Option<Value>,
}

impl Ask {
    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A member of the body.
    pub(super) fn member(&self, name: &str) -> &Value {
        self.body.as_ref().and_then(|body| body.get(name)).unwrap_or(&Value::Null)
    }

    /// A member of the body that is a text.
    pub(super) fn text(&self, name: &str) -> &str {
        self.member(name).as_str().unwrap_or_default()
    }

    /// The elements of a member of the body that is a list.
    pub(super) fn elements(&self, name: &str) -> &[Value] {
        self.member(name).as_array().map_or(&[], Vec::as_slice)
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Option<Value>,
    pub(super) retry_after: Option<u64>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body: Some(body), retry_after: None }
    }

    pub(super) fn nothing() -> Self {
        Self { status: 204, body: None, retry_after: None }
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        let id = match status {
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not_found",
            409 => "conflict",
            422 => "unprocessable_entity",
            429 => "too_many_requests",
            503 => "service_unavailable",
            _ => "server_error",
        };
        Self::new(status, json!({"id": id, "message": message}))
    }

    pub(super) fn not_found() -> Self {
        Self::error(404, "The resource you requested could not be found.")
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::error(422, message)
    }
}
