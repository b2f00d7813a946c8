//! `/mcp/groups`, `/mcp/health` and `/mcp/status`: servers that were deployed, and are removed, together.
//!
//! A group is a word in the notes of its members, so it is there as long as one of them is.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::status::InstanceStatus;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

use super::super::App;
use super::answer::{Answer, Failure, Object, iso, ok, timestamp};
use super::item::{Tool, container_id};
use super::options::check_name;
use super::servers::Server;
use super::tools;

/// Deploys servers; each succeeds or fails by itself.
pub(crate) async fn deploy(State(app): State<App>, body: Object) -> Answer {
    let [group] = body.texts(["groupId"])?;
    check_name(group, "groupId")?;
    let servers = match body.0.get("servers") {
        Some(Value::Array(servers)) if !servers.is_empty() => servers,
        Some(Value::Array(_)) | None => {
            return Err(Failure::bad("servers", "servers must name at least one server"));
        }
        Some(_) => return Err(Failure::bad("servers", "servers must be a list")),
    };
    let order = order(&body.0)?;
    let mut deployed = Vec::new();
    let mut errors = Map::new();
    let mut warnings = Vec::new();
    let mut waiting = Vec::new();
    for (i, server) in servers.iter().enumerate() {
        // A server without a name is told by its place.
        match Server::read(server) {
            Ok(server) => waiting.push(server),
            Err(failure) => {
                let name = server["instanceNameOnToolbox"].as_str().map(str::to_owned);
                errors.insert(name.unwrap_or_else(|| format!("servers[{i}]")), failure.into_error().into());
            }
        }
    }
    // Those that are named come first, one after another; the others, which wait for nobody, all at once.
    waiting.sort_by_key(|server| order.iter().position(|name| *name == server.name).unwrap_or(order.len()));
    let named = waiting.iter().filter(|server| order.contains(&server.name)).count();
    let rest = waiting.split_off(named);
    let mut results = Vec::new();
    for server in waiting {
        results.push(server.deploy(&app, group).await);
    }
    results.extend(join_all(rest.into_iter().map(|server| server.deploy(&app, group))).await);
    for (name, result) in results {
        match result {
            Ok(ignored) => {
                warnings.extend(ignored.into_iter().map(|at| format!("{name}: {at}")));
                deployed.push(name);
            }
            Err(failure) => {
                errors.insert(name, failure.into_error().into());
            }
        }
    }
    let message = format!("{} of {} servers of group '{group}' deployed.", deployed.len(), servers.len());
    let mut answer = json!({
        "success": !deployed.is_empty(),
        "message": message,
        "data": {
            "groupId": group,
            "successfulDeployments": deployed.len(),
            "totalServers": servers.len(),
            "deployedServers": deployed,
            "errors": errors,
        }
    });
    if !warnings.is_empty() {
        answer["warnings"] = tools::not_honoured(&warnings);
    }
    let status = if deployed.is_empty() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::CREATED };
    Ok((status, Json(answer)))
}

fn order(body: &Map<String, Value>) -> Result<Vec<String>, Failure> {
    const AT: &str = "options.dependencyOrder";
    let refused = || Failure::bad(AT, "dependencyOrder must be a list of names");
    match body.get("options").and_then(|options| options.get("dependencyOrder")) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(refused)).collect()
        }
        Some(_) => Err(refused()),
    }
}

/// The members of a group.
fn members(tools: Vec<Tool>, group: &str) -> Result<Vec<Tool>, Failure> {
    let of = |tool: &Tool| tool.face.note.as_ref().is_some_and(|note| note.group.as_deref() == Some(group));
    let members: Vec<Tool> = tools.into_iter().filter(of).collect();
    if members.is_empty() {
        return Err(Failure::new(StatusCode::NOT_FOUND, format!("MCP group '{group}' not found")));
    }
    Ok(members)
}

