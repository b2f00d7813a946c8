//! What older hosts send.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::answer::{ByHost, HostBody, HostFailure};
use crate::app::{App, older};

/// A heartbeat in either of the older forms.
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    ByHost(environment): ByHost,
    HostBody(body): HostBody,
) -> Result<StatusCode, HostFailure> {
    older::heartbeat(&app, &environment, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The secrets of an instance of the calling host.
pub(crate) async fn secrets(
    State(app): State<Arc<App>>,
    ByHost(environment): ByHost,
    HostBody(body): HostBody,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), HostFailure> {
    let secrets = older::secrets(&app, &environment, &body).await?;
    let body = Json(json!({ "secrets": older::exposed(&secrets) }));
    Ok(([(header::CACHE_CONTROL, "no-store")], body))
}
