//! `/functions/v1/toolboxes-user`: environments, as the older front end orders, shows and gives them up.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{ByClient, ClientBody, ClientFailure};
use super::{Served, rows};
use crate::app::App;
use crate::app::older::toolboxes;

const ALL: &str = "/functions/v1/toolboxes-user";
const ONE: &str = "/functions/v1/toolboxes-user/{toolbox}";
const REFRESH: &str = "/functions/v1/toolboxes-user/{toolbox}/refresh-status";

/// What is served here.
pub(super) const SERVED: Served =
    &[("GET", ALL), ("POST", ALL), ("GET", ONE), ("DELETE", ONE), ("POST", REFRESH)];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(ALL, get(list).post(order))
        .route(ONE, get(show).delete(remove))
        .route(REFRESH, post(refresh))
}

/// A droplet, as it is ordered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    name: String,
    region_slug: String,
    size_slug: String,
    image_slug: Option<String>,
    description: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
) -> Result<Json<Vec<Value>>, ClientFailure> {
    Ok(Json(toolboxes::list(&app, &caller).await?.iter().map(rows::toolbox).collect()))
}

async fn order(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Order>,
) -> Result<(StatusCode, Json<Value>), ClientFailure> {
    let order = toolboxes::Order {
        name: body.name,
        region: body.region_slug,
        size: body.size_slug,
        image: body.image_slug,
        description: body.description,
    };
    let toolbox = toolboxes::order(&app, &caller, order).await?;
    Ok((StatusCode::CREATED, Json(rows::toolbox(&toolbox))))
}

async fn show(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Result<Json<Value>, ClientFailure> {
    Ok(Json(rows::toolbox(&toolboxes::show(&app, &caller, &id).await?)))
}

async fn remove(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Result<StatusCode, ClientFailure> {
    toolboxes::remove(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn refresh(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Result<Json<Value>, ClientFailure> {
    Ok(Json(rows::toolbox(&toolboxes::refresh(&app, &caller, &id).await?)))
}
