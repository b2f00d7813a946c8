//! `/api/v1/instances/{name}/own-values`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::own_values::{OwnValues, OwnValuesRequest};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, own_values};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// What callers of an instance bring for themselves, and which of it the caller has given. Values are never shown.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/own-values", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = OwnValues), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<OwnValues>, Refused> {
    Ok(Json(own_values::show(&app, &caller, &name).await?))
}

/// Keeps values of the caller's own. Their calls have them within ten seconds; nobody else's ever do.
#[utoipa::path(
    put, path = "/api/v1/instances/{name}/own-values", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = OwnValuesRequest,
    responses(
        (status = 200, body = OwnValues), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<OwnValuesRequest>,
) -> Result<Json<OwnValues>, Refused> {
    Ok(Json(own_values::put(&app, &caller, &name, &request).await?))
}

/// Forgets the caller's own values.
#[utoipa::path(
    delete, path = "/api/v1/instances/{name}/own-values", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    own_values::forget(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
