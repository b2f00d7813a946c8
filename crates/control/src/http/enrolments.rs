//! `/api/v1/environments/{name}/enrolment` and `/revoke`, and `/api/v1/dtma/enrol`: how hosts become environments.

use std::sync::Arc;

use api::enrolments::{EnrolRequest, Enrolled, Enrolment};
use api::environments::Environment;
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, header};

use crate::app::{App, enrolments};
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
