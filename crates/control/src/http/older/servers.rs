//! `/api/mcp/servers` and `/api/mcp/credentials` of the older MCP client. A server is an instance; its id is the
//! instance's.

use std::sync::Arc;

use api::instances::Instance;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::spec::DesiredState;
use domain::status::InstanceStatus;
use serde_json::{Map, Value, json};

use super::answer::{Answer, ByClient, ClientBody, answer};
use crate::app::instances::{Order, by_id};
use crate::app::{App, Problem, instances};

/// The account's servers.
pub(crate) async fn list(State(app): State<Arc<App>>, ByClient(caller): ByClient) -> Answer {
    let servers: Vec<Value> = instances::list(&app, &caller).await?.iter().map(render).collect();
    Ok(answer(StatusCode::OK, &servers.into(), "the servers of the account"))
}

/// One server.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Answer {
    let instance = by_id(&app, &caller, &id).await?;
    Ok(answer(StatusCode::OK, &render(&instance), "the server"))
}

/// Starts or stops a server by its `is_active`. Nothing else of it can be changed here: an instance keeps its name, its
/// address is Berth's, and its settings are given when it is deployed.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
    ClientBody(body): ClientBody<Map<String, Value>>,
) -> Answer {
    let instance = by_id(&app, &caller, &id).await?;
    let before = render(&instance);
    let others = body.iter().find(|(key, value)| *key != "is_active" && before.get(*key) != Some(*value));
    if let Some((key, _)) = others {
        return Err(Problem::invalid(key, format!("`{key}` of a server cannot be changed here"))
            .hint("deploy it anew with what it should be")
            .into());
    }
    let order = match body.get("is_active") {
        Some(Value::Bool(true)) => Order::Start,
        Some(Value::Bool(false)) => Order::Stop,
        Some(_) => return Err(Problem::invalid("is_active", "`is_active` is true or false").into()),
        None => return Ok(answer(StatusCode::OK, &before, "nothing was changed")),
    };
    let after = instances::order(&app, &caller, instance.name.as_str(), order).await?;
    Ok(answer(StatusCode::OK, &render(&after), "the server was changed"))
}

/// Removes a server.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
) -> Answer {
    let instance = by_id(&app, &caller, &id).await?;
    let after = instances::order(&app, &caller, instance.name.as_str(), Order::Remove).await?;
    Ok(answer(StatusCode::OK, &render(&after), "the server is being removed"))
}

/// Which secrets the account's servers were given: their names. A value is never shown again.
pub(crate) async fn credentials(State(app): State<Arc<App>>, ByClient(caller): ByClient) -> Answer {
    let instances = instances::list(&app, &caller).await?;
    let all: Vec<Value> = instances
        .iter()
        .flat_map(|instance| {
            instance
                .secret_names
                .iter()
                .map(|name| json!({"server_id": instance.id, "server_name": instance.name, "name": name}))
        })
        .collect();
    Ok(answer(StatusCode::OK, &all.into(), "the names of the secrets"))
}

/// A server as the older client shows it.
fn render(instance: &Instance) -> Value {
    let metrics = instance.metrics.as_ref();
    json!({
        "id": instance.id,
        "name": instance.name,
        "status": word(instance.status),
        "health_status": health(instance.status),
        "error_message": instance.message,
        "endpoint_url": instance.url,
        "transport_type": "http",
        "is_active": instance.desired == DesiredState::Running,
        "environment": instance.environment,
        "package": instance.package,
        "version": instance.version,
        "restart_count": instance.restarts,
        "memory_bytes": metrics.map(|metrics| metrics.memory_bytes),
        "cpu_millicores": metrics.and_then(|metrics| metrics.cpu_millicores),
        "since": instance.since.map(|at| at.to_string()),
        "created_at": instance.created_at.to_string(),
    })
}

/// The words of the older deployments table.
pub(crate) fn word(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::PendingDeploy => "pending",
        InstanceStatus::Installing | InstanceStatus::Starting => "deploying",
        InstanceStatus::Running | InstanceStatus::Asleep => "active",
        InstanceStatus::Stopping | InstanceStatus::Deleting => "stopping",
        InstanceStatus::Stopped => "stopped",
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => "error",
    }
}

fn health(status: InstanceStatus) -> &'static str {
    match status {
        InstanceStatus::Running | InstanceStatus::Asleep => "healthy",
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => "unhealthy",
        _ => "unknown",
    }
}
