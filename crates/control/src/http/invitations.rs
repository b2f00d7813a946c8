//! `/api/v1/invitations`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::invitations::{CreateInvitationRequest, CreatedInvitation, Invitation};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};

use crate::app::{App, invitations};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The account's invitations that nobody has accepted yet, for an admin.
#[utoipa::path(
    get, path = "/api/v1/invitations", tag = "members", security(("token" = [])),
    responses((status = 200, body = Vec<Invitation>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<Invitation>>, Refused> {
    Ok(Json(invitations::list(&app, &caller).await?))
}

/// Makes a one-time link into the account, for an admin. The answer is the only time it is shown.
#[utoipa::path(
    post, path = "/api/v1/invitations", tag = "members", security(("token" = [])), request_body = CreateInvitationRequest,
    responses(
        (status = 201, body = CreatedInvitation), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<CreateInvitationRequest>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<CreatedInvitation>), Refused> {
    let made = invitations::create(&app, &caller, &request).await?;
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)))
}

/// Takes an invitation back, for an admin.
#[utoipa::path(
    delete, path = "/api/v1/invitations/{id}", tag = "members", security(("token" = [])),
    params(("id" = String, Path, description = "The invitation's id")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    invitations::revoke(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
