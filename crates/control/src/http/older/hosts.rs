//! What older hosts send.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use domain::secret::Secrets;
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
) -> Result<Shown, HostFailure> {
    Ok(shown(&older::secrets(&app, &environment, &body).await?))
}

/// What an agent brings to an instance of the calling host.
pub(crate) async fn agent_credentials(
    State(app): State<Arc<App>>,
    ByHost(environment): ByHost,
    HostBody(body): HostBody,
) -> Result<Shown, HostFailure> {
    Ok(shown(&older::agents::secrets(&app, &environment, &body).await?))
}

type Shown = ([(HeaderName, &'static str); 1], Json<Value>);

fn shown(secrets: &Secrets) -> Shown {
    ([(header::CACHE_CONTROL, "no-store")], Json(json!({ "secrets": older::exposed(secrets) })))
}
