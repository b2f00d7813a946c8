//! `/api/v1/oauth/grants`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::oauth::Grant;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::App;
use crate::app::oauth::grants;
use crate::http::extract::By;
use crate::http::refused::Refused;

/// What the caller allowed OAuth clients; for an admin, what everybody of the account did.
#[utoipa::path(
    get, path = "/api/v1/oauth/grants", tag = "oauth", security(("token" = [])),
    responses((status = 200, body = Vec<Grant>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Grant>>, Refused> {
    Ok(Json(grants::list(&app, &caller).await?))
}

/// Revokes what an OAuth client was allowed: the caller's own, or for an admin any of the account.
#[utoipa::path(
    delete, path = "/api/v1/oauth/grants/{id}", tag = "oauth", security(("token" = [])),
    params(("id" = String, Path, description = "The grant's id")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    grants::revoke(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
