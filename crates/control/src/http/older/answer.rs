//! Who calls, and bodies in and out, in the older shapes: `{"error": …}` for hosts, `{"success": …}` for clients.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::scopes::Scope;
use gateway::AuthError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use store::environments::EnvironmentRow;

use crate::app::{App, Problem, environments, tokens};
use crate::auth::Caller;

/// A refusal of an older host.
#[derive(Debug)]
pub(crate) struct HostFailure(StatusCode, String);

impl HostFailure {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self(status, error.into())
    }
}

impl From<Problem> for HostFailure {
    fn from(problem: Problem) -> Self {
        let detail = problem.into_detail();
        Self(status_of(detail.code), detail.message)
    }
}

impl IntoResponse for HostFailure {
    fn into_response(self) -> Response {
        challenged((self.0, Json(json!({ "error": self.1 }))).into_response())
    }
}

/// Every 401 says how to ask.
fn challenged(mut response: Response) -> Response {
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(r#"Bearer realm="berth""#);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn status_of(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Hosts take POST alone.
pub(crate) async fn wrong_method() -> Response {
    let body = Json(json!({"error": "Method not allowed"}));
    ([(header::ALLOW, "POST")], (StatusCode::METHOD_NOT_ALLOWED, body)).into_response()
}

/// The environment whose older host calls.
pub(crate) struct ByHost(pub(crate) EnvironmentRow);

impl FromRequestParts<Arc<App>> for ByHost {
    type Rejection = HostFailure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, HostFailure> {
        let unauthorized = |error: &str| HostFailure::new(StatusCode::UNAUTHORIZED, error);
        let bearer = gateway::bearer(&parts.headers)
            .ok_or_else(|| unauthorized("Unauthorized: Missing or invalid token"))?;
        match environments::of_token(app, bearer).await {
            Ok(row) => Ok(Self(row)),
            Err(Problem::Refused(detail)) if detail.code == ErrorCode::Unauthorized => {
                Err(unauthorized("Unauthorized: Invalid token"))
            }
            Err(problem) => Err(problem.into()),
        }
    }
}

/// A JSON object from an older host, whatever its declared type.
pub(crate) struct HostBody(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for HostBody {
    type Rejection = HostFailure;

    async fn from_request(request: Request, state: &S) -> Result<Self, HostFailure> {
        let body = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|rejection| HostFailure::new(rejection.status(), rejection.body_text()))?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) | Err(_) => Err(HostFailure::new(StatusCode::BAD_REQUEST, "Invalid JSON payload")),
        }
    }
}

/// What a handler for clients answers.
pub(crate) type Answer = Result<(StatusCode, Json<Value>), ClientFailure>;

/// A success with its data.
pub(crate) fn answer(status: StatusCode, data: &Value, message: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"success": true, "data": data, "error": null, "message": message})))
}

/// A refusal of an older client.
#[derive(Debug)]
pub(crate) struct ClientFailure(Problem);

impl<P: Into<Problem>> From<P> for ClientFailure {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

impl IntoResponse for ClientFailure {
    fn into_response(self) -> Response {
        let detail = self.0.into_detail();
        let mut body =
            json!({"success": false, "data": null, "error": detail.message, "message": detail.message});
        for (key, value) in [("field", detail.field), ("hint", detail.hint)] {
            if let Some(value) = value {
                body[key] = value.into();
            }
        }
        challenged((status_of(detail.code), Json(body)).into_response())
    }
}

/// The holder of the API token.
pub(crate) struct ByClient(pub(crate) Arc<Caller>);

impl FromRequestParts<Arc<App>> for ByClient {
    type Rejection = ClientFailure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ClientFailure> {
        let refused = |error| ClientFailure(tokens::refused(error));
        let bearer = gateway::bearer(&parts.headers).ok_or(AuthError::Missing).map_err(refused)?;
        let caller = app.directory.api_caller(bearer).await.map_err(refused)?;
        caller.require_scope(&Scope::Read).map_err(ClientFailure)?;
        Ok(Self(caller))
    }
}

/// The JSON body of a client.
pub(crate) struct ClientBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ClientBody<T> {
    type Rejection = ClientFailure;

    async fn from_request(request: Request, state: &S) -> Result<Self, ClientFailure> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(ClientFailure(crate::http::extract::explain(&rejection))),
        }
    }
}

/// Reads an object whose shape depends on what is in it.
pub(crate) fn read<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Problem> {
    serde_json::from_value(Value::Object(object)).map_err(|error| {
        let reason = error.to_string();
        crate::http::extract::with_field(Problem::refused(ErrorCode::Invalid, &reason), &reason)
    })
}
