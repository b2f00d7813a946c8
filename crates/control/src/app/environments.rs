//! Environments: showing them, and taking what their DTMAs report.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use api::dtma::Heartbeat;
use api::environments::{Environment, EnvironmentToken};
use api::errors::ErrorCode;
use api::events::Event;
use api::users::Role;
use domain::ids::InstanceId;
use domain::names::EnvironmentName;
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;
use store::environments::{EnvironmentRow, Health, HeartbeatRow, Recorded};
use store::instances::{InstanceRow, ReportedBy};

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, adoption};
use crate::auth::{Caller, token};
use crate::directory::now;

/// Three heartbeats of 15 s: a DTMA that was silent for longer is unresponsive.
pub(crate) const SILENCE: Duration = Duration::from_secs(45);
/// The most instances that one heartbeat may report.
const MAX_REPORTS: usize = 10_000;

/// The account's environments, by name.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Environment>> {
    let rows = store::environments::list(&app.store, caller.account).await?;
    let mut counts: HashMap<_, u64> = HashMap::new();
    for instance in store::instances::list(&app.store, caller.account).await? {
        *counts.entry(instance.environment).or_default() += 1;
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let count = counts.get(&row.id).copied().unwrap_or_default();
            render(row, count)
        })
        .collect())
}

/// One environment.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Environment> {
    rendered(app, find(app, caller, name).await?).await
}

async fn find(app: &App, caller: &Caller, name: &str) -> Outcome<EnvironmentRow> {
    if let Ok(name) = name.parse::<EnvironmentName>()
        && let Some(row) = store::environments::by_name(&app.store, caller.account, &name).await?
    {
        return Ok(row);
    }
    let rows = store::environments::list(&app.store, caller.account).await?;
    let problem = Problem::not_found("environment", name);
    Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    })
}

/// The environment whose DTMA shows this token.
///
/// # Errors
/// 401.
pub(crate) async fn of_token(app: &App, bearer: &str) -> Outcome<EnvironmentRow> {
    store::environments::by_token_hash(&app.store, &token::hash_text(bearer)).await?.ok_or_else(|| {
        Problem::refused(ErrorCode::Unauthorized, "this is not the token of an environment")
            .hint("a DTMA shows the token in its own data directory")
    })
}

/// Takes a heartbeat of the environment's own DTMA: it can change its own environment and instances, nothing else.
///
/// # Errors
/// 403 when it speaks for another environment, 422.
pub(crate) async fn heartbeat(app: &App, environment: &EnvironmentRow, heartbeat: &Heartbeat) -> Outcome<()> {
    if heartbeat.environment != environment.id {
        return Err(Problem::refused(ErrorCode::Forbidden, "the token belongs to another environment")
            .field("environment")
            .hint("start this DTMA with the data directory that it was enrolled with"));
    }
    for (field, count) in [
        ("instances", heartbeat.instances.len()),
        ("adopt", heartbeat.adopt.len()),
        ("removed", heartbeat.removed.len()),
    ] {
        if MAX_REPORTS < count {
            return Err(Problem::invalid(field, format!("at most {MAX_REPORTS} are taken")));
        }
    }
    adoption::forget(app, environment, &heartbeat.removed).await?;
    adoption::adopt_all(app, environment, &heartbeat.adopt).await?;
    let before: HashMap<InstanceId, InstanceRow> =
        store::instances::list_by_environment(&app.store, environment.id)
            .await?
            .into_iter()
            .map(|row| (row.id, row))
            .collect();
    let at = now();
    let mut tx = app.store.begin().await?;
    let recorded =
        store::environments::record_heartbeat(&mut tx, environment.id, &row_of(heartbeat, at)).await?;
    let Recorded::Taken { was, row } = recorded else { return Ok(()) };
    let mut changed = Vec::new();
    for report in &heartbeat.instances {
        let after =
            store::instances::record_report(&mut tx, environment.id, report, ReportedBy::Heartbeat, at)
                .await?;
        changed
            .extend(after.filter(|after| before.get(&after.id).is_none_or(|before| is_news(before, after))));
    }
    let adopted = heartbeat.adopt.iter().map(|adoption| adoption.spec.id);
    let reported: HashSet<InstanceId> =
        heartbeat.instances.iter().map(|report| report.id).chain(adopted).collect();
    for lost in before.values().filter(|row| is_lost(row, &reported)) {
        let why = "its host did not have it any more; it is deployed again";
        let after =
            store::instances::set_status(&mut tx, lost, InstanceStatus::PendingDeploy, Some(why)).await?;
        changed.extend(after);
    }
    tx.commit().await?;

    if !changed.is_empty() || was != EnvironmentStatus::Active {
        tracing::debug!(environment = %row.name, changed = changed.len(), %was, "a heartbeat brought news");
        app.changed(&changed).await?;
    }
    tell(app, *row).await
}

