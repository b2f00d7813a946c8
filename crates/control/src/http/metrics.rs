//! `/api/v1/metrics` and `/api/v1/instances/{name}/metrics`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::metrics::{AccountMetrics, MetricsHistory, MetricsQuery};
use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, metrics};
use crate::http::extract::{By, Params};
use crate::http::refused::Refused;

/// What an instance used and how it was called. It is at most a minute old, or as it is now where this control plane saw it itself.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/metrics", tag = "metrics", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name"), MetricsQuery),
    responses(
        (status = 200, body = MetricsHistory), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn of_instance(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Params(query): Params<MetricsQuery>,
) -> Result<Json<MetricsHistory>, Refused> {
    Ok(Json(metrics::of_instance(&app, &caller, &name, query.range).await?))
}

/// What the account's instances used and how they were called in the last five minutes.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "metrics", security(("token" = [])),
    responses((status = 200, body = AccountMetrics), (status = 401, body = ErrorBody))
)]
pub(crate) async fn lately(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<AccountMetrics>, Refused> {
    Ok(Json(metrics::lately(&app, &caller).await?))
}
