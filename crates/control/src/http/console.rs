//! `/api/v1/environments/{name}/log` and `/checks`.

use std::sync::Arc;

use api::dtma::Check;
use api::errors::ErrorBody;
use api::instances::LogQuery;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};

use crate::app::{App, console};
use crate::http::extract::{By, Params};
use crate::http::refused::Refused;

/// The last lines that the environment's DTMA itself said since it started, oldest first; with `follow`, new ones as they come.
#[utoipa::path(
    get, path = "/api/v1/environments/{name}/log", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name"), LogQuery),
    responses(
        (status = 200, body = String, content_type = "text/plain"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn log(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Params(query): Params<LogQuery>,
) -> Result<([(HeaderName, &'static str); 1], axum::body::Body), Refused> {
    let body = console::log(&app, &caller, &name, query).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], axum::body::Body::new(body)))
}

/// What of the environment's machine does for one and what does not, with what to do, as its DTMA finds it.
#[utoipa::path(
    get, path = "/api/v1/environments/{name}/checks", tag = "environments", security(("token" = [])),
    params(("name" = String, Path, description = "The environment's name")),
    responses(
        (status = 200, body = Vec<Check>), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn checks(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Vec<Check>>, Refused> {
    Ok(Json(console::checks(&app, &caller, &name).await?))
}
