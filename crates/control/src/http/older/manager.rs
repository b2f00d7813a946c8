//! `/functions/v1/mcp-server-manager`: MCP servers from images, and which agents may call them as a whole.

use std::sync::Arc;

use api::agents::ServerAccessRequest;
use axum::extract::{Path, Query, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use domain::catalog::Transport;
use domain::spec::Limits;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::agents::ServerAccessRow;

use super::answer::{ByClient, ClientBody, ClientFailure};
use super::config::{Config, memory_mib};
use super::{Served, rows};
use crate::app::instances::Order;
use crate::app::older::agents::{self, Belted, find, level};
use crate::app::older::toolboxes;
use crate::app::older::tools::{self, Tool, Wanted};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;

const DEPLOY: &str = "/functions/v1/mcp-server-manager/deploy";
const REMOVE: &str = "/functions/v1/mcp-server-manager/remove/{id}";
const STATUS: &str = "/functions/v1/mcp-server-manager/status";
const GRANT: &str = "/functions/v1/mcp-server-manager/permissions/grant";
const REVOKE: &str = "/functions/v1/mcp-server-manager/permissions/revoke";

/// What is served here.
pub(super) const SERVED: Served =
    &[("POST", DEPLOY), ("DELETE", REMOVE), ("GET", STATUS), ("POST", GRANT), ("POST", REVOKE)];

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(DEPLOY, post(deploy))
        .route(REMOVE, delete(remove))
        .route(STATUS, get(status))
        .route(GRANT, post(grant))
        .route(REVOKE, post(revoke))
}

type Answer = Result<Json<Value>, ClientFailure>;

