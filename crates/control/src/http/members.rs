//! `/api/v1/members`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::members::{ChangeMemberRequest, Member};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, members};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// Who is in the caller's account.
#[utoipa::path(
    get, path = "/api/v1/members", tag = "members", security(("token" = [])),
    responses((status = 200, body = Vec<Member>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Member>>, Refused> {
    Ok(Json(members::list(&app, &caller).await?))
}

/// Changes what a member may do, for an admin; at most what the caller may.
#[utoipa::path(
    patch, path = "/api/v1/members/{name}", tag = "members", security(("token" = [])),
    params(("name" = String, Path, description = "The user's name")), request_body = ChangeMemberRequest,
    responses(
        (status = 200, body = Member), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "One owner always stays"), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<ChangeMemberRequest>,
) -> Result<Json<Member>, Refused> {
    Ok(Json(members::change(&app, &caller, &name, &request).await?))
}

/// Ends a membership, for an admin, or the caller's own. Its API tokens open nothing any more.
#[utoipa::path(
    delete, path = "/api/v1/members/{name}", tag = "members", security(("token" = [])),
    params(("name" = String, Path, description = "The user's name")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody, description = "One owner always stays")
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    members::remove(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
