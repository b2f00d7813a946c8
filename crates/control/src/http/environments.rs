//! `/api/v1/environments`.

use std::sync::Arc;

use api::dtma::{CleanupReport, CleanupRequest};
use api::environments::{AddEnvironmentRequest, ChangeEnvironmentRequest, Environment, EnvironmentToken};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};

use crate::app::environments::{self, Removal};
use crate::app::{App, fleet};
use crate::http::extract::{Body, By};
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

/// Makes another machine an environment, for an admin. `POST …/{name}/token` gives the token that its DTMA needs.
#[utoipa::path(
    post, path = "/api/v1/environments", tag = "environments", security(("token" = [])),
    request_body = AddEnvironmentRequest,
    responses(
        (status = 201, body = Environment), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<AddEnvironmentRequest>,
) -> Result<(StatusCode, Json<Environment>), Refused> {
    Ok((StatusCode::CREATED, Json(environments::add(&app, &caller, &request).await?)))
}

/// Changes an environment's name, its labels, or whether it takes new instances, for an admin.
#[utoipa::path(
    patch, path = "/api/v1/environments/{name}", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    request_body = ChangeEnvironmentRequest,
    responses(
        (status = 200, body = Environment), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ChangeEnvironmentRequest>,
) -> Result<Json<Environment>, Refused> {
    Ok(Json(fleet::change(&app, &caller, &name, &request).await?))
}

/// Removes an environment that has no instances, for an admin.
#[utoipa::path(
    delete, path = "/api/v1/environments/{name}", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses(
        (status = 202, description = "its droplet is being destroyed; it goes with that"),
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    Ok(match environments::remove(&app, &caller, &name).await? {
        Removal::Done => StatusCode::NO_CONTENT,
        Removal::Begun => StatusCode::ACCEPTED,
    })
}

/// The token of an environment's DTMA, for an admin. Each time is a line of the audit.
#[utoipa::path(
    post, path = "/api/v1/environments/{name}/token", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses(
        (status = 200, body = EnvironmentToken), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<EnvironmentToken>), Refused> {
    let token = environments::token(&app, &caller, &name).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(token)))
}

/// Removes from an environment's host what no instance needs, for an admin, or says what that would be. Each time that
/// something is removed is a line of the audit.
#[utoipa::path(
    post, path = "/api/v1/environments/{name}/cleanup", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    request_body = CleanupRequest,
    responses(
        (status = 200, body = CleanupReport), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn cleanup(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<CleanupRequest>,
) -> Result<Json<CleanupReport>, Refused> {
    Ok(Json(environments::cleanup(&app, &caller, &name, request).await?))
}
