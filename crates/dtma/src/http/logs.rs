//! `GET /v1/instances/{id}/logs`: what the server wrote to standard error.

use api::errors::ErrorBody;
use api::instances::LogQuery;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use domain::ids::InstanceId;

use super::App;
use super::errors::{Path, Query, Refusal};
use crate::instances::ended;
use crate::logs::{self, DEFAULT_TAIL};

/// The last lines, oldest first, and with `follow` those that come, until the instance is removed or the caller leaves.
#[utoipa::path(
    get,
    path = "/v1/instances/{id}/logs",
    security(("token" = [])),
    params(("id" = InstanceId, Path), LogQuery),
    responses(
        (status = 200, description = "Lines", content_type = "text/plain", body = String),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody),
    )
)]
pub(crate) async fn read(
    State(app): State<App>,
    Path(id): Path<InstanceId>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Refusal> {
    let face = app.instances.face(id)?;
    let dir = app.instances.shared().specs.state_dir(id);
    let stop = app.stop.clone();
    let over = async move {
        tokio::select! {
            () = ended(&face) => {}
            () = stop.cancelled() => {}
        }
    };
    let lines = logs::read(&dir, query.tail.unwrap_or(DEFAULT_TAIL), query.follow, over)
        .map_err(|error| Refusal::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(lines)).into_response())
}
