//! `/api/v1/instances`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::instances::{DeployRequest, Instance, LogQuery};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};

use crate::app::App;
use crate::app::instances::{self, Order};
use crate::http::extract::{Body, By, Params};
use crate::http::refused::Refused;

/// The account's instances.
#[utoipa::path(
    get, path = "/api/v1/instances", tag = "instances", security(("token" = [])),
    responses((status = 200, body = Vec<Instance>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<Instance>>, Refused> {
    Ok(Json(instances::list(&app, &caller).await?))
}

/// Deploys. Nothing waits for a machine: the answer has the status `pending_deploy`.
#[utoipa::path(
    post, path = "/api/v1/instances", tag = "instances", security(("token" = [])), request_body = DeployRequest,
    responses(
        (status = 201, body = Instance), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 507, body = ErrorBody)
    )
)]
pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<DeployRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Instance>), Refused> {
    let instance = instances::deploy(&app, &caller, &request).await?;
    let location = format!("/api/v1/instances/{}", instance.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(instance)))
}

/// One instance.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses((status = 200, body = Instance), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(instances::show(&app, &caller, &name).await?))
}

/// Removes an instance and what it stored. It is shown as `deleting` until its host has removed it.
#[utoipa::path(
    delete, path = "/api/v1/instances/{name}", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 202, body = Instance), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Instance>), Refused> {
    Ok((StatusCode::ACCEPTED, Json(instances::order(&app, &caller, &name, Order::Remove).await?)))
}

/// Wants an instance to run. One that failed is tried again at once.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/start", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = Instance), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(instances::order(&app, &caller, &name, Order::Start).await?))
}

/// Wants an instance stopped.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/stop", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = Instance), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(instances::order(&app, &caller, &name, Order::Stop).await?))
}

/// Restarts an instance's server.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/restart", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = Instance), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn restart(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Instance>, Refused> {
    Ok(Json(instances::order(&app, &caller, &name, Order::Restart).await?))
}

/// The last lines that the server wrote to standard error, oldest first; with `follow`, new ones as they come.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/logs", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name"), LogQuery),
    responses(
        (status = 200, body = String, content_type = "text/plain"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Params(query): Params<LogQuery>,
) -> Result<([(HeaderName, &'static str); 1], axum::body::Body), Refused> {
    let body = instances::logs(&app, &caller, &name, query).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], axum::body::Body::new(body)))
}
