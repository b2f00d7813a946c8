//! `/v0.1/servers`: the catalog as the MCP Registry's read API has it, for clients and other registries. What came from registries is
//! everybody's; what was added from files is shown to who has an API token.

use std::sync::Arc;

use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::HeaderName;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION};
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::Value;

use crate::app::App;
use crate::app::catalog::{self, PageQuery};
use crate::http::extract::{By, Params};
use crate::http::refused::Refused;

/// Pages of anybody may read what anybody may read: no cookie counts here.
type Answer = ([(HeaderName, &'static str); 1], Json<Value>);

fn answer(published: catalog::Published) -> Answer {
    ([(ACCESS_CONTROL_ALLOW_ORIGIN, "*")], Json(published.0))
}

/// Whether somebody calls. A token that is none is refused rather than ignored.
pub(crate) struct Known(bool);

impl FromRequestParts<Arc<App>> for Known {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refused> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Self(false));
        }
        By::from_request_parts(parts, app).await.map(|_| Self(true))
    }
}

/// `GET /v0.1/servers?…`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ServersQuery {
    /// `metadata.nextCursor` of the page before.
    cursor: Option<String>,
    /// How many, 1 to 100; absent: 30.
    limit: Option<u32>,
    /// A part of the name.
    search: Option<String>,
    /// What changed since that time (RFC 3339), also what was withdrawn.
    updated_since: Option<String>,
    /// `latest`: of each server the one version that people get.
    version: Option<String>,
    /// What was withdrawn, too.
    #[serde(default)]
    include_deleted: bool,
}

/// The servers of the catalog that came from registries and files.
#[utoipa::path(
    get, path = "/v0.1/servers", tag = "registry", security((), ("token" = [])), params(ServersQuery),
    responses((status = 200, body = Object), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Known(is_known): Known,
    Params(query): Params<ServersQuery>,
) -> Result<Answer, Refused> {
    let query = PageQuery {
        cursor: query.cursor.as_deref(),
        limit: query.limit,
        search: query.search.as_deref(),
        updated_since: query.updated_since.as_deref(),
        version: query.version.as_deref(),
        include_deleted: query.include_deleted,
        is_known,
    };
    Ok(answer(catalog::page(&app, &query).await?))
}

/// The versions of a server.
#[utoipa::path(
    get, path = "/v0.1/servers/{name}/versions", tag = "registry", security((), ("token" = [])),
    params(("name" = String, Path, description = "The server's name; the `/` in it is written as `%2F`")),
    responses((status = 200, body = Object), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn versions(
    State(app): State<Arc<App>>,
    Known(is_known): Known,
    Path(name): Path<String>,
) -> Result<Answer, Refused> {
    Ok(answer(catalog::versions(&app, &name, None, is_known).await?))
}

/// One version of a server.
#[utoipa::path(
    get, path = "/v0.1/servers/{name}/versions/{version}", tag = "registry", security((), ("token" = [])),
    params(
        ("name" = String, Path, description = "The server's name; the `/` in it is written as `%2F`"),
        ("version" = String, Path, description = "A version, or `latest`")
    ),
    responses((status = 200, body = Object), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn version(
    State(app): State<Arc<App>>,
    Known(is_known): Known,
    Path((name, version)): Path<(String, String)>,
) -> Result<Answer, Refused> {
    Ok(answer(catalog::versions(&app, &name, Some(&version), is_known).await?))
}
