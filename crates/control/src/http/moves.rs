//! Moving instances between environments.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::instances::Instance;
use api::moves::{Drain, FailoverRequest, MoveRequest};
use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, moves};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// Moves an instance to another environment. It starts there once its host has let go of it; its address, key and sessions stay.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/move", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = MoveRequest,
    responses(
        (status = 200, body = Instance), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn move_to(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<MoveRequest>,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(moves::move_to(&app, &caller, &name, &request).await?))
}

/// Sets when an instance is moved away from a host that is not heard. Its server is restarted with that.
#[utoipa::path(
    put, path = "/api/v1/instances/{name}/failover", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = FailoverRequest,
    responses(
        (status = 200, body = Instance), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn set_failover(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<FailoverRequest>,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(moves::set_failover(&app, &caller, &name, &request).await?))
}

/// Cordons an environment and moves its instances to others, each to that with most room. Says of each what became of it; asked again, it
/// tries again.
#[utoipa::path(
    post, path = "/api/v1/environments/{name}/drain", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses(
        (status = 200, body = Drain), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn drain(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Drain>, Refused> {
    Ok(Json(moves::drain(&app, &caller, &name).await?))
}
