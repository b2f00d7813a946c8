//! `berth logs`: what an instance's server wrote to its standard error.

use tokio::signal::unix::Signal;

use crate::args::LogsArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Copies the lines as they come. Ctrl-C ends following, and is no failure.
pub(crate) async fn run(args: &LogsArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let mut interrupts = super::interrupts()?;
    let path = Client::instance_path(&args.name, &format!("/logs?tail={}&follow={}", args.tail, args.follow));
    let answer = client.stream(&path).await;
    copy(client.with_nearest(&args.name, answer).await?, &mut interrupts, client, output).await
}

/// Copies lines as they come, until they end or somebody interrupts.
pub(super) async fn copy(
    lines: reqwest::Response,
    interrupts: &mut Signal,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let copied = async {
        if output.json() {
            as_json(lines, client, output).await
        } else {
            as_text(lines, client, output).await
        }
    };
    tokio::select! {
        copied = copied => copied,
        _ = interrupts.recv() => Ok(()),
    }
}

async fn as_text(mut lines: reqwest::Response, client: &Client, output: Output) -> Result<(), CliError> {
    while let Some(bytes) = lines.chunk().await.map_err(|e| client.lost(e))? {
        output.bytes(&bytes)?;
    }
    Ok(())
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
