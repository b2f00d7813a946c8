//! `/mcp/servers`, `/mcp/validate` and what lies beside them: one server of a group.

use axum::extract::{Path, RawQuery, State};
use domain::catalog::Transport;
use domain::spec::Launch;
use serde_json::{Map, Value, json};

use super::super::App;
use super::answer::{Answer, Failure, Object, ok, texts, timestamp};
use super::host::{lines_of, log_of};
use super::item::Tool;
use super::options::{Options, Wanted, texts_of};
use super::tools::{self, Beside};
use crate::instances::Wish;

/// What tells about a server and changes nothing.
const TOLD: [&str; 3] = ["mcpServerCapabilities", "mcpDiscoveryMetadata", "mcpServerType"];

/// One server of a group, read.
pub(crate) struct Server {
    pub(crate) name: String,
    id: String,
    image: String,
    endpoint: Option<String>,
    transport: String,
    options: Options,
}

impl Server {
    /// Reads one.
    pub(crate) fn read(value: &Value) -> Result<Self, Failure> {
        let object =
            value.as_object().ok_or_else(|| Failure::bad("servers", "a server must be an object"))?;
        let [id, name, image] =
            texts(object, ["accountToolInstanceId", "instanceNameOnToolbox", "dockerImageUrl"])?;
        let transport = match object.get("mcpTransportType") {
            None | Some(Value::Null) => "stdio",
            Some(Value::String(word)) if ["stdio", "sse", "websocket", "http"].contains(&word.as_str()) => {
                word
            }
            Some(_) => {
                return Err(Failure::bad(
                    "mcpTransportType",
                    "mcpTransportType must be `stdio`, `http`, `sse` or `websocket`",
                ));
            }
        };
        let endpoint = match object.get("mcpEndpointPath") {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) if path.starts_with('/') => Some(path.clone()),
            Some(_) => return Err(Failure::bad("mcpEndpointPath", "mcpEndpointPath must begin with `/`")),
        };
        let mut options = Options::read(object.get("baseConfigOverrideJson"), "baseConfigOverrideJson")?;
        if let Some(ports) = object.get("portBindings").filter(|ports| !ports.is_null()) {
            // The same binding may be said twice, here and in the options.
            let beside = std::mem::take(&mut options.ports);
            options.read_ports(ports, "portBindings")?;
            let further = beside.into_iter().filter(|port| !options.ports.contains(port)).collect::<Vec<_>>();
            options.ports.extend(further);
        }
        for (name, value) in texts_of(object.get("environmentVariables"), "environmentVariables")? {
            options.set(&name, &value, "environmentVariables")?;
        }
        let known = [
            "accountToolInstanceId",
            "instanceNameOnToolbox",
            "dockerImageUrl",
            "mcpTransportType",
            "mcpEndpointPath",
            "baseConfigOverrideJson",
            "portBindings",
            "environmentVariables",
        ];
        let is_nothing = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        let unknown = object.iter().filter(|(key, value)| {
            !known.contains(&key.as_str()) && !TOLD.contains(&key.as_str()) && !is_nothing(value)
        });
        options.ignored.extend(unknown.map(|(key, _)| key.clone()));
        Ok(Self {
            name: name.to_owned(),
            id: id.to_owned(),
            image: image.to_owned(),
            endpoint,
            transport: transport.to_owned(),
            options,
        })
    }

    /// How it is started: one that publishes ports, or speaks WebSocket, is a container whose callers find it there;
    /// any other is an MCP server behind its shim.
    fn launch(&self) -> Option<Launch> {
        let transport = match self.transport.as_str() {
            _ if !self.options.ports.is_empty() => return None,
            "stdio" => Transport::Stdio,
            "http" => Transport::Http,
            "sse" => Transport::Sse,
            _ => return None,
        };
        let path = self.endpoint.clone().filter(|_| !transport.is_stdio());
        Some(Launch { transport, path, ..Launch::default() })
    }

    /// Deploys it into a group; gives its name and what was not honoured, or why not.
    pub(crate) async fn deploy(self, app: &App, group: &str) -> (String, Result<Vec<String>, Failure>) {
        let launch = self.launch();
        let Self { name, id, image, endpoint, transport, options } = self;
        let beside = Beside { group: Some(group.to_owned()), endpoint, transport: Some(transport) };
        let wanted = wanted(&id, &name, &image, options, launch);
        let result = tools::create(app, wanted, Some(beside)).await.map(|(_, ignored)| ignored);
        (name, result)
    }
}

