//! What is not part of the JSON API: the document of it, probes and metrics.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::app::problem::Chain;
use crate::app::{App, Problem};
use crate::http::refused::Refused;
use crate::tasks::StatusView;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/api/openapi.json", get(document))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

#[derive(Debug, Serialize)]
struct Ready {
    status: &'static str,
    version: &'static str,
    reconcilers: StatusView,
}

async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(super::openapi())
}

/// The process answers.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can serve: its database answers.
async fn readyz(State(app): State<Arc<App>>) -> Result<Json<Ready>, Refused> {
    match app.store.ping().await {
        Ok(()) => Ok(Json(Ready {
            status: "ready",
            version: env!("CARGO_PKG_VERSION"),
            reconcilers: app.statuses.view(),
        })),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "not ready: the database does not answer");
            Err(Problem::refused(ErrorCode::Unavailable, "the database does not answer").into())
        }
    }
}

async fn metrics(State(app): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], String) {
    app.metrics.instances(app.directory.picture().counts());
    app.metrics.calls_lost(app.calls.lost());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], app.metrics.text())
}
