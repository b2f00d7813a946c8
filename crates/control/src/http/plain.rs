//! What is not part of the JSON API: the document of it, probes, metrics, and a word for browsers.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::Html;
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
        .route("/", get(home))
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

async fn home(State(app): State<Arc<App>>) -> Html<String> {
    // The address comes from the operator's own flag; it is escaped all the same.
    let url = app.public().url.replace('&', "&amp;").replace('<', "&lt;");
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Berth</title>\
         <h1>Berth</h1><p>This is a Berth control plane: it deploys MCP servers onto machines you own and puts one \
         authenticated address in front of each.</p>\
         <p>On its machine, type</p><pre>berth list\nberth catalog search\nberth deploy everything --wait</pre>\
         <p>From elsewhere, set <code>BERTH_URL={url}</code> and <code>BERTH_TOKEN</code> first. \
         The API is described at <a href=/api/openapi.json>/api/openapi.json</a>.</p></html>"
    ))
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
