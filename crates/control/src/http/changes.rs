//! Changing what instances are.

use std::sync::Arc;

use api::changes::{Change, ChangeRequest, RollbackRequest};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, changes};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// An instance's changes, the newest first; the last 50 are kept.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/changes", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = Vec<Change>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<Change>>, Refused> {
    Ok(Json(changes::list(&app, &caller, &name).await?))
}

/// Begins to make an instance something else. What it would be is started beside it; once it works there, it takes the instance's
/// place. What does not work changes nothing.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/changes", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = ChangeRequest,
    responses(
        (status = 201, body = Change), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ChangeRequest>,
) -> Result<(StatusCode, Json<Change>), Refused> {
    Ok((StatusCode::CREATED, Json(changes::begin(&app, &caller, &name, &request).await?)))
}

/// Begins to make an instance what it was, in the same way.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/rollback", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = RollbackRequest,
    responses(
        (status = 201, body = Change), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn roll_back(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<RollbackRequest>,
) -> Result<(StatusCode, Json<Change>), Refused> {
    Ok((StatusCode::CREATED, Json(changes::roll_back(&app, &caller, &name, &request).await?)))
}

/// Puts a change that waits for it in the instance's place.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/changes/{number}/switch", tag = "instances", security(("token" = [])),
    params(
        ("name" = String, Path, description = "The instance's name"),
        ("number" = u64, Path, description = "The change's number")
    ),
    responses(
        (status = 200, body = Change), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn switch(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Json<Change>, Refused> {
    Ok(Json(changes::switch(&app, &caller, &name, number).await?))
}

/// Gives a change up that has not taken the instance's place.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/changes/{number}/drop", tag = "instances", security(("token" = [])),
    params(
        ("name" = String, Path, description = "The instance's name"),
        ("number" = u64, Path, description = "The change's number")
    ),
    responses(
        (status = 200, body = Change), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn give_up(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path((name, number)): Path<(String, u64)>,
) -> Result<Json<Change>, Refused> {
    Ok(Json(changes::give_up(&app, &caller, &name, number).await?))
}
