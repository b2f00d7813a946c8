//! `/api/v1/oauth/clients`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::oauth::{Client, CreateClientRequest, CreatedClient};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::App;
use crate::app::oauth::clients;
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The OAuth clients that people of the account registered.
#[utoipa::path(
    get, path = "/api/v1/oauth/clients", tag = "oauth", security(("token" = [])),
    responses((status = 200, body = Vec<Client>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Client>>, Refused> {
    Ok(Json(clients::list(&app, &caller).await?))
}

/// Registers an OAuth client for the account, for an admin. The answer is the only time its secret is shown.
#[utoipa::path(
    post, path = "/api/v1/oauth/clients", tag = "oauth", security(("token" = [])),
    request_body = CreateClientRequest,
    responses(
        (status = 201, body = CreatedClient), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<CreateClientRequest>,
) -> Result<(StatusCode, Json<CreatedClient>), Refused> {
    Ok((StatusCode::CREATED, Json(clients::create(&app, &caller, &request).await?)))
}

/// Forgets an OAuth client of the account, for an admin, and revokes what it was allowed.
#[utoipa::path(
    delete, path = "/api/v1/oauth/clients/{id}", tag = "oauth", security(("token" = [])),
    params(("id" = String, Path, description = "The client's id")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    clients::remove(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
