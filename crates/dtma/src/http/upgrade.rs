//! `/v1/binary` and `/v1/upgrade`: another binary for this host's service.

use std::str::FromStr as _;

use api::dtma::{BinaryProgress, MAX_PIECE, PieceQuery, UpgradeRequest, UpgradeView};
use api::errors::{ErrorBody, ErrorCode};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use domain::program::ProgramDigest;

use super::App;
use super::errors::{Body, Path, Query, Refusal};
use crate::specs::WriteError;
use crate::upgrade::UpgradeError;

/// Takes a piece of a binary that is to be this host's service. One that does not follow what is there changes nothing; the answer says what
/// is there.
#[utoipa::path(
    put,
    path = "/v1/binary/{sha256}",
    security(("token" = [])),
    params(("sha256" = String, Path, description = "Of the whole binary, in lowercase hexadecimal"), PieceQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "4 MiB at most"),
    responses(
        (status = 200, body = BinaryProgress),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 409, description = "This host's DTMA is no service", body = ErrorBody),
        (status = 413, body = ErrorBody),
        (status = 422, description = "Another digest than announced", body = ErrorBody),
        (status = 507, body = ErrorBody),
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    Path(sha256): Path<String>,
    Query(query): Query<PieceQuery>,
    request: Request,
) -> Result<Json<BinaryProgress>, Refusal> {
    let digest = ProgramDigest::from_str(&sha256)
        .map_err(|error| Refusal::new(ErrorCode::BadRequest, error.to_string()).field("sha256"))?;
    let piece = axum::body::to_bytes(request.into_body(), MAX_PIECE).await.map_err(|_| {
        Refusal::new(ErrorCode::TooLarge, format!("a piece has at most {MAX_PIECE} bytes, and comes whole"))
    })?;
    Ok(Json(app.upgrades.take(digest, query, piece).await?))
}

/// Begins to put a binary that was sent in the place of this DTMA's. One that does not serve is taken back. The same attempt again
/// changes nothing.
#[utoipa::path(
    post,
    path = "/v1/upgrade",
    security(("token" = [])),
    request_body = UpgradeRequest,
    responses(
        (status = 202, description = "It is begun"),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, description = "The binary was not sent", body = ErrorBody),
        (status = 409, description = "This host's DTMA is no service, or is being upgraded", body = ErrorBody),
        (status = 422, body = ErrorBody),
    )
)]
pub(crate) async fn begin(
    State(app): State<App>,
    Body(request): Body<UpgradeRequest>,
) -> Result<StatusCode, Refusal> {
    app.upgrades.begin(request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What became of the last upgrade.
#[utoipa::path(
    get,
    path = "/v1/upgrade",
    security(("token" = [])),
    responses((status = 200, body = UpgradeView), (status = 401, body = ErrorBody))
)]
pub(crate) async fn show(State(app): State<App>) -> Json<UpgradeView> {
    Json(app.upgrades.view())
}

impl From<UpgradeError> for Refusal {
    fn from(error: UpgradeError) -> Self {
        let message = error.to_string();
        match error {
            UpgradeError::NoService => Self::new(ErrorCode::Conflict, message).hint(
                "replace the binary on the host and start it again as it was started, or make it a service with `berth dtma install`",
            ),
            UpgradeError::TooLarge => Self::new(ErrorCode::TooLarge, message).field("size"),
            UpgradeError::OtherDigest(_) => {
                Self::new(ErrorCode::Invalid, message).field("sha256").hint("send it again from its beginning")
            }
            UpgradeError::NotHere => {
                Self::not_found(message).hint("send it first with `PUT /v1/binary/{sha256}`")
            }
            UpgradeError::Busy => {
                Self::new(ErrorCode::Conflict, message).hint("`GET /v1/upgrade` says what became of it")
            }
            UpgradeError::Systemd(_) => Self::new(ErrorCode::Conflict, message)
                .hint("look at `journalctl --unit berth-dtma-upgrade` on the host"),
            UpgradeError::Write(WriteError::NoSpace(_)) => {
                Self::new(ErrorCode::NoSpace, "no room is left on this host's disk; nothing was changed")
                    .hint("free some room on the host and try again")
            }
            UpgradeError::Write(WriteError::Io { .. }) => Self::internal(&error),
        }
    }
}
