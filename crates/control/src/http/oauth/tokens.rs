//! What clients post.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use oauth::errors::Code;
use oauth::parameters::Parameters;
use oauth::registration::ClientMetadata;
use serde_json::Value;

use crate::app::App;
use crate::app::oauth::devices::Waiting;
use crate::app::oauth::tokens::Given;
use crate::app::oauth::{Failure, devices, proof, register as registration, tokens};
use crate::http::oauth::Base;
use crate::http::oauth::answer::Secretly;
use crate::proxies::Seen;

/// A form, and nothing that only looks like one.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<Parameters, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let words = "the body is a form: `Content-Type: application/x-www-form-urlencoded`";
        return Err(Failure::new(Code::InvalidRequest, words));
    }
    Ok(Parameters::parse(body))
}

/// `/oauth/token`.
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    Base(base): Base,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Secretly<Given>, Failure> {
    let given = form(&headers, &body)?;
    let client = proof::client(&app, &base, &headers, &given).await?;
    Ok(Secretly(tokens::give(&app, &base, &client, &given).await?))
}

/// `/oauth/register`.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    seen: Option<Extension<Seen>>,
    metadata: Result<Json<ClientMetadata>, JsonRejection>,
) -> Result<Response, Failure> {
    let Json(metadata) =
        metadata.map_err(|error| Failure::new(Code::InvalidClientMetadata, error.body_text()))?;
    let from = seen.map(|Extension(seen)| seen.address);
    let registered = registration::register(&app, metadata, from).await?;
    Ok((StatusCode::CREATED, Secretly(registered)).into_response())
}

/// `/oauth/revoke`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Base(base): Base,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Failure> {
    let given = form(&headers, &body)?;
    let client = proof::client(&app, &base, &headers, &given).await?;
    tokens::revoke(&app, &client, given.required("token")?).await?;
    Ok(StatusCode::OK)
}

/// `/oauth/introspect`.
pub(crate) async fn introspect(
    State(app): State<Arc<App>>,
    Base(base): Base,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Secretly<Value>, Failure> {
    let given = form(&headers, &body)?;
    let client = proof::client(&app, &base, &headers, &given).await?;
    Ok(Secretly(tokens::introspect(&app, &client, given.required("token")?).await?))
}

/// `/oauth/device`.
pub(crate) async fn device(
    State(app): State<Arc<App>>,
    Base(base): Base,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Secretly<Waiting>, Failure> {
    let given = form(&headers, &body)?;
    let client = proof::client(&app, &base, &headers, &given).await?;
    Ok(Secretly(devices::begin(&app, &base, &client, &given).await?))
}