fn done(message: &str, data: &Value) -> Json<Value> {
    Json(json!({ "success": true, "message": message, "data": data }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Deploy {
    agent_id: String,
    server_config: Server,
    /// Where; absent: the agent's only toolbox, or the account's.
    toolbox_id: Option<String>,
    #[serde(default)]
    grant_access: bool,
    permission_scope: Option<String>,
    allowed_tools: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Server {
    docker_image_url: String,
    instance_name_on_toolbox: String,
    /// A word for people, which decides nothing.
    #[serde(default)]
    #[expect(dead_code, reason = "it is taken and not read")]
    mcp_server_type: Option<String>,
    mcp_endpoint_path: Option<String>,
    mcp_transport_type: Option<String>,
    #[serde(default)]
    port_bindings: Map<String, Value>,
    #[serde(default)]
    environment_variables: Map<String, Value>,
    #[serde(default)]
    resource_limits: Resources,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Resources {
    memory: Option<String>,
    cpu: Option<f64>,
}

impl Server {
    fn wanted(self) -> Outcome<Wanted> {
        let transport = match self.mcp_transport_type.as_deref() {
            None | Some("stdio") => None,
            Some("sse") => Some(Transport::Sse),
            Some("http" | "streamable-http" | "streamable_http") => Some(Transport::Http),
            Some(other) => {
                let message = format!("`{other}` is no transport of MCP that is spoken here");
                return Err(Problem::invalid("serverConfig.mcpTransportType", message)
                    .hint("it is `stdio`, `http` or `sse`"));
            }
        };
        let mut config = Config::default();
        config.set(self.environment_variables, "serverConfig.environmentVariables")?;
        // Its port in the container: the shim beside it calls it there, and none of the host is needed.
        let port = self.port_bindings.keys().next().filter(|_| transport.is_some());
        let port = port.map(|port| {
            let number = port.split('/').next().and_then(|number| number.parse().ok());
            number.ok_or_else(|| {
                Problem::invalid("serverConfig.portBindings", format!("`{port}` is no port, such as `8080`"))
            })
        });
        Ok(Wanted {
            image: Some(self.docker_image_url),
            name: self.instance_name_on_toolbox,
            variables: config.variables,
            limits: self.resource_limits.limits()?,
            path: self.mcp_endpoint_path.filter(|_| transport.is_some()),
            port: port.transpose()?,
            transport,
            ..Wanted::default()
        })
    }
}

impl Resources {
    fn limits(&self) -> Outcome<Limits> {
        const CPU: &str = "serverConfig.resourceLimits.cpu";
        let memory =
            self.memory.as_deref().map(|text| memory_mib(text, "serverConfig.resourceLimits.memory"));
        let cpu = self.cpu.map(|cores| {
            if !(0.01..=1000.0).contains(&cores) {
                return Err(Problem::invalid(CPU, "it is a number of cores, such as 0.5"));
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was compared")]
            let millicores = (cores * 1000.0) as u64;
            Ok(millicores)
        });
        Ok(Limits { memory_mib: memory.transpose()?, cpu_millicores: cpu.transpose()?, ..Limits::default() })
    }
}

async fn deploy(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Deploy>,
) -> Answer {
    let of = find(&app, &caller, &body.agent_id).await?;
    let access = asked(body.permission_scope.as_deref(), body.allowed_tools)?;
    if body.grant_access {
        crate::app::agents::require_own(&app, &caller, &of.agent)?;
    }
    let environment = match &body.toolbox_id {
        Some(id) => Some(toolboxes::find(&app, &caller, id).await?.name),
        None => match &agents::toolboxes_of(&app, &caller, &body.agent_id).await?[..] {
            [(_, only)] => Some(only.name.clone()),
            _ => None,
        },
    };
    let tool = tools::deploy(&app, &caller, environment.as_ref(), body.server_config.wanted()?).await?;
    let id = tool.row.id.to_string();
    let mut data = json!({
        "instanceId": id, "instanceName": tool.row.name, "status": tool.row.status, "mcpUrl": tool.shown.url,
        "accessGranted": false,
    });
    let mut message = format!("`{}` is being deployed", tool.row.name);
    if body.grant_access {
        match agents::grant_server(&app, &caller, &of, &id, &access).await {
            Ok(()) => data["accessGranted"] = true.into(),
            // What was deployed stays, so it is not said to have failed.
            Err(problem) => {
                message = format!("{message}; access was not granted: {}", problem.into_detail().message);
            }
        }
    }
    Ok(done(&message, &data))
}

fn asked(scope: Option<&str>, allowed_tools: Option<Vec<String>>) -> Outcome<ServerAccessRequest> {
    Ok(ServerAccessRequest { level: level(scope)?, allowed_tools, expires_in_seconds: None })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Which {
    agent_id: Option<String>,
}

async fn of_query(app: &App, caller: &Caller, which: &Which) -> Outcome<Option<Belted>> {
    match which.agent_id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => find(app, caller, id).await.map(Some),
        None => Ok(None),
    }
}

async fn remove(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Path(id): Path<String>,
    Query(which): Query<Which>,
) -> Answer {
    // Somebody who names an agent means one that there is; what it was granted goes with the instance.
    of_query(&app, &caller, &which).await?;
    let tool = tools::order(&app, &caller, None, &id, Order::Remove).await?;
    Ok(done(&format!("`{}` is being removed", tool.row.name), &rows::tool(&tool)))
}

async fn status(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    Query(which): Query<Which>,
) -> Answer {
    let of = of_query(&app, &caller, &which).await?;
    let granted = match &of {
        Some(of) => agents::servers(&app, of).await?,
        None => Vec::new(),
    };
    let mut tools = tools::servers(&app, &caller).await?;
    if of.is_some() {
        tools.retain(|tool| granted.iter().any(|row| row.instance == tool.row.id && row.is_active));
    }
    let servers: Vec<Value> = tools.iter().map(|tool| server(tool, &granted)).collect();
    let running = servers.iter().filter(|server| server["status_on_toolbox"] == "running").count();
    let summary = json!({ "summary": { "totalServers": servers.len(), "runningServers": running } });
    Ok(done("the servers, as their hosts last said", &json!({ "servers": servers, "dtmaStatus": summary })))
}

/// A row of an instance, with the columns that this function read beside those there are.
fn server(tool: &Tool, granted: &[ServerAccessRow]) -> Value {
    let mut row = rows::tool(tool);
    row["docker_image_url"] = row["image"].clone();
    row["is_active"] = (tool.row.desired == domain::spec::DesiredState::Running).into();
    row["deployment_status"] = super::servers::word(tool.row.status).into();
    let access = granted.iter().filter(|row| row.instance == tool.row.id).map(|row| {
        json!({
            "agent_id": row.agent, "granted_at": row.granted_at.to_string(), "permission_scope": row.level,
            "allowed_tools": row.allowed_tools, "expires_at": row.expires_at.map(|at| at.to_string()),
        })
    });
    row["agent_mcp_server_access"] = access.collect();
    row
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Access {
    agent_id: String,
    server_instance_id: String,
    permission_scope: Option<String>,
    allowed_tools: Option<Vec<String>>,
}

async fn grant(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Access>,
) -> Answer {
    let access = asked(body.permission_scope.as_deref(), body.allowed_tools)?;
    let of = find(&app, &caller, &body.agent_id).await?;
    agents::grant_server(&app, &caller, &of, &body.server_instance_id, &access).await?;
    Ok(done("access was granted", &json!({ "permission_scope": access.level })))
}

async fn revoke(
    State(app): State<Arc<App>>,
    ByClient(caller): ByClient,
    ClientBody(body): ClientBody<Access>,
) -> Answer {
    let of = find(&app, &caller, &body.agent_id).await?;
    agents::revoke_server(&app, &caller, &of, &body.server_instance_id).await?;
    Ok(done("access was taken back", &Value::Null))
}
