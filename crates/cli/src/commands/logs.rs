//! `berth logs`: what an instance's server wrote to its standard error.

use crate::args::LogsArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Copies the lines as they come. Ctrl-C ends following, and is no failure.
pub(crate) async fn run(args: &LogsArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let path = Client::instance_path(&args.name, &format!("/logs?tail={}&follow={}", args.tail, args.follow));
    let answer = client.stream(&path).await;
    let mut lines = client.with_nearest(&args.name, answer).await?;
    if output.json() {
        return as_json(lines, client, output).await;
    }
    loop {
        tokio::select! {
            chunk = lines.chunk() => match chunk.map_err(|e| client.lost(e))? {
                Some(bytes) => output.bytes(&bytes)?,
                None => return Ok(()),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// For programs: one JSON string per line, so that no line can be taken for two.
async fn as_json(mut lines: reqwest::Response, client: &Client, output: Output) -> Result<(), CliError> {
    let mut held: Vec<u8> = Vec::new();
    while let Some(bytes) = lines.chunk().await.map_err(|e| client.lost(e))? {
        held.extend_from_slice(&bytes);
        let Some(end) = held.iter().rposition(|&b| b == b'\n') else { continue };
        let rest = held.split_off(end + 1);
        for line in String::from_utf8_lossy(&held).lines() {
            output.data(&serde_json::Value::from(line).to_string())?;
        }
        held = rest;
    }
    if !held.is_empty() {
        output.data(&serde_json::Value::from(String::from_utf8_lossy(&held)).to_string())?;
    }
    Ok(())
}
