//! Heartbeats of DTMAs: what is taken in of them, and what of it is news.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use api::dtma::{Heartbeat, HeartbeatAnswer};
use api::errors::ErrorCode;
use domain::ids::InstanceId;
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;
use store::environments::{EnvironmentRow, Health, HeartbeatRow, Recorded};
use store::instances::{InstanceRow, ReportedBy};

use crate::app::environments::{before, tell};
use crate::app::{App, Outcome, Problem, adoption, instance_events, leases};
use crate::directory::now;

/// The most instances that one heartbeat may report.
const MAX_REPORTS: usize = 10_000;

/// Takes a heartbeat of the environment's own DTMA: it can change its own environment and instances, nothing else.
///
/// # Errors
/// 403 when it speaks for another environment, 422.
pub(crate) async fn heartbeat(
    app: &App,
    environment: &EnvironmentRow,
    heartbeat: &Heartbeat,
) -> Outcome<HeartbeatAnswer> {
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
        store::environments::record_heartbeat(&mut tx, environment.id, &row_of(heartbeat, at, app.silence()))
            .await?;
    let Recorded::Taken { was, row } = recorded else { return Ok(HeartbeatAnswer::default()) };
    // The host was enrolled anew while this was on its way. Whoever sent it is cut off, and nothing of it is kept.
    if row.dtma_token_sealed != environment.dtma_token_sealed {
        return Err(Problem::refused(
            ErrorCode::Unauthorized,
            "this is not the token of the environment any more",
        )
        .hint("the host was enrolled again: start its DTMA anew"));
    }
    let mut changed = Vec::new();
    for report in &heartbeat.instances {
        let after =
            store::instances::record_report(&mut tx, environment.id, report, ReportedBy::Heartbeat, at)
                .await?;
        if let Some(after) = after {
            let known = before.get(&after.id);
            if known.is_none_or(|known| is_news(known, &after)) {
                instance_events::note(&mut tx, known, &after, at).await?;
                changed.push(after);
            }
        }
    }
    let adopted = heartbeat.adopt.iter().map(|adoption| adoption.spec.id);
    let reported: HashSet<InstanceId> =
        heartbeat.instances.iter().map(|report| report.id).chain(adopted).collect();
    for lost in before.values().filter(|row| is_lost(row, &reported)) {
        let why = "its host did not have it any more; it is deployed again";
        let after =
            store::instances::set_status(&mut tx, lost, InstanceStatus::PendingDeploy, Some(why)).await?;
        if let Some(after) = after {
            instance_events::note(&mut tx, Some(lost), &after, at).await?;
            changed.push(after);
        }
    }
    for report in heartbeat.instances.iter().filter(|report| !before.contains_key(&report.id)) {
        store::departures::note_found(&mut tx, report.id, environment.id, at).await?;
    }
    tx.commit().await?;
    for report in heartbeat.instances.iter().filter(|report| before.contains_key(&report.id)) {
        if let Some(seen) = &report.metrics {
            app.usage.sample(report.id, at, seen);
        }
    }
    let answer = leases::answer(app, environment, heartbeat).await?;

    if !changed.is_empty() || was != EnvironmentStatus::Active {
        tracing::debug!(environment = %row.name, changed = changed.len(), %was, "a heartbeat brought news");
        app.changed(&changed).await?;
    }
    tell(app, *row).await?;
    Ok(answer)
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

fn row_of(heartbeat: &Heartbeat, at: Timestamp, silence: Duration) -> HeartbeatRow {
    HeartbeatRow {
        dtma_version: heartbeat.dtma_version.clone(),
        health: Health {
            system: heartbeat.system.clone(),
            protections: heartbeat.protections.clone(),
            program: heartbeat.program.clone(),
        },
        dtma_started_at: heartbeat.started_at,
        sequence: heartbeat.sequence,
        at,
        silent_before: before(at, silence),
    }
}
