//! `/api/v1/instances/{name}/authorization`, `/api/v1/dtma/upstream-token`, and what authorization servers see: `/oauth/client.json`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::upstreams::{
    Authorization, AuthorizationStarted, AuthorizeRequest, CLIENT_PATH, TokenOutcome, UpstreamTokenRequest,
};
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use oauth::registration::ClientMetadata;

use crate::app::{App, upstreams};
use crate::http::extract::{Body, By, ByDtma};
use crate::http::refused::Refused;

/// Nobody on the way keeps an answer with a secret in it.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// How the authorization of an instance whose server runs elsewhere stands.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/authorization", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = Authorization), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Authorization>, Refused> {
    Ok(Json(upstreams::show(&app, &caller, &name).await?))
}

/// Finds out where a person authorizes Berth at the server of an instance, for an admin. They open the address in a browser; what comes
/// of it is kept for all callers of the instance.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/authorization", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = AuthorizeRequest,
    responses(
        (status = 200, body = AuthorizationStarted), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 502, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn authorize(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<AuthorizeRequest>,
) -> Result<([(HeaderName, &'static str); 1], Json<AuthorizationStarted>), Refused> {
    Ok((NO_STORE, Json(upstreams::authorize(&app, &caller, &name, &request).await?)))
}

/// Gives up what opens the server of an instance, for an admin.
#[utoipa::path(
    delete, path = "/api/v1/instances/{name}/authorization", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    upstreams::forget(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token for the server of an instance of this environment, which asked for one; or why there is none.
#[utoipa::path(
    post, path = "/api/v1/dtma/upstream-token", tag = "dtma", security(("dtma" = [])), request_body = UpstreamTokenRequest,
    responses(
        (status = 200, body = TokenOutcome), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    ByDtma(environment): ByDtma,
    Body(request): Body<UpstreamTokenRequest>,
) -> Result<([(HeaderName, &'static str); 1], Json<TokenOutcome>), Refused> {
    Ok((NO_STORE, Json(upstreams::token(&app, &environment, &request).await?)))
}

/// What is no part of the JSON API.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route(CLIENT_PATH, get(document))
}

async fn document(State(app): State<Arc<App>>) -> Result<Json<ClientMetadata>, Refused> {
    Ok(Json(upstreams::document(&app)?))
}
