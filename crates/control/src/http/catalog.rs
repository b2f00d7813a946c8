//! `/api/v1/catalog`.

use std::sync::Arc;

use api::catalog::{CatalogItem, CatalogQuery};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, catalog};
use crate::http::extract::{By, Params};
use crate::http::refused::Refused;

/// What can be deployed.
#[utoipa::path(
    get, path = "/api/v1/catalog", tag = "catalog", security(("token" = [])), params(CatalogQuery),
    responses(
        (status = 200, body = Vec<CatalogItem>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)
    )
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    By(_caller): By,
    Params(query): Params<CatalogQuery>,
) -> Result<Json<Vec<CatalogItem>>, Refused> {
    let entries = catalog::search(&app, &query).await?;
    Ok(Json(entries.into_iter().map(CatalogItem::from).collect()))
}

/// One entry of the catalog.
#[utoipa::path(
    get, path = "/api/v1/catalog/{name}", tag = "catalog", security(("token" = [])),
    params(("name" = String, Path, description = "The entry's name")),
    responses((status = 200, body = CatalogItem), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(_caller): By,
    Path(name): Path<String>,
) -> Result<Json<CatalogItem>, Refused> {
    Ok(Json(catalog::show(&app, &name).await?.into()))
}
