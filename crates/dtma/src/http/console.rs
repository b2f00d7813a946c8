//! `GET /v1/log` and `/v1/checks`: what the DTMA itself says, and what it finds on its machine.

use api::dtma::Check;
use api::errors::ErrorBody;
use api::instances::LogQuery;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::App;
use super::errors::{Query, Refusal};
use crate::logs::DEFAULT_TAIL;

/// The DTMA's own last lines since it started, oldest first, and with `follow` those that come, until it ends or the caller
/// leaves. It keeps 2000 lines, 512 KiB at most.
#[utoipa::path(
    get,
    path = "/v1/log",
    security(("token" = [])),
    params(LogQuery),
    responses(
        (status = 200, description = "Lines", content_type = "text/plain", body = String),
        (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody),
    )
)]
pub(crate) async fn log(State(app): State<App>, Query(query): Query<LogQuery>) -> Result<Response, Refusal> {
    let ended = app.stop.clone().cancelled_owned();
    let lines = app.log.read(query.tail.unwrap_or(DEFAULT_TAIL), query.follow, ended);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(lines)).into_response())
}

/// What of this machine does for an environment and what does not, with what to do; a few seconds old at most.
#[utoipa::path(
    get,
    path = "/v1/checks",
    security(("token" = [])),
    responses((status = 200, body = Vec<Check>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn checks(State(app): State<App>) -> Json<Vec<Check>> {
    Json(app.checks.look().await)
}
