//! `/api/v1/environments/{name}/enrolment` and `/revoke`, and `/api/v1/dtma/enrol`: how hosts become environments.

use std::sync::Arc;

use api::enrolments::{EnrolRequest, Enrolled, Enrolment};
use api::environments::Environment;
use api::errors::{ErrorBody, ErrorCode};
use axum::body::Body as Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio_util::io::ReaderStream;

use crate::app::{App, Problem, enrolments};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// Nobody on the way keeps an answer with a secret in it.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// Makes the one-time token that makes a host this environment, or makes it one again, for an admin; an earlier one is no good from
/// then on. Each time is a line of the audit.
#[utoipa::path(
    post, path = "/api/v1/environments/{name}/enrolment", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses(
        (status = 200, body = Enrolment), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Json<Enrolment>), Refused> {
    Ok((NO_STORE, Json(enrolments::create(&app, &caller, &name).await?)))
}

/// Takes away what an environment's host may do, for an admin: its token opens nothing any more, and its tunnel closes.
#[utoipa::path(
    post, path = "/api/v1/environments/{name}/revoke", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses(
        (status = 200, body = Environment), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Environment>, Refused> {
    Ok(Json(enrolments::revoke(&app, &caller, &name).await?))
}

/// Exchanges a one-time token for the token of an environment's DTMA, which is made anew each time.
#[utoipa::path(
    post, path = "/api/v1/dtma/enrol", tag = "dtma", request_body = EnrolRequest,
    responses(
        (status = 200, body = Enrolled), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 410, body = ErrorBody, description = "The token was used, or came too late"),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    Body(request): Body<EnrolRequest>,
) -> Result<([(HeaderName, &'static str); 1], Json<Enrolled>), Refused> {
    Ok((NO_STORE, Json(enrolments::redeem(&app, &request).await?)))
}

/// What is read of the program at once, in bytes.
const PART: usize = 64 << 10;
/// How the names of programs begin.
const PROGRAM: &str = "berth-linux-";

/// What a host fetches before it is one of ours, and so for everybody: nothing in it is secret.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route(enrolments::SCRIPT_PATH, get(script)).route("/enrol/{file}", get(program))
}

async fn script() -> ([(HeaderName, &'static str); 2], &'static str) {
    let headers =
        [(header::CONTENT_TYPE, "text/x-shellscript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, enrolments::SCRIPT)
}

/// The program that this control plane is.
async fn program(
    State(app): State<Arc<App>>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let own = std::env::consts::ARCH;
    let arch = file.strip_prefix(PROGRAM).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, "there is nothing at this path")
            .hint(format!("the program for Linux on {own} is `{PROGRAM}{own}`"))
    })?;
    if arch != own {
        let message = format!("this control plane runs on {own} and has no program for `{arch}`");
        return Err(Problem::refused(ErrorCode::NotFound, message)
            .hint("put a `berth` of the same version on the host yourself, and run `berth dtma join` with it")
            .into());
    }
    let failed = |error: std::io::Error| Refused::from(Problem::Failed(Box::new(error)));
    let tag = format!("\"{}\"", app.program.sha256().await.map_err(failed)?);
    let is_known = |value: &axum::http::HeaderValue| value.to_str().is_ok_and(|known| known.contains(&tag));
    if headers.get_all(header::IF_NONE_MATCH).iter().any(is_known) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let (file, length) = app.program.open().await.map_err(failed)?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, tag),
    ];
    Ok((headers, Bytes::from_stream(ReaderStream::with_capacity(file, PART))).into_response())
}
