//! `/api/v1/sessions`: where one is signed in with a browser.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::sessions::Session;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::scopes::Scope;

use crate::app::{App, sessions};
use crate::http::extract::By;
use crate::http::refused::Refused;

/// Where the caller's user is signed in, the last used first.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "users", security(("token" = [])),
    responses((status = 200, body = Vec<Session>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Session>>, Refused> {
    Ok(Json(sessions::list(&app, &caller).await?))
}

/// Ends one of the caller's own sessions: its browser has to sign in again.
#[utoipa::path(
    delete, path = "/api/v1/sessions/{id}", tag = "users", security(("token" = [])),
    params(("id" = String, Path, description = "The session's id")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    caller.require_scope(&Scope::Admin)?;
    sessions::end(&app, (caller.user, &caller.user_name), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
