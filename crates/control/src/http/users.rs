//! `/api/v1/whoami`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::users::{SetPasswordRequest, WhoAmI};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::{App, passwords};
use crate::http::extract::{Anyone, Body, By};
use crate::http::refused::Refused;

/// Who the token speaks for.
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "users", security(("token" = [])),
    responses((status = 200, body = WhoAmI), (status = 401, body = ErrorBody))
)]
pub(crate) async fn whoami(Anyone(caller): Anyone) -> Json<WhoAmI> {
    Json(WhoAmI {
        user: caller.user,
        user_name: caller.user_name.clone(),
        account: caller.account,
        account_name: caller.account_name.clone(),
        role: caller.role,
        scopes: caller.scopes.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Sets the password of the caller's user, for the pages. Every browser has to sign in again.
#[utoipa::path(
    put, path = "/api/v1/whoami/password", tag = "users", security(("token" = [])), request_body = SetPasswordRequest,
    responses(
        (status = 204), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody, description = "The present password is another"), (status = 422, body = ErrorBody),
        (status = 429, body = ErrorBody)
    )
)]
pub(crate) async fn set_password(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<SetPasswordRequest>,
) -> Result<StatusCode, Refused> {
    passwords::set(&app, &caller, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}
