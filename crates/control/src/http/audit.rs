//! `/api/v1/audit`.

use std::sync::Arc;

use api::audit::{AuditLine, AuditQuery, CallLine, CallQuery};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::State;

use crate::app::{App, audit, calls};
use crate::http::extract::{By, Params};
use crate::http::refused::Refused;

/// Who did what in the account, newest first, for an admin.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", security(("token" = [])), params(AuditQuery),
    responses(
        (status = 200, body = Vec<AuditLine>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Vec<AuditLine>>, Refused> {
    Ok(Json(audit::list(&app, &caller, &query).await?))
}

/// The requests at the account's MCP addresses, newest first, for an admin.
#[utoipa::path(
    get, path = "/api/v1/audit/calls", tag = "audit", security(("token" = [])), params(CallQuery),
    responses(
        (status = 200, body = Vec<CallLine>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn calls(
    State(app): State<Arc<App>>,
    By(caller): By,
    Params(query): Params<CallQuery>,
) -> Result<Json<Vec<CallLine>>, Refused> {
    Ok(Json(calls::list(&app, &caller, &query).await?))
}
