//! `/functions/v1/toolbox-tools`, in the three generations that there were: by a path with a toolbox in it, where answers are rows (the
//! first) with what the second had beside them, and by a body with an action in it (the third).

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{ByClient, ClientBody, ClientFailure, read};
use super::config::Config;
use super::{Served, rows};
use crate::app::instances::Order;
use crate::app::older::toolboxes;
use crate::app::older::tools::{self, Tool, Wanted};
use crate::app::{App, Problem};
use crate::auth::Caller;
use crate::directory::now;

const BY_BODY: &str = "/functions/v1/toolbox-tools";
const ALL: &str = "/functions/v1/toolbox-tools/{toolbox}/tools";
const ONE: &str = "/functions/v1/toolbox-tools/{toolbox}/tools/{tool}";
const ORDER: &str = "/functions/v1/toolbox-tools/{toolbox}/tools/{tool}/{action}";

/// What is served here.
pub(super) const SERVED: Served = &[
    ("GET", BY_BODY),
    ("POST", BY_BODY),
    ("GET", ALL),
    ("POST", ALL),
    ("GET", ONE),
    ("DELETE", ONE),
    ("POST", ORDER),
];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(BY_BODY, get(look).post(act))
        .route(ALL, get(list).post(deploy_or_act))
        .route(ONE, get(show).delete(remove))
        .route(ORDER, post(order))
}

type Answer = Result<Json<Value>, ClientFailure>;

/// What the third generation asks of one tool.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Act {
    toolbox_id: Option<String>,
    action: String,
    instance_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Deploy {
    tool_catalog_id: String,
    instance_name_on_toolbox: String,
    base_config_override_json: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Look {
    toolbox_id: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(toolbox): Path<String>,
) -> Result<Json<Vec<Value>>, ClientFailure> {
    Ok(Json(tools::list(&app, &caller, &toolbox).await?.iter().map(rows::tool).collect()))
}

/// The same as the third generation has it, with whether the toolbox reports.
async fn look(State(app): State<Arc<App>>, ByClient(caller): ByClient, Query(query): Query<Look>) -> Answer {
    let toolbox = query.toolbox_id.ok_or_else(|| {
        Problem::invalid("toolboxId", "whose tools are meant is not said")
            .hint("add `?toolboxId=` and its id")
    })?;
    let tools = tools::list(&app, &caller, &toolbox).await?;
    let toolbox = toolboxes::show(&app, &caller, &toolbox).await?.shown;
    let is_connected =
        toolbox.status == domain::status::EnvironmentStatus::Active && toolbox.message.is_none();
    Ok(Json(json!({
        "success": true,
        "tool_instances": tools.iter().map(rows::tool).collect::<Vec<_>>(),
        "dtma_connected": is_connected,
        "connection_error": toolbox.message,
        "last_checked": toolbox.last_heartbeat_at.map(|at| at.to_string()),
    })))
}

async fn show(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((toolbox, tool)): Path<(String, String)>,
) -> Answer {
    Ok(Json(rows::tool(&tools::find(&app, &caller, Some(&toolbox), &tool).await?)))
}

async fn act(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Act>,
) -> Answer {
    done(&app, &caller, body.toolbox_id.as_deref(), &body.instance_id, &body.action).await
}

async fn deploy_or_act(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(toolbox): Path<String>,
    ClientBody(body): ClientBody<Map<String, Value>>,
) -> Result<(StatusCode, Json<Value>), ClientFailure> {
    if body.contains_key("action") {
        let act: Act = read(body)?;
        if act.toolbox_id.as_ref().is_some_and(|other| *other != toolbox) {
            return Err(Problem::invalid("toolboxId", "path and body name two toolboxes").into());
        }
        let answer = done(&app, &caller, Some(&toolbox), &act.instance_id, &act.action).await?;
        return Ok((StatusCode::OK, answer));
    }
    let body: Deploy = read(body)?;
    let environment = toolboxes::find(&app, &caller, &toolbox).await?;
    let config = Config::read(body.base_config_override_json)?;
    let wanted = Wanted {
        template: Some(body.tool_catalog_id),
        image: config.image,
        name: body.instance_name_on_toolbox,
        variables: config.variables,
        limits: config.limits,
        ..Wanted::default()
    };
    let tool = tools::deploy(&app, &caller, Some(&environment.name), wanted).await?;
    let row = rows::tool(&tool);
    let name = &tool.row.name;
    let mut answer = row.clone();
    answer["success"] = true.into();
    answer["status"] = "deploying".into();
    answer["serverName"] = json!(name);
    answer["message"] = format!("`{name}` is being deployed").into();
    answer["data"] = row;
    answer["warnings"] =
        config.ignored.iter().map(|field| format!("`{field}` is not honoured")).collect::<Vec<_>>().into();
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn order(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((toolbox, tool, action)): Path<(String, String, String)>,
) -> Answer {
    done(&app, &caller, Some(&toolbox), &tool, &action).await
}

async fn remove(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path((toolbox, tool)): Path<(String, String)>,
) -> Answer {
    done(&app, &caller, Some(&toolbox), &tool, "delete").await
}

/// Does what an action says.
async fn done(app: &App, caller: &Caller, toolbox: Option<&str>, id: &str, action: &str) -> Answer {
    let (order, what) = match action {
        "start" => (Order::Start, "is being started"),
        "stop" => (Order::Stop, "is being stopped"),
        "restart" => (Order::Restart, "is being restarted"),
        "delete" => (Order::Remove, "is being removed"),
        "logs" => {
            let logs = tools::logs(app, caller, toolbox, id).await?;
            return Ok(Json(json!({
                "success": true, "logs": logs, "instanceId": id, "action": action, "timestamp": now().to_string(),
                "method": "dtma",
            })));
        }
        other => {
            return Err(Problem::invalid("action", format!("`{other}` is no action"))
                .hint("it is `start`, `stop`, `restart`, `logs` or `delete`")
                .into());
        }
    };
    let tool: Tool = tools::order(app, caller, toolbox, id, order).await?;
    let row = rows::tool(&tool);
    let mut answer = row.clone();
    answer["success"] = true.into();
    answer["action"] = action.into();
    answer["instanceId"] = json!(tool.row.id);
    answer["message"] = format!("`{}` {what}", tool.row.name).into();
    answer["timestamp"] = now().to_string().into();
    answer["result"] = row;
    Ok(Json(answer))
}