fn wanted<'a>(
    id: &'a str,
    name: &'a str,
    image: &'a str,
    options: Options,
    launch: Option<Launch>,
) -> Wanted<'a> {
    Wanted {
        id,
        id_field: "accountToolInstanceId",
        name,
        name_field: "instanceNameOnToolbox",
        image,
        image_field: "dockerImageUrl",
        options,
        launch,
    }
}

/// Stops and starts one.
pub(crate) async fn restart(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tool = Tool::find(&app, &name)?;
    app.instances.wish(tool.id, Wish::Restart).await?;
    ok(json!({"success": true, "message": format!("MCP server '{}' restarted.", tool.name)}))
}

/// The last lines of its log.
pub(crate) async fn logs(
    State(app): State<App>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer {
    let lines = lines_of(query.as_deref(), "tail")?;
    if query.as_deref().unwrap_or_default().split('&').any(|pair| pair.starts_with("since=")) {
        return Err(Failure::bad("since", "lines are kept without their times: use `tail`"));
    }
    let tool = Tool::find(&app, &name)?;
    let logs = log_of(&app, &tool, lines).await?;
    ok(json!({
        "success": true,
        "data": {"instanceName": tool.name, "logs": logs, "timestamp": timestamp()}
    }))
}

/// Secrets are handed over at a start, so the server is started again with those that this host has.
pub(crate) async fn refresh(State(app): State<App>, Path(name): Path<String>) -> Answer {
    let tool = Tool::find(&app, &name)?;
    app.instances.wish(tool.id, Wish::Restart).await?;
    ok(json!({
        "success": true,
        "message": format!("MCP server '{}' is started again with its credentials.", tool.name),
        "data": {"instanceName": tool.name, "status": "refresh_initiated", "timestamp": timestamp()}
    }))
}

/// The three sizes of the older one.
pub(crate) async fn templates() -> Answer {
    let template = |name: &str, memory: &str, shares: u32| json!({"name": name, "resources": {"memory": memory, "cpuShares": shares}});
    ok(json!({
        "success": true,
        "data": {
            "templates": [
                template("standard", "512m", 1024),
                template("high-performance", "2g", 2048),
                template("minimal", "128m", 512),
            ]
        }
    }))
}

/// What would become of servers, without deploying them.
pub(crate) async fn validate(body: Object) -> Answer {
    let Some(Value::Array(servers)) = body.0.get("servers") else {
        return Err(Failure::bad("servers", "servers must be a list"));
    };
    let results: Vec<Value> = servers.iter().map(result_of).collect();
    let count = |is: &dyn Fn(&Value) -> bool| results.iter().filter(|result| is(result)).count();
    let valid = count(&|result| result["valid"] == true);
    let with_warnings = count(&|result| result["warnings"].as_array().is_some_and(|list| !list.is_empty()));
    ok(json!({
        "success": true,
        "data": {
            "valid": valid == results.len(),
            "summary": {
                "total": results.len(),
                "valid": valid,
                "invalid": results.len() - valid,
                "withWarnings": with_warnings,
            },
            "results": results,
        }
    }))
}

fn result_of(value: &Value) -> Value {
    let name = value["instanceNameOnToolbox"].clone();
    let read = Server::read(value).and_then(|server| {
        let launch = server.launch();
        wanted(&server.id, &server.name, &server.image, server.options, launch).spec()
    });
    let mut result = Map::new();
    result.insert("instanceName".to_owned(), name);
    result.insert("valid".to_owned(), read.is_ok().into());
    let (warnings, errors) = match read {
        Ok((_, ignored)) => (tools::not_honoured(&ignored), json!([])),
        Err(failure) => (json!([]), json!([failure.into_error()])),
    };
    result.insert("warnings".to_owned(), warnings);
    result.insert("errors".to_owned(), errors);
    result.into()
}
