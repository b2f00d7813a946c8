//! `/api/v1/instances/{name}/events`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::instance_events::{InstanceEvent, InstanceEventsQuery};
use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, instance_events};
use crate::http::extract::{By, Params};
use crate::http::refused::Refused;

/// What happened to an instance, newest first: what people asked for, and what became of it. The newest 500 of the latter are kept, the
/// former as long as the audit.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/events", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name"), InstanceEventsQuery),
    responses(
        (status = 200, body = Vec<InstanceEvent>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Params(query): Params<InstanceEventsQuery>,
) -> Result<Json<Vec<InstanceEvent>>, Refused> {
    Ok(Json(instance_events::list(&app, &caller, &name, &query).await?))
}
