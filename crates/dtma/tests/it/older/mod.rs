//! The older contract: every row of it, its bad input, and a caller as the older backend is one.

mod backend;
mod bad_input;
mod contract;

mod endpoints;
mod heartbeats;

use serde_json::{Value, json};

use crate::host::Host;

/// What an answer was.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

/// Asks with the environment's token.
pub(crate) async fn ask(host: &Host, method: &str, path: &str, body: Option<Value>) -> Answer {
    let mut request = host.request(method, path);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, body }
}

/// The id of an instance of the older backend: version 4, as `gen_random_uuid()` makes them.
pub(crate) fn backend_id(number: u8) -> String {
    format!("b0000000-0000-4000-8000-0000000000{number:02x}")
}

/// The body of `POST /tools` as the older backend sends it.
pub(crate) fn tool(name: &str, number: u8) -> Value {
    json!({
        "dockerImageUrl": "redis:7",
        "instanceNameOnToolbox": name,
        "accountToolInstanceId": backend_id(number),
    })
}

/// The same with Docker create options.
pub(crate) fn tool_with(name: &str, number: u8, options: &Value) -> Value {
    let mut body = tool(name, number);
    body["baseConfigOverrideJson"] = options.clone();
    body
}

/// A server of a group.
pub(crate) fn server(name: &str, number: u8) -> Value {
    json!({
        "accountToolInstanceId": backend_id(number),
        "instanceNameOnToolbox": name,
        "dockerImageUrl": "mcp/everything:1",
        "mcpEndpointPath": "/mcp",
        "mcpTransportType": "stdio",
        "mcpServerCapabilities": {},
        "mcpDiscoveryMetadata": {},
        "baseConfigOverrideJson": {},
    })
}

/// The names of the instances whose `POST` never got that far.
pub(crate) async fn names(host: &Host) -> Vec<String> {
    let status = ask(host, "GET", "/status", None).await;
    let items = status.body["tool_instances"].as_array().unwrap();
    items.iter().map(|item| item["instance_name_on_toolbox"].as_str().unwrap().to_owned()).collect()
}
