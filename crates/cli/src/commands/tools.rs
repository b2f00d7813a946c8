//! `berth tools`: what an instance offers.

use comfy_table::Cell;
use serde_json::Value;

use crate::addressed::Addressed;
use crate::client::Client;
use crate::error::CliError;
use crate::mcp_client::McpClient;
use crate::output::Output;

/// Asks the instance at its MCP address, as every client does.
pub(crate) async fn run(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let server = Addressed::find(client, name).await?;
    let mut mcp = McpClient::open(client, &server).await?;
    let tools = mcp.tools().await;
    mcp.close().await;
    let tools = tools?;
    if output.json() {
        return output.document(&tools);
    }
    let tools: Vec<Value> =
        tools.iter().map(|tool| serde_json::from_str(tool.get()).unwrap_or_default()).collect();
    let rows = tools
        .iter()
        .map(|tool| [Cell::new(text(tool, "name")), Cell::new(arguments(tool)), Cell::new(summary(tool))])
        .collect();
    output.table(["TOOL", "ARGUMENTS", "DESCRIPTION"], rows)?;
    match tools.first() {
        Some(_) => output.hint(&format!("call one with `berth call {name} TOOL '{{\"KEY\":VALUE}}'`")),
        None => output.say(&format!("`{name}` offers no tools")),
    }
    Ok(())
}

fn text<'a>(tool: &'a Value, key: &str) -> &'a str {
    tool.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The first line; the rest is for models, and `--json` has it.
fn summary(tool: &Value) -> &str {
    text(tool, "description").trim().lines().next().unwrap_or_default()
}

/// The arguments' names, those that may be left out with a question mark.
fn arguments(tool: &Value) -> String {
    let schema = tool.get("inputSchema");
    let required: Vec<&str> = schema
        .and_then(|schema| schema.get("required"))
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    let names = properties.map(|properties| {
        properties
            .keys()
            .map(|name| if required.contains(&name.as_str()) { name.clone() } else { format!("{name}?") })
            .collect::<Vec<_>>()
    });
    names.unwrap_or_default().join(", ")
}
