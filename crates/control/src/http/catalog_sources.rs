//! `/api/v1/catalog-sources`.

use std::sync::Arc;

use api::catalog_sources::{AddSourceRequest, CatalogSource};
use api::errors::ErrorBody;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use crate::app::{App, catalog};
use crate::http::extract::{Body, By};
use crate::http::refused::Refused;

/// Where the catalog is read from.
#[utoipa::path(
    get, path = "/api/v1/catalog-sources", tag = "catalog", security(("token" = [])),
    responses(
        (status = 200, body = Vec<CatalogSource>), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody)
    )
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    By(caller): By,
) -> Result<Json<Vec<CatalogSource>>, Refused> {
    Ok(Json(catalog::list_sources(&app, &caller).await?))
}

/// Adds a registry, which is read soon and then about once an hour.
#[utoipa::path(
    post, path = "/api/v1/catalog-sources", tag = "catalog", security(("token" = [])), request_body = AddSourceRequest,
    responses(
        (status = 201, body = CatalogSource), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    By(caller): By,
    Body(request): Body<AddSourceRequest>,
) -> Result<(StatusCode, Json<CatalogSource>), Refused> {
    Ok((StatusCode::CREATED, Json(catalog::add_source(&app, &caller, &request).await?)))
}

/// Removes a source with its entries; what instances were made of stays, withdrawn. `file` is what was added from files.
#[utoipa::path(
    delete, path = "/api/v1/catalog-sources/{name}", tag = "catalog", security(("token" = [])),
    params(("name" = String, Path, description = "The source's name")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    catalog::remove_source(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a source read again, as soon as possible.
#[utoipa::path(
    post, path = "/api/v1/catalog-sources/{name}/sync", tag = "catalog", security(("token" = [])),
    params(("name" = String, Path, description = "The source's name")),
    responses(
        (status = 200, body = CatalogSource), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn sync(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<CatalogSource>, Refused> {
    Ok(Json(catalog::sync(&app, &caller, &name).await?))
}
