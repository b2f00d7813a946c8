//! The host: its status, load, logs and diagnostics, its restart, and the shell that it does not have.

use std::sync::PoisonError;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::super::App;
use super::answer::{Answer, Failure, Object, ok, timestamp};
use super::item::Tool;
use crate::logs;

/// Lines of each instance's log when nobody says how many.
const LINES: u32 = 50;
/// The most lines that are asked for at once.
const MOST_LINES: u32 = 10_000;

/// What every generation says of itself.
pub(crate) fn describe(app: &App) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let port = app.instances.shared().own_port.map(|port| port.to_string());
    json!({
        "status": "healthy",
        "timestamp": timestamp(),
        "version": version,
        "dtma_version": version,
        "service": "DTMA",
        "environment": {
            "hasAuthToken": true,
            "hasApiKey": app.backend_key.is_some(),
            "hasApiBaseUrl": app.reports,
            "port": port,
        },
    })
}

/// The host and every instance of it.
pub(crate) async fn status(State(app): State<App>) -> Answer {
    let mut answer = describe(&app);
    answer["tool_instances"] = Tool::all(&app).await.iter().map(Tool::render).collect::<Vec<_>>().into();
    answer["system_metrics"] = measured(&app)?;
    ok(answer)
}

/// Load and room.
pub(crate) async fn system(State(app): State<App>) -> Answer {
    ok(measured(&app)?)
}

fn measured(app: &App) -> Result<Value, Failure> {
    let metrics = app.meter.lock().unwrap_or_else(PoisonError::into_inner).measure();
    serde_json::to_value(metrics)
        .map_err(|error| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// The last lines of every instance's log, each with its instance's name.
pub(crate) async fn logs(State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let lines = lines_of(query.as_deref(), "lines")?;
    let mut all = Vec::new();
    for tool in Tool::all(&app).await {
        let text = log_of(&app, &tool, lines).await?;
        all.extend(text.lines().map(|line| format!("{}: {line}", tool.name)));
    }
    ok(json!({"logs": all, "timestamp": timestamp()}))
}

/// How many lines a query asks for.
pub(crate) fn lines_of(query: Option<&str>, key: &str) -> Result<u32, Failure> {
    let pairs = query.unwrap_or_default().split('&');
    let Some((_, given)) = pairs.filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == key)
    else {
        return Ok(LINES);
    };
    match given.parse() {
        Ok(lines) if lines <= MOST_LINES => Ok(lines),
        _ => Err(Failure::bad(key, format!("{key} is a number, at most {MOST_LINES}"))),
    }
}

/// The last lines of an instance's log.
pub(crate) async fn log_of(app: &App, tool: &Tool, lines: u32) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        tracing::error!(instance = %tool.id, %error, "a log cannot be read");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the log of '{}' cannot be read", tool.name))
    };
    let dir = app.instances.shared().specs.state_dir(tool.id);
    let mut pieces = Box::pin(logs::read(&dir, lines, false, std::future::ready(())).map_err(failed)?);
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await {
        text.extend_from_slice(&piece.map_err(failed)?);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Ends this DTMA; what started it starts it again. No instance notices.
pub(crate) async fn restart(State(app): State<App>) -> Answer {
    // The server lets answers under way finish, this one among them.
    app.stop.cancel();
    let message = "The DTMA ends now and is started again by its supervisor; instances go on.";
    ok(json!({"success": true, "message": message, "timestamp": timestamp()}))
}

/// Looks at every instance anew. The DTMA's own program is replaced by its package, not by a request.
pub(crate) async fn redeploy(State(app): State<App>) -> Answer {
    let faces = app.instances.faces();
    for (_, face) in &faces {
        face.nudge.notify_one();
    }
    let message = format!("{} instances are looked at anew; no image is fetched again.", faces.len());
    ok(json!({"success": true, "message": message, "timestamp": timestamp()}))
}

/// There is none.
pub(crate) async fn shell(body: Object) -> Answer {
    let [command] = body.texts(["command"])?;
    Err(Failure::new(StatusCode::FORBIDDEN, format!("`{}` is not run.", shown(command)))
        .message("This host agent runs no commands for anybody: a token that leaks must not be a shell.")
        .hint("GET /diagnostics/docker, /diagnostics/system and /diagnostics/logs tell what is asked most"))
}

fn shown(command: &str) -> String {
    command.chars().take(40).collect()
}

/// Every instance of this host.
pub(crate) async fn diagnose_containers(State(app): State<App>) -> Answer {
    let containers: Vec<Value> = Tool::all(&app).await.iter().map(Tool::render).collect();
    diagnosed(&json!({"containers": containers, "protections": app.instances.shared().runtime.protections()}))
}

/// Load and room.
pub(crate) async fn diagnose_system(State(app): State<App>) -> Answer {
    diagnosed(&json!({"system": measured(&app)?}))
}

/// The last lines of each instance's log.
pub(crate) async fn diagnose_logs(State(app): State<App>, RawQuery(query): RawQuery) -> Answer {
    let lines = lines_of(query.as_deref(), "lines")?;
    let mut all = serde_json::Map::new();
    for tool in Tool::all(&app).await {
        let text = log_of(&app, &tool, lines).await?;
        all.insert(tool.name, text.lines().collect::<Vec<_>>().into());
    }
    diagnosed(&json!({"logs": all}))
}

fn diagnosed(diagnostics: &Value) -> Answer {
    ok(json!({"success": true, "diagnostics": diagnostics, "timestamp": timestamp()}))
}
