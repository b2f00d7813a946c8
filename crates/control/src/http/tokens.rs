//! `/api/v1/tokens`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::tokens::{CreateTokenRequest, CreatedToken, Token};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, tokens};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The caller's API tokens; for an admin, everybody's of the account.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", security(("token" = [])),
    responses((status = 200, body = Vec<Token>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Token>>, Refused> {
    Ok(Json(tokens::list(&app, &caller).await?))
}

/// Makes an API token for the caller. The answer is the only time its text is shown.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", security(("token" = [])), request_body = CreateTokenRequest,
    responses(
        (status = 201, body = CreatedToken), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<CreateTokenRequest>,
) -> Result<(StatusCode, Json<CreatedToken>), Refused> {
    Ok((StatusCode::CREATED, Json(tokens::create(&app, &caller, &request).await?)))
}

/// Revokes an API token: the caller's own, or for an admin any of the account.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "tokens", security(("token" = [])),
    params(("id" = String, Path, description = "The token's id")),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    tokens::revoke(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
