//! `/api/mcp/marketplace/templates` and `/api/mcp/deploy` of the older MCP client, on the one way to deploy.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::instances::DeployRequest;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::catalog::{CatalogEntry, Kind, Transport};
use domain::secret::Secrets;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, ByClient, ClientBody, answer};
use super::servers::word;
use crate::app::instances::by_id;
use crate::app::{App, Outcome, Problem, catalog, environments, instances};
use crate::auth::Caller;

/// What the older client deploys: a template, or an image of its own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Deploy {
    /// A catalog entry, by its id or its name.
    template_id: Option<String>,
    /// A container image.
    docker_image: Option<String>,
    name: Option<String>,
    /// An environment's id.
    environment_id: Option<String>,
    #[serde(default)]
    environment_variables: BTreeMap<String, String>,
    #[serde(default)]
    secrets: Secrets,
    transport: Option<Transport>,
    endpoint_path: Option<String>,
}

/// What can be deployed. Its clients know MCP servers alone.
pub(crate) async fn templates(State(app): State<Arc<App>>, ByClient(_): ByClient) -> Answer {
    let index = catalog::index(&app).await?;
    let known = index.entries().filter(|entry| entry.kind() == Kind::Mcp && entry.deployable().is_ok());
    let templates: Vec<Value> = known.map(|entry| render(entry)).collect();
    Ok(answer(StatusCode::OK, &templates.into(), "what can be deployed"))
}

fn render(entry: &CatalogEntry) -> Value {
    let inputs: Vec<Value> = entry
        .inputs
        .iter()
        .map(|input| {
            json!({
                "name": input.name, "description": input.description,
                "required": input.required, "secret": input.secret, "default": input.default,
            })
        })
        .collect();
    json!({
        "id": entry.id,
        "name": entry.name,
        "display_name": entry.title,
        "description": entry.description,
        "category": entry.category,
        "package": entry.package.as_ref().map(ToString::to_string),
        "version": entry.package.as_ref().and_then(|package| package.version()),
        "documentation_url": entry.documentation_url,
        "is_verified": entry.is_verified(),
        "inputs": inputs,
    })
}

/// Deploys a server.
pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Deploy>,
) -> Answer {
    let server = server_of(&app, &body).await?;
    let environment = match &body.environment_id {
        Some(id) => Some(environment_of(&app, &caller, id).await?),
        None => None,
    };
    let request = DeployRequest {
        server,
        name: body.name,
        environment,
        settings: body.environment_variables,
        secrets: body.secrets.into(),
        // A template has its own.
        transport: body.transport,
        path: body.endpoint_path,
        ..DeployRequest::default()
    };
    let instance = instances::deploy(&app, &caller, &request).await?;
    let data = json!({
        "id": instance.id, "name": instance.name, "status": word(instance.status), "endpoint_url": instance.url,
    });
    Ok(answer(StatusCode::CREATED, &data, "the server is being deployed"))
}

async fn server_of(app: &App, body: &Deploy) -> Outcome<String> {
    match (&body.template_id, &body.docker_image) {
        (Some(template), None) => {
            let index = catalog::index(app).await?;
            let found =
                index.entries().find(|entry| entry.id.to_string() == *template || entry.name == *template);
            found.map(|entry| entry.name.clone()).ok_or_else(|| {
                Problem::invalid("templateId", format!("the catalog has no template `{template}`"))
                    .hint("GET /api/mcp/marketplace/templates lists them")
            })
        }
        (None, Some(image)) => Ok(format!("oci:{image}")),
        (None, None) => Err(Problem::invalid("templateId", "name a template, or an image in `dockerImage`")),
        (Some(_), Some(_)) => Err(Problem::invalid("dockerImage", "give a template or an image, not both")),
    }
}

async fn environment_of(app: &App, caller: &Caller, id: &str) -> Outcome<String> {
    let all = environments::list(app, caller).await?;
    let found = all.iter().find(|environment| environment.id.to_string() == id);
    found.map(|environment| environment.name.to_string()).ok_or_else(|| {
        Problem::invalid("environmentId", format!("this account has no environment with the id `{id}`"))
    })
}

/// How far a deployment is; its id is the server's.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Answer {
    let instance = by_id(&app, &caller, &id).await?;
    let progress = instance.progress.as_ref();
    let data = json!({
        "id": instance.id,
        "name": instance.name,
        "status": word(instance.status),
        "step": progress.map(|progress| progress.step.clone()),
        "progress": progress.and_then(|progress| progress.percent),
        "error_message": instance.message,
        "endpoint_url": instance.url,
    });
    Ok(answer(StatusCode::OK, &data, "how far the deployment is"))
}
