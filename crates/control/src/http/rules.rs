//! `/api/v1/rules`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::rules::{Rule, RuleRequest};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, rules};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// The account's rules, in the order in which they were made; for an admin.
#[utoipa::path(
    get, path = "/api/v1/rules", tag = "rules", security(("token" = [])),
    responses(
        (status = 200, body = Vec<Rule>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)
    )
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Rule>>, Refused> {
    Ok(Json(rules::list(&app, &caller).await?))
}

/// Makes a rule; for an admin. It holds for the next call.
#[utoipa::path(
    post, path = "/api/v1/rules", tag = "rules", security(("token" = [])), request_body = RuleRequest,
    responses(
        (status = 201, body = Rule), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<RuleRequest>,
) -> Result<(StatusCode, Json<Rule>), Refused> {
    Ok((StatusCode::CREATED, Json(rules::add(&app, &caller, &request).await?)))
}

/// Removes a rule; for an admin.
#[utoipa::path(
    delete, path = "/api/v1/rules/{id}", tag = "rules", security(("token" = [])),
    params(("id" = String, Path, description = "The rule's id")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    rules::remove(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
