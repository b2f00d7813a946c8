//! `/api/v1/digitalocean`.

use std::sync::Arc;

use api::droplets::DropletOptions;
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::State;

use crate::app::{App, droplets};
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
