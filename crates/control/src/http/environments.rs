//! `/api/v1/environments`.

use std::sync::Arc;

use api::environments::Environment;
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, environments};
use crate::http::extract::By;
use crate::http::refused::Refused;

/// The account's environments.
#[utoipa::path(
    get, path = "/api/v1/environments", tag = "environments", security(("token" = [])),
    responses((status = 200, body = Vec<Environment>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<Environment>>, Refused> {
    Ok(Json(environments::list(&app, &caller).await?))
}

/// One environment.
#[utoipa::path(
    get, path = "/api/v1/environments/{name}", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses((status = 200, body = Environment), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Environment>, Refused> {
    Ok(Json(environments::show(&app, &caller, &name).await?))
}
