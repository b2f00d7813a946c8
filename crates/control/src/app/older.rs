//! What older hosts send: heartbeats in both of their forms, and requests for an instance's secrets. Below it what the older front
//! end does, by ids where others have names.

pub(crate) mod agents;
pub(crate) mod templates;
pub(crate) mod toolboxes;
pub(crate) mod tools;

use std::collections::BTreeMap;

use api::errors::ErrorCode;
use domain::ids::InstanceId;
use domain::secret::Secrets;
use domain::spec::DesiredState;
use domain::status::{
    DiskMetrics, EnvironmentStatus, InstanceReport, InstanceStatus, MemoryMetrics, SystemMetrics,
};
use domain::time::Timestamp;
use serde_json::{Map, Value};
use store::environments::{EnvironmentRow, Health, HeartbeatRow, Recorded};
use store::instances::{InstanceRow, ReportedBy};

use crate::app::environments::{before, tell};
use crate::app::heartbeats::is_news;
use crate::app::{App, Outcome, Problem, instance_events, secrets};
use crate::directory::now;

/// The longest version that is kept of an older host.
const MAX_VERSION: usize = 64;
/// The most items of one heartbeat that are read.
const MAX_ITEMS: usize = 10_000;
/// What cannot be known of an older host's instance.
const NOT_PROBED: &str = "as its older DTMA says; nothing asked the server itself";

/// Takes an older host's heartbeat: its environment is active whatever it was, and its own instances are as it says.
/// Items that are of no instance of this environment change nothing.
///
/// # Errors
/// 400 when the lists are too long; what the store says.
pub(crate) async fn heartbeat(
    app: &App,
    environment: &EnvironmentRow,
    body: &Map<String, Value>,
) -> Outcome<()> {
    let empty = Vec::new();
    let items = body.get("tool_statuses").and_then(Value::as_array).unwrap_or(&empty);
    if MAX_ITEMS < items.len() {
        let message = format!("at most {MAX_ITEMS} items are taken");
        return Err(Problem::refused(ErrorCode::BadRequest, message).field("tool_statuses"));
    }
    let at = now();
    let version = body.get("dtma_version").and_then(Value::as_str).unwrap_or("unknown");
    let beat = HeartbeatRow {
        dtma_version: version.chars().take(MAX_VERSION).collect(),
        health: Health {
            system: system_of(body.get("system_status").unwrap_or(&Value::Null)),
            protections: Vec::new(),
            program: None,
        },
        // An older host numbers nothing, so each counts when it comes.
        dtma_started_at: at,
        sequence: 0,
        at,
        silent_before: before(at, app.silence()),
    };
    let rows = store::instances::list_by_environment(&app.store, environment.id).await?;
    let mut tx = app.store.begin().await?;
    let recorded = store::environments::record_heartbeat(&mut tx, environment.id, &beat).await?;
    let Recorded::Taken { was, row } = recorded else { return Ok(()) };
    let mut changed = Vec::new();
    for item in items {
        let Some(known) = row_of(&rows, item) else { continue };
        let Some(report) = report_of(known, item, at) else { continue };
        let by = ReportedBy::Heartbeat;
        let after = store::instances::record_report(&mut tx, environment.id, &report, by, at).await?;
        if let Some(after) = after.filter(|after| is_news(known, after)) {
            instance_events::note(&mut tx, Some(known), &after, at).await?;
            changed.push(after);
        }
    }
    tx.commit().await?;
    if !changed.is_empty() || was != EnvironmentStatus::Active {
        app.changed(&changed).await?;
    }
    tell(app, *row).await
}

/// The instance that an item is about: by its id, or by the names of its container.
fn row_of<'a>(rows: &'a [InstanceRow], item: &Value) -> Option<&'a InstanceRow> {
    if let Some(id) = item["account_tool_instance_id"].as_str() {
        let id: InstanceId = id.parse().ok()?;
        return rows.iter().find(|row| row.id == id);
    }
    let name = item["instance_name_on_toolbox"].as_str();
    let names = item["names"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut all = names.map(|name| name.trim_start_matches('/')).chain(name);
    all.find_map(|name| rows.iter().find(|row| row.instance_name_on_toolbox == name))
}

/// What an item says of its instance; `None` when it says nothing that is known.
fn report_of(row: &InstanceRow, item: &Value, at: Timestamp) -> Option<InstanceReport> {
    let words = ["status_on_toolbox", "status", "state"].map(|key| item[key].as_str());
    let status = words.into_iter().flatten().find_map(|word| status_of(word, row.desired))?;
    let message = match (status, item["message"].as_str()) {
        (_, Some(message)) => message.to_owned(),
        (InstanceStatus::ErrorRuntime, None) => {
            let word = words.into_iter().flatten().next().unwrap_or_default();
            format!("its older DTMA says `{word}`")
        }
        (_, None) => NOT_PROBED.to_owned(),
    };
    let known = row.report.as_ref();
    let since = known.filter(|report| report.status == status).map_or(at, |report| report.since);
    Some(InstanceReport {
        confinement: None,
        id: row.id,
        generation: row.generation,
        status,
        message: Some(message),
        progress: None,
        version: None,
        digest: None,
        server_name: None,
        protocol_version: None,
        restarts: item["restart_count"].as_u64().unwrap_or_default(),
        since,
        metrics: None,
        blocked: Vec::new(),
    })
}

