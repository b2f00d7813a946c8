//! `/functions/v1/mcp-template-manager`: entries of the catalog, and those that are registered here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{ByClient, ClientBody, ClientFailure};
use super::{Served, rows};
use crate::app::App;
use crate::app::older::templates::{self, Template};

const ALL: &str = "/functions/v1/mcp-template-manager";
const ONE: &str = "/functions/v1/mcp-template-manager/{template}";

/// What is served here.
pub(super) const SERVED: Served = &[("GET", ALL), ("POST", ALL), ("PUT", ONE), ("DELETE", ONE)];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route(ALL, get(list).post(register)).route(ONE, put(change).delete(withdraw))
}

#[derive(Deserialize)]
struct Which {
    category: Option<String>,
}

/// A template as it is registered; of a change only what is to be another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Registration {
    name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    docker_image: Option<String>,
    category: Option<String>,
    resource_hint: Option<String>,
    environment_variables: Option<BTreeMap<String, String>>,
    is_official: Option<bool>,
    version: Option<String>,
    author: Option<String>,
    documentation: Option<String>,
    tags: Option<Vec<String>>,
}

impl Registration {
    fn over(self, template: &mut Template) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        set(&mut template.name, self.name);
        set(&mut template.title, self.display_name);
        set(&mut template.description, self.description);
        set(&mut template.image, self.docker_image);
        set(&mut template.category, self.category);
        set(&mut template.hint, self.resource_hint);
        set(&mut template.variables, self.environment_variables);
        set(&mut template.is_official, self.is_official);
        set(&mut template.tags, self.tags);
        template.version = self.version;
        template.author = self.author.or_else(|| template.author.take());
        template.documentation = self.documentation.or_else(|| template.documentation.take());
    }
}

async fn list(
    State(app): State<Arc<App>>,
    ByClient(_): ByClient,
    Query(which): Query<Which>,
) -> Result<Json<Value>, ClientFailure> {
    let listed = templates::list(&app, which.category).await?;
    let data: Vec<Value> = listed.iter().map(rows::template).collect();
    Ok(Json(json!({ "success": true, "data": data })))
}

async fn register(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Registration>,
) -> Result<(StatusCode, Json<Value>), ClientFailure> {
    let mut template = Template::default();
    body.over(&mut template);
    let listed = templates::register(&app, &caller, &template).await?;
    let (warnings, recommendations) = templates::remarks(&template);
    let answer = json!({
        "success": true, "data": rows::template(&listed),
        "validation": { "warnings": warnings, "recommendations": recommendations },
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn change(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
    ClientBody(body): ClientBody<Registration>,
) -> Result<Json<Value>, ClientFailure> {
    let listed = templates::change(&app, &caller, &id, |template| body.over(template)).await?;
    Ok(Json(json!({ "success": true, "data": rows::template(&listed) })))
}

async fn withdraw(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Result<Json<Value>, ClientFailure> {
    templates::withdraw(&app, &caller, &id).await?;
    Ok(Json(json!({ "success": true, "message": "the template was deleted; what runs goes on" })))
}
