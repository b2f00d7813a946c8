//! `/api/v1/alerts`.

use std::sync::Arc;

use api::alerts::{Alert, TestedReceiver};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::State;

use crate::app::{App, alerts};
use crate::http::extract::By;
use crate::http::refused::Refused;

/// What is broken in the account, and what was lately: a hundred at most, open ones first, then the newest.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", security(("token" = [])),
    responses((status = 200, body = Vec<Alert>), (status = 401, body = ErrorBody))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, By(caller): By) -> Result<Json<Vec<Alert>>, Refused> {
    Ok(Json(alerts::list(&app, &caller).await?))
}

/// Sends every receiver of alerts a message that says that it is a test, for an admin; what became of it.
#[utoipa::path(
    post, path = "/api/v1/alerts/test", tag = "alerts", security(("token" = [])),
    responses(
        (status = 200, body = Vec<TestedReceiver>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody)
    )
)]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<TestedReceiver>>, Refused> {
    Ok(Json(alerts::test(&app, &caller).await?))
}
