//! What instances used and how they were called: written down every minute, read as points of a chart.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use api::metrics::{AccountMetrics, InstanceFigures, MetricsHistory, MetricsPoint, MetricsRange};
use domain::ids::InstanceId;
use domain::measure::Measure;
use domain::names::InstanceName;
use domain::time::Timestamp;
use store::metrics::{MetricsRow, Step};

use crate::app::environments::before;
use crate::app::problem::Chain;
use crate::app::{App, Outcome, instances};
use crate::auth::Caller;
use crate::directory::now;
use crate::usage::floor;

/// Between two times that counts are written down: what a process that is killed loses at most.
const PERIOD: Duration = Duration::from_mins(1);
/// When the process ends, writing may take so long.
const LAST: Duration = Duration::from_secs(5);
/// How long minutes are kept.
const MINUTES_KEPT: Duration = Duration::from_hours(24);
/// How long hours are kept.
const HOURS_KEPT: Duration = Duration::from_hours(24 * 30);
/// How often old rows are looked for, in periods.
const PRUNE_EVERY: u32 = 10;
/// What "lately" is.
const LATELY: Duration = Duration::from_mins(5);

/// What was seen of an instance.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn of_instance(
    app: &App,
    caller: &Caller,
    name: &str,
    range: MetricsRange,
) -> Outcome<MetricsHistory> {
    let row = instances::find(app, caller, name).await?;
    history(app, row.id, range).await
}

/// The same of one that was found already.
///
/// # Errors
/// What the store says.
pub(crate) async fn history(app: &App, instance: InstanceId, range: MetricsRange) -> Outcome<MetricsHistory> {
    let step = match range {
        MetricsRange::Hour | MetricsRange::Day => Step::Minute,
        MetricsRange::Month => Step::Hour,
    };
    let (length, width) = (i64::from(range.seconds()), i64::from(range.step_seconds()));
    let last = floor(width, now());
    let until = Timestamp(last.0 + width * 1_000_000);
    let from = Timestamp(until.0 - length * 1_000_000);
    let rows = store::metrics::of_instance(&app.store, instance, step, from).await?;
    let rows = app.usage.with_present(rows, step, from, |id| id == instance);
    let mut points: BTreeMap<Timestamp, Measure> = BTreeMap::new();
    let mut total = Measure::default();
    for row in rows {
        points.entry(floor(width, row.at)).or_default().merge(&row.measure);
        total.merge(&row.measure);
    }
    Ok(MetricsHistory {
        range,
        step_seconds: range.step_seconds(),
        from,
        until,
        points: points.iter().map(|(at, measure)| point(*at, measure)).collect(),
        total: point(from, &total),
    })
}

/// What was seen of all of the account's instances in the last minutes.
///
/// # Errors
/// What the store says.
pub(crate) async fn lately(app: &App, caller: &Caller) -> Outcome<AccountMetrics> {
    let names: HashMap<InstanceId, InstanceName> =
        store::instances::names(&app.store, caller.account).await?;
    let since = floor(60, before(now(), LATELY));
    let rows = store::metrics::of_account(&app.store, caller.account, Step::Minute, since).await?;
    let rows = app.usage.with_present(rows, Step::Minute, since, |id| names.contains_key(&id));
    let mut found: BTreeMap<&InstanceName, Measure> = BTreeMap::new();
    for MetricsRow { instance, measure, .. } in &rows {
        if let Some(name) = names.get(instance) {
            found.entry(name).or_default().merge(measure);
        }
    }
    let instances = found
        .into_iter()
        .map(|(name, measure)| InstanceFigures { name: name.clone(), figures: point(since, &measure) })
        .collect();
    let seconds = u32::try_from(now().micros_since(since) / 1_000_000).unwrap_or(u32::MAX);
    Ok(AccountMetrics { since, seconds, instances })
}

fn point(at: Timestamp, measure: &Measure) -> MetricsPoint {
    let percentile = |thousandths| measure.took.percentile(thousandths);
    MetricsPoint {
        at,
        cpu_millicores: measure.cpu_mean(),
        cpu_millicores_max: (0 < measure.cpu_samples).then_some(measure.cpu_max),
        memory_bytes: measure.memory_mean(),
        memory_bytes_max: (0 < measure.memory_samples).then_some(measure.memory_max),
        calls: measure.calls,
        errors: measure.errors,
        refused: measure.refused,
        p50_us: percentile(500),
        p95_us: percentile(950),
        p99_us: percentile(990),
    }
}

/// Writes the counts down every minute, and removes what is old, until the process stops.
pub(crate) async fn keep(app: &App) {
    for round in 0_u32.. {
        if round % PRUNE_EVERY == 0
            && let Err(error) = prune(app).await
        {
            tracing::warn!(error = %Chain(&error), "old metrics could not be removed; tried again later");
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        if let Err(error) = flush(app).await {
            tracing::warn!(error = %Chain(&error), "metrics could not be written; tried again in a minute");
        }
    }
}

/// Writes what is left when the process ends.
pub(crate) async fn finish(app: &App) {
    match tokio::time::timeout(LAST, flush(app)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the last metrics are lost"),
        Err(_) => tracing::warn!("the last metrics are lost: the database is too slow"),
    }
}

async fn flush(app: &App) -> Result<(), store::StoreError> {
    let changed = app.usage.unwritten();
    if !changed.is_empty() {
        let rows: Vec<MetricsRow> = changed.iter().map(|(row, _)| row.clone()).collect();
        let mut tx = app.store.begin().await?;
        store::metrics::put(&mut tx, &rows).await?;
        tx.commit().await?;
    }
    app.usage.written(&changed, now());
    Ok(())
}

async fn prune(app: &App) -> Result<(), store::StoreError> {
    for (step, kept) in [(Step::Minute, MINUTES_KEPT), (Step::Hour, HOURS_KEPT)] {
        let before = before(now(), kept);
        app.usage.forget(step, before);
        let mut tx = app.store.begin().await?;
        store::metrics::prune(&mut tx, step, before).await?;
        tx.commit().await?;
    }
    Ok(())
}
