//! `/api/v1/catalog`.

use std::sync::Arc;

use api::catalog::{AddEntries, AddedEntries, CatalogItem, CatalogQuery};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};

use crate::app::{App, catalog};
use crate::http::extract::{Body, By, Params};
use crate::http::refused::Refused;

/// What can be deployed.
#[utoipa::path(
    get, path = "/api/v1/catalog", tag = "catalog", security(("token" = [])), params(CatalogQuery),
    responses(
        (status = 200, body = Vec<CatalogItem>), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    By(_caller): By,
    Params(query): Params<CatalogQuery>,
) -> Result<Json<Vec<CatalogItem>>, Refused> {
    let found = catalog::search(&app, &query).await?;
    Ok(Json(found.entries.into_iter().map(|entry| CatalogItem::from(Arc::unwrap_or_clone(entry))).collect()))
}

/// Adds entries of a file.
#[utoipa::path(
    post, path = "/api/v1/catalog", tag = "catalog", security(("token" = [])), request_body = AddEntries,
    responses(
        (status = 200, body = AddedEntries), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<AddEntries>,
) -> Result<Json<AddedEntries>, Refused> {
    Ok(Json(catalog::add(&app, &caller, request).await?))
}

/// One entry of the catalog.
#[utoipa::path(
    get, path = "/api/v1/catalog/{name}", tag = "catalog", security(("token" = [])),
    params(("name" = String, Path, description = "The entry's name; a `/` in it is written as `%2F`")),
    responses((status = 200, body = CatalogItem), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(_caller): By,
    Path(name): Path<String>,
) -> Result<Json<CatalogItem>, Refused> {
    Ok(Json(Arc::unwrap_or_clone(catalog::show(&app, &name).await?).into()))
}
