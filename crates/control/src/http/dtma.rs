//! `/api/v1/dtma`: what DTMAs send.

use std::sync::Arc;

use api::dtma::Heartbeat;
use api::errors::ErrorBody;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::{App, environments};
use crate::http::extract::{Body, ByDtma};
use crate::http::refused::Refused;

/// A heartbeat of a DTMA: every 15 s, and at once when something changed.
#[utoipa::path(
    post, path = "/api/v1/dtma/heartbeat", tag = "dtma", security(("dtma" = [])), request_body = Heartbeat,
    responses(
        (status = 204), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn heartbeat(
    State(app): State<Arc<App>>,
    ByDtma(environment): ByDtma,
    Body(body): Body<Heartbeat>,
) -> Result<StatusCode, Refused> {
    environments::heartbeat(&app, &environment, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}
