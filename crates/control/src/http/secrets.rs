//! `/api/v1/secrets`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::secrets::{SecretKept, SecretRequest, StoredSecret};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, secrets};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The account's secrets, which instances use them, and who gave them when; for a member. Their values are never shown.
#[utoipa::path(
    get, path = "/api/v1/secrets", tag = "secrets", security(("token" = [])),
    responses(
        (status = 200, body = Vec<StoredSecret>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<StoredSecret>>, Refused> {
    Ok(Json(secrets::list(&app, &caller).await?))
}

/// Keeps a value as the newest version of a secret, which is made when it is not there; for an admin. The answer says which instances get
/// it now.
#[utoipa::path(
    put, path = "/api/v1/secrets/{name}", tag = "secrets", security(("token" = [])),
    params(("name" = String, Path, description = "Its name, such as `GITHUB_TOKEN`")),
    request_body = SecretRequest,
    responses(
        (status = 200, body = SecretKept), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<SecretRequest>,
) -> Result<Json<SecretKept>, Refused> {
    Ok(Json(secrets::put(&app, &caller, &name, &request).await?))
}

/// Removes a secret with all its versions; for an admin. While an instance uses it: 409 with their names.
#[utoipa::path(
    delete, path = "/api/v1/secrets/{name}", tag = "secrets", security(("token" = [])),
    params(("name" = String, Path, description = "Its name")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    secrets::remove(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