/// Removes a group's servers. Every stop is graceful and none takes longer than the shim allows, whatever the query
/// asks for.
pub(crate) async fn remove(State(app): State<App>, Path(group): Path<String>) -> Answer {
    let members = members(Tool::all(&app).await, &group)?;
    let removals = members.iter().map(|tool| tools::remove_one(&app, tool));
    let mut removed = Vec::new();
    let mut errors = Map::new();
    for (tool, result) in members.iter().zip(join_all(removals).await) {
        match result {
            Ok(()) => removed.push(tool.name.clone()),
            Err(failure) => {
                errors.insert(tool.name.clone(), failure.into_error().into());
            }
        }
    }
    let message = format!("{} of {} servers of group '{group}' removed.", removed.len(), members.len());
    ok(json!({
        "success": errors.is_empty(),
        "message": message,
        "data": {"groupId": group, "removedServers": removed, "errors": errors}
    }))
}

/// Every group, with the table of text that the newest generation answered.
pub(crate) async fn status(State(app): State<App>) -> Answer {
    let tools = Tool::all(&app).await;
    let mut table = format!("{:<14}{:<32}{:<40}{}\n", "CONTAINER ID", "NAMES", "IMAGE", "STATUS");
    let mut groups: Map<String, Value> = Map::new();
    for tool in &tools {
        use std::fmt::Write as _;
        let (id, status) = (container_id(tool.id), &tool.report.status);
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{:<14}{:<32}{:<40}{status}", &id[..12], tool.name, tool.image());
        if let Some(group) = tool.face.note.as_ref().and_then(|note| note.group.clone()) {
            let servers = groups.entry(group).or_insert_with(|| json!({"servers": []}));
            if let Some(servers) = servers["servers"].as_array_mut() {
                servers.push(tool.name.clone().into());
            }
        }
    }
    let grouped: Vec<&Tool> = tools
        .iter()
        .filter(|tool| tool.face.note.as_ref().is_some_and(|note| note.group.is_some()))
        .collect();
    let running = grouped.iter().filter(|tool| tool.report.status.is_well()).count();
    ok(json!({
        "success": true,
        "mcp_servers": table,
        "timestamp": timestamp(),
        "data": {
            "summary": {
                "totalGroups": groups.len(),
                "totalServers": grouped.len(),
                "runningServers": running,
                "healthyServers": running,
                "timestamp": timestamp(),
            },
            "groups": groups,
        }
    }))
}

/// How a group is.
pub(crate) async fn health(State(app): State<App>, Path(group): Path<String>) -> Answer {
    let members = members(Tool::all(&app).await, &group)?;
    let count =
        |is: &dyn Fn(InstanceStatus) -> bool| members.iter().filter(|tool| is(tool.report.status)).count();
    let running = count(&InstanceStatus::is_well);
    let coming = count(&|status| state(status).1);
    let collective = match (running, coming) {
        (running, _) if running == members.len() => "healthy",
        (_, 1..) => "initializing",
        (0, 0) => "failed",
        _ => "degraded",
    };
    let instances: Map<String, Value> = members
        .iter()
        .map(|tool| {
            let note = tool.face.note.as_ref();
            let (status, _) = state(tool.report.status);
            let health = match tool.report.status {
                InstanceStatus::Running | InstanceStatus::Asleep => "healthy",
                InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => "unhealthy",
                _ => "unknown",
            };
            let facts = json!({
                "status": status,
                "healthStatus": health,
                "containerId": container_id(tool.id),
                "startTime": iso(tool.report.since),
                "restartCount": tool.report.restarts,
                "mcpEndpoint": note.and_then(|note| note.endpoint.clone()),
                "transportType": note.and_then(|note| note.transport.clone()),
                "message": tool.report.message,
            });
            (tool.name.clone(), facts)
        })
        .collect();
    ok(json!({
        "success": true,
        "data": {
            "groupId": group,
            "health": {
                "collectiveStatus": collective,
                "totalInstances": members.len(),
                "runningInstances": running,
                "healthyInstances": running,
                "sharedNetworking": false,
                "instances": instances,
            }
        }
    }))
}

/// The words of this router, and whether it is on its way to run.
fn state(status: InstanceStatus) -> (&'static str, bool) {
    match status {
        InstanceStatus::PendingDeploy => ("pending", true),
        InstanceStatus::Installing => ("pulling", true),
        InstanceStatus::Starting => ("starting", true),
        InstanceStatus::Running | InstanceStatus::Asleep => ("running", false),
        InstanceStatus::Stopping | InstanceStatus::Deleting => ("stopping", false),
        InstanceStatus::Stopped => ("stopped", false),
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => ("error", false),
    }
}