/// The words of both generations and of the engine. What ended by itself is an error, what was stopped is not.
fn status_of(word: &str, desired: DesiredState) -> Option<InstanceStatus> {
    Some(match word {
        "running" => InstanceStatus::Running,
        "starting" | "created" | "pending" | "restarting" => InstanceStatus::Starting,
        "stopping" | "removing" => InstanceStatus::Stopping,
        "stopped" | "exited" if desired == DesiredState::Stopped => InstanceStatus::Stopped,
        "stopped" | "exited" | "dead" | "error" | "error_inspecting" | "not_found" => {
            InstanceStatus::ErrorRuntime
        }
        "paused" => InstanceStatus::Stopped,
        _ => return None,
    })
}

/// Load and room as far as an older host says: a number that is missing is 0.
fn system_of(value: &Value) -> SystemMetrics {
    let (memory, disk) = (&value["memory"], &value["disk"]);
    SystemMetrics {
        cpu_load_percent: value["cpu_load_percent"].as_f64().unwrap_or_default().clamp(0.0, 100.0),
        cores: 0,
        memory: MemoryMetrics {
            total_bytes: bytes(&memory["total_bytes"]),
            active_bytes: bytes(&memory["active_bytes"]),
            free_bytes: bytes(&memory["free_bytes"]),
            used_bytes: bytes(&memory["used_bytes"]),
        },
        disk: disk["mount"].as_str().map(|mount| DiskMetrics {
            mount: mount.to_owned(),
            total_bytes: bytes(&disk["total_bytes"]),
            used_bytes: bytes(&disk["used_bytes"]),
            free_bytes: bytes(&disk["free_bytes"]),
        }),
        uptime_seconds: bytes(&value["uptime_seconds"]),
    }
}

/// A count; some hosts wrote fractions.
fn bytes(value: &Value) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is cut to a count")]
    let whole = |number: f64| number.max(0.0) as u64;
    value.as_u64().or_else(|| value.as_f64().map(whole)).unwrap_or_default()
}

/// The secrets of an instance, for the host that it runs on.
///
/// # Errors
/// 400 for no id, 404 for an instance that this environment does not have.
pub(crate) async fn secrets(
    app: &App,
    environment: &EnvironmentRow,
    body: &Map<String, Value>,
) -> Outcome<Secrets> {
    const FIELD: &str = "tool_instance_db_id";
    let id = body.get(FIELD).and_then(Value::as_str).and_then(|id| id.parse::<InstanceId>().ok());
    let id = id.ok_or_else(|| {
        Problem::refused(ErrorCode::BadRequest, format!("{FIELD} must be the UUID of an instance"))
            .field(FIELD)
    })?;
    let row = store::instances::by_id(&app.store, id).await?;
    let row = row.filter(|row| row.environment == environment.id && !row.deleting).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, "this environment has no such instance").field(FIELD)
    })?;
    Ok(secrets::of_instance(app, &row).await?.0)
}

/// The same, as they are sent.
pub(crate) fn exposed(secrets: &Secrets) -> BTreeMap<&str, &str> {
    secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_older_hosts() {
        use DesiredState::{Running, Stopped};
        for (word, desired, expected) in [
            ("running", Running, Some(InstanceStatus::Running)),
            ("running", Stopped, Some(InstanceStatus::Running)),
            ("created", Running, Some(InstanceStatus::Starting)),
            ("exited", Running, Some(InstanceStatus::ErrorRuntime)),
            ("exited", Stopped, Some(InstanceStatus::Stopped)),
            ("not_found", Running, Some(InstanceStatus::ErrorRuntime)),
            ("error_inspecting", Running, Some(InstanceStatus::ErrorRuntime)),
            ("Up 2 hours", Running, None),
            ("", Running, None),
        ] {
            assert_eq!(status_of(word, desired), expected, "{word}");
        }
    }

    #[test]
    fn load_of_older_hosts() {
        let system = system_of(&serde_json::json!({
            "cpu_load_percent": 250, "memory": {"total_bytes": 4.5, "used_bytes": -1}, "disk": null
        }));
        assert_eq!((system.memory.total_bytes, system.memory.used_bytes, system.disk), (4, 0, None));
        assert!((system.cpu_load_percent - 100.0).abs() < f64::EPSILON);
        assert_eq!(system_of(&Value::Null).memory.total_bytes, 0);
    }
}
