//! `/functions/v1/digitalocean-options`: what a droplet can be.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::Served;
use super::answer::{ByClient, ClientFailure};
use crate::app::{App, droplets};

const REGIONS: &str = "/functions/v1/digitalocean-options/regions";
const SIZES: &str = "/functions/v1/digitalocean-options/sizes";

/// What is served here.
pub(super) const SERVED: Served = &[("GET", REGIONS), ("GET", SIZES)];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route(REGIONS, get(regions)).route(SIZES, get(sizes))
}

async fn regions(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
) -> Result<Json<Vec<Value>>, ClientFailure> {
    let options = droplets::recent_options(&app, &caller).await?;
    let regions = options.regions.iter().map(|region| {
        let fits = options.sizes.iter().filter(|size| size.regions.contains(&region.slug));
        let sizes: Vec<&str> = fits.map(|size| size.slug.as_str()).collect();
        json!({ "slug": region.slug, "name": region.name, "available": true, "sizes": sizes })
    });
    Ok(Json(regions.collect()))
}

async fn sizes(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
) -> Result<Json<Vec<Value>>, ClientFailure> {
    let options = droplets::recent_options(&app, &caller).await?;
    let sizes = options.sizes.iter().map(|size| {
        json!({
            "slug": size.slug, "description": size.description, "available": true, "regions": size.regions,
            "memory": size.memory_mib, "vcpus": size.vcpus, "disk": size.disk_gib,
            "price_monthly": size.price_monthly, "price_hourly": size.price_hourly,
        })
    });
    Ok(Json(sizes.collect()))
}
