//! `/api/v1/upgrades`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::upgrades::{Upgrade, UpgradeHostsRequest};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::{App, upgrades};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The account's last ten upgrades of host agents, the newest first.
#[utoipa::path(
    get, path = "/api/v1/upgrades", tag = "environments", security(("token" = [])),
    responses((status = 200, body = Vec<Upgrade>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Upgrade>>, Refused> {
    Ok(Json(upgrades::list(&app, &caller).await?))
}

/// Begins to change host agents to the program that this control plane is, in waves, for an admin. A host that does not work with
/// it goes back to what it was, and stops those after it.
#[utoipa::path(
    post, path = "/api/v1/upgrades", tag = "environments", security(("token" = [])),
    request_body = UpgradeHostsRequest,
    responses(
        (status = 201, body = Upgrade), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<UpgradeHostsRequest>,
) -> Result<(StatusCode, Json<Upgrade>), Refused> {
    Ok((StatusCode::CREATED, Json(upgrades::begin(&app, &caller, &request).await?)))
}
