//! `berth call`: one tool, called as every MCP client calls it.

use std::io::Read as _;

use serde_json::Value;

use crate::addressed::Addressed;
use crate::args::CallArgs;
use crate::client::Client;
use crate::error::{CliError, io_failure};
use crate::mcp_client::{McpClient, ProgressSaid};
use crate::output::{Output, Steps};

/// Calls the tool and prints what it answers. A tool that reports an error makes the command fail.
pub(crate) async fn run(args: &CallArgs, client: &Client, output: Output) -> Result<(), CliError> {
    // Before anything is sent: a mistake in the arguments is the caller's and needs no server.
    let arguments = arguments(&args.arguments)?;
    let mut interrupts = super::interrupts()?;
    let server = Addressed::find(client, &args.name).await?;
    let mut mcp = McpClient::open(client, &server).await?;
    let mut steps: Option<Steps> = None;
    let mut show = |said: ProgressSaid| {
        let (text, percent) = progress(&said);
        steps.get_or_insert_with(|| output.steps()).show(&text, percent);
    };
    let result = tokio::select! {
        result = mcp.call(&args.tool, arguments, &mut show) => Some(result),
        _ = interrupts.recv() => None,
    };
    if let Some(steps) = steps {
        steps.end();
    }
    if result.is_none() {
        mcp.cancel().await;
    }
    mcp.close().await;
    let raw = result.unwrap_or_else(|| Err(CliError::failed("given up; the server was told")))?;
    let result: Value = serde_json::from_str(raw.get())
        .map_err(|e| CliError::because(format!("`{}` answered what is no result", args.name), e))?;
    if output.json() {
        output.data(raw.get())?;
    } else {
        print(&result, output)?;
    }
    if result.get("isError").and_then(Value::as_bool) == Some(true) {
        return Err(CliError::failed(format!("the tool `{}` reports an error", args.tool)));
    }
    Ok(())
}

fn arguments(typed: &str) -> Result<Value, CliError> {
    let (text, from) = if typed == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| CliError::because("cannot read standard input", e))?;
        (text, "standard input".to_owned())
    } else if let Some(path) = typed.strip_prefix('@') {
        let path = std::path::Path::new(path);
        let text = std::fs::read_to_string(path).map_err(|e| io_failure("read", path, e))?;
        (text, format!("`{}`", path.display()))
    } else {
        (typed.to_owned(), "the tool's arguments".to_owned())
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(CliError::usage(format!("{from} must be a JSON object"))
            .with_hint("write them as '{\"message\":\"hi\"}'")),
        Err(error) => Err(CliError::usage(format!("JSON: {from}: {error}"))
            .with_hint("write them as '{\"message\":\"hi\"}', in single quotes")),
    }
}

fn progress(said: &ProgressSaid) -> (String, Option<u8>) {
    let percent = said.total.filter(|&total| 0.0 < total).map(|total| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0–100")]
        let percent = (said.progress / total * 100.0).clamp(0.0, 100.0) as u8;
        percent
    });
    let text = match (&said.message, said.total) {
        (Some(message), _) => message.clone(),
        (None, Some(total)) => format!("{} of {total}", said.progress),
        (None, None) => said.progress.to_string(),
    };
    (text, percent)
}

/// Text as text; what is no text is named, with its type and size.
fn print(result: &Value, output: Output) -> Result<(), CliError> {
    let content = result.get("content").and_then(Value::as_array);
    for item in content.into_iter().flatten() {
        let field = |key: &str| item.get(key).and_then(Value::as_str);
        match field("type") {
            Some("text") => output.data(field("text").unwrap_or_default())?,
            Some("resource_link") => output.data(field("uri").unwrap_or_default())?,
            Some("resource") => {
                let resource = item.get("resource");
                let text = resource.and_then(|r| r.get("text")).and_then(Value::as_str);
                let uri = resource.and_then(|r| r.get("uri")).and_then(Value::as_str);
                output.data(text.or(uri).unwrap_or_default())?;
            }
            Some(kind) => {
                let size = field("data").map_or(0, str::len) * 3 / 4;
                let mime = field("mimeType").unwrap_or("unknown type");
                output.data(&format!("[{kind}: {mime}, about {size} bytes; `--json` prints it]"))?;
            }
            None => output.document(item)?,
        }
    }
    if content.is_none_or(Vec::is_empty)
        && let Some(structured) = result.get("structuredContent")
    {
        output.document(structured)?;
    }
    Ok(())
}
