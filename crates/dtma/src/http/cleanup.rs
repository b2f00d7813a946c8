//! `/v1/cleanup`: removing from this host what no instance needs.

use api::dtma::{CleanupReport, CleanupRequest};
use api::errors::{ErrorBody, ErrorCode};
use axum::Json;
use axum::extract::State;

use super::App;
use super::errors::{Body, Refusal};
use crate::cleanup::{self, CleanupError};

/// Removes what Berth made or fetched and no instance needs, nor the way back to what each ran before; or says what that
/// would be.
#[utoipa::path(
    post,
    path = "/v1/cleanup",
    security(("token" = [])),
    request_body = CleanupRequest,
    responses(
        (status = 200, body = CleanupReport),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 409, description = "Something is being installed", body = ErrorBody),
        (status = 422, body = ErrorBody),
        (status = 500, body = ErrorBody),
    )
)]
pub(crate) async fn run(
    State(app): State<App>,
    Body(request): Body<CleanupRequest>,
) -> Result<Json<CleanupReport>, Refusal> {
    match cleanup::run(&app.instances, request.dry_run).await {
        Ok(report) => Ok(Json(report)),
        Err(error @ CleanupError::Busy) => Err(Refusal::new(ErrorCode::Conflict, error.to_string())
            .hint("ask again when it is done; nothing was removed")),
        Err(error @ CleanupError::Unknown { .. }) => {
            Err(Refusal::new(ErrorCode::Conflict, error.to_string())
                .hint("deploy it again or remove it; nothing was removed"))
        }
        Err(CleanupError::Runtime(error)) => Err(Refusal::internal(&error)),
    }
}
