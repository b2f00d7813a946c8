//! `/api/v1/registries`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::registries::{Registry, RegistryLoginRequest};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, registries};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The registries of container images that the account has a login for; for an admin.
#[utoipa::path(
    get, path = "/api/v1/registries", tag = "registries", security(("token" = [])),
    responses(
        (status = 200, body = Vec<Registry>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<Registry>>, Refused> {
    Ok(Json(registries::list(&app, &caller).await?))
}

/// Keeps a login for a registry, in the place of an older one; for an admin. Its password is never shown again.
#[utoipa::path(
    put, path = "/api/v1/registries/{host}", tag = "registries", security(("token" = [])),
    params(("host" = String, Path, description = "As the names of its images begin, such as `ghcr.io`")),
    request_body = RegistryLoginRequest,
    responses(
        (status = 200, body = Registry), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(host): Path<String>,
    Body(request): Body<RegistryLoginRequest>,
) -> Result<Json<Registry>, Refused> {
    Ok(Json(registries::login(&app, &caller, &host, &request).await?))
}

/// Forgets the login of a registry; for an admin.
#[utoipa::path(
    delete, path = "/api/v1/registries/{host}", tag = "registries", security(("token" = [])),
    params(("host" = String, Path, description = "As it was given")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn logout(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(host): Path<String>,
) -> Result<StatusCode, Refused> {
    registries::logout(&app, &caller, &host).await?;
    Ok(StatusCode::NO_CONTENT)
}
