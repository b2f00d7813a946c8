//! `/api/v1/digitalocean`.

use std::sync::Arc;

use api::droplets::{DropletOptions, Stray};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::App;
use crate::app::droplets::{self, strays};
use crate::http::extract::By;
use crate::http::refused::Refused;

/// What a droplet can be, as DigitalOcean has it now, for an admin.
#[utoipa::path(
    get, path = "/api/v1/digitalocean/options", tag = "environments", security(("token" = [])),
    responses(
        (status = 200, body = DropletOptions), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn options(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<DropletOptions>, Refused> {
    Ok(Json(droplets::options(&app, &caller).await?))
}

/// Droplets that carry Berth's tags and are no environment's, for an admin.
#[utoipa::path(
    get, path = "/api/v1/digitalocean/strays", tag = "environments", security(("token" = [])),
    responses(
        (status = 200, body = Vec<Stray>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn list_strays(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<Stray>>, Refused> {
    Ok(Json(strays::list(&app, &caller).await?))
}

/// Destroys such a droplet with all that is on it, for an admin. Each time is a line of the audit.
#[utoipa::path(
    delete, path = "/api/v1/digitalocean/strays/{id}", tag = "environments", security(("token" = [])),
    params(("id" = u64, Path, description = "DigitalOcean's number of it")),
    responses(
        (status = 204), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn destroy_stray(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<u64>,
) -> Result<StatusCode, Refused> {
    strays::destroy(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