/// Tells the account's listeners of an environment's state.
///
/// # Errors
/// What the store says.
pub(crate) async fn tell(app: &App, row: EnvironmentRow) -> Outcome<()> {
    if app.events.is_heard() {
        let account = row.account;
        app.publish(account, Event::Environment(rendered(app, row).await?));
    }
    Ok(())
}

/// Whether listeners and the gateway must hear of a report. What an instance uses, and what it was kept from, changes all the
/// time and is none.
pub(crate) fn is_news(before: &InstanceRow, after: &InstanceRow) -> bool {
    let unmeasured = |row: &InstanceRow| {
        let mut report = row.report.clone();
        if let Some(report) = &mut report {
            report.metrics = None;
            report.blocked.clear();
        }
        report
    };
    before.status != after.status
        || before.message != after.message
        || unmeasured(before) != unmeasured(after)
}

/// Whether a DTMA that had an instance has it no more: its disk was replaced, or its data directory.
fn is_lost(row: &InstanceRow, reported: &HashSet<InstanceId>) -> bool {
    !row.deleting
        && row.observed_generation == row.generation
        && row.status != InstanceStatus::PendingDeploy
        && !reported.contains(&row.id)
}

fn row_of(heartbeat: &Heartbeat, at: Timestamp) -> HeartbeatRow {
    HeartbeatRow {
        dtma_version: heartbeat.dtma_version.clone(),
        health: Health { system: heartbeat.system.clone(), protections: heartbeat.protections.clone() },
        dtma_started_at: heartbeat.started_at,
        sequence: heartbeat.sequence,
        at,
        silent_before: before(at, SILENCE),
    }
}

/// The instant that lies `span` before `at`.
pub(crate) fn before(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

/// The token between an environment's DTMA and the control plane, for an admin who moves a host or an older caller. It is
/// kept sealed, not only as a hash, because the control plane shows it to the DTMA; so it can be shown again, and each
/// time is a line of the audit.
///
/// # Errors
/// 403, 404 with the nearest name, 409 when it has none yet.
pub(crate) async fn token(app: &App, caller: &Caller, name: &str) -> Outcome<EnvironmentToken> {
    caller.require(Role::Admin)?;
    let environment = find(app, caller, name).await?;
    let sealed = environment.dtma_token_sealed.as_deref().ok_or_else(|| {
        Problem::refused(ErrorCode::Conflict, format!("environment `{}` has no token yet", environment.name))
    })?;
    let token = app.keys.unseal(environment.id.0, sealed)?;
    let act = Act {
        action: "environment.token",
        kind: "environment",
        id: environment.id.to_string(),
        name: environment.name.as_str(),
        detail: serde_json::json!({}),
    };
    let mut tx = app.store.begin().await?;
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    Ok(EnvironmentToken { environment: environment.name, token })
}

async fn rendered(app: &App, row: EnvironmentRow) -> Outcome<Environment> {
    let instances = store::instances::list_by_environment(&app.store, row.id).await?.len();
    Ok(render(row, instances as u64))
}

fn render(row: EnvironmentRow, instances: u64) -> Environment {
    let (system, protections) =
        row.health.map_or((None, Vec::new()), |health| (Some(health.system), health.protections));
    Environment {
        id: row.id,
        name: row.name,
        status: row.status,
        dtma_version: row.dtma_version,
        last_heartbeat_at: row.last_heartbeat_at,
        system,
        protections,
        instances,
    }
}
