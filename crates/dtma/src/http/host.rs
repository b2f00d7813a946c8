//! The host itself: whether it answers, what it is, its load, its counters, and its end.

use api::dtma::{DtmaInfo, ShutdownRequest, SystemMetrics};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use std::sync::PoisonError;

use super::App;
use super::errors::{Body, Refusal};

/// The only path that needs no token.
pub(crate) const HEALTH_PATH: &str = "/health";

/// Whether this DTMA answers.
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, description = "It answers", content_type = "text/plain", body = String))
)]
pub(crate) async fn health() -> &'static str {
    "OK"
}

/// What this DTMA is.
#[utoipa::path(
    get,
    path = "/v1/info",
    security(("token" = [])),
    responses((status = 200, body = DtmaInfo), (status = 401, body = ErrorBody))
)]
pub(crate) async fn info(State(app): State<App>) -> Json<DtmaInfo> {
    Json(DtmaInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        environment: app.environment,
        protections: app.instances.shared().runtime.protections(),
        architecture: Some(std::env::consts::ARCH.to_owned()),
    })
}

/// Load and room of this host; the load is the mean since this was last asked.
#[utoipa::path(
    get,
    path = "/v1/system",
    security(("token" = [])),
    responses((status = 200, body = SystemMetrics), (status = 401, body = ErrorBody))
)]
pub(crate) async fn system(State(app): State<App>) -> Json<SystemMetrics> {
    Json(app.meter.lock().unwrap_or_else(PoisonError::into_inner).measure())
}

/// Counters in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    security(("token" = [])),
    responses(
        (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text", body = String),
        (status = 401, body = ErrorBody),
    )
)]
pub(crate) async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Refusal> {
    let text = app
        .instances
        .shared()
        .metrics
        .render(&app.instances.reports())
        .map_err(|error| Refusal::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

/// Ends this DTMA, after its instances when that is asked for. The answer comes when they have stopped.
#[utoipa::path(
    post,
    path = "/v1/shutdown",
    security(("token" = [])),
    request_body = ShutdownRequest,
    responses(
        (status = 204, description = "It ends now"),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 422, body = ErrorBody),
    )
)]
pub(crate) async fn shutdown(State(app): State<App>, Body(request): Body<ShutdownRequest>) -> StatusCode {
    if request.stop_instances {
        app.instances.halt().await;
    }
    // The server lets answers under way finish, this one among them.
    app.stop.cancel();
    StatusCode::NO_CONTENT
}
