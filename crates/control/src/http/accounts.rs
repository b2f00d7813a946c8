//! `/api/v1/accounts`.

use std::sync::Arc;

use api::accounts::{Account, CreateAccountRequest};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::{App, accounts};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The accounts of the caller's user; for who looks after the installation, all.
#[utoipa::path(
    get, path = "/api/v1/accounts", tag = "accounts", security(("token" = [])),
    responses((status = 200, body = Vec<Account>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Account>>, Refused> {
    Ok(Json(accounts::list(&app, &caller).await?))
}

/// Makes an account, whose owner the caller's user is. Only who looks after the installation may.
#[utoipa::path(
    post, path = "/api/v1/accounts", tag = "accounts", security(("token" = [])), request_body = CreateAccountRequest,
    responses(
        (status = 201, body = Account), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<CreateAccountRequest>,
) -> Result<(StatusCode, Json<Account>), Refused> {
    Ok((StatusCode::CREATED, Json(accounts::create(&app, &caller, request).await?)))
}
