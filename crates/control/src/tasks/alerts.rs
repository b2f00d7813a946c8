//! Sees what is broken and tells the receivers: once when something has been broken for a while, and once when it is over.
//!
//! Looking writes rows, [`domain::alerts::step`] decides which; telling works off the rows, each receiver apart, so that one that is
//! slow or down keeps nobody else waiting. A try is noted before it is made: a control plane that ends meanwhile, or a second
//! one beside it, makes it again only after a while, under the same id.

mod sights;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::alerts::{AlertKind, Sight, Step, step};
use domain::backoff::Backoff;
use domain::ids::AlertId;
use domain::time::Timestamp;
use futures_util::future::join_all;
use serde::Serialize;
use store::alerts::AlertRow;
use store::alerts::deliveries::{self, Delivery, Tried};

use crate::app::problem::Chain;
use crate::app::{App, Outcome};
use crate::directory::now;
use crate::receivers::{Message, Receiver};
use crate::tasks::PERIOD;
use sights::Subject;

/// For a receiver that does not take a message.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_mins(10),
    healthy_after: Duration::from_secs(30),
    crash_loop_after: u32::MAX,
};
/// A message that nobody took for so long is old news.
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
/// A try that was begun and of which nothing was heard is made again: longer than any may take.
const LEASE: Duration = Duration::from_secs(20);
/// What is over is shown for so long.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// Between two looks of a control plane whose debounce is short.
const SHORTEST: Duration = Duration::from_millis(50);

/// What the last look found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Troubles that are open, told or not yet.
    pub(crate) open: usize,
    /// Messages that were queued since the process started: of something broken, and of something over.
    pub(crate) told: u64,
    /// What went wrong with the last look.
    pub(crate) error: Option<String>,
}

/// Looks and tells until the process stops.
pub(crate) async fn run(app: &Arc<App>) {
    let tellers = app.receivers.all().iter().map(|receiver| tell_all(app, receiver));
    tokio::join!(look_on(app), join_all(tellers));
}

async fn look_on(app: &App) {
    let (started, mut status) = (Instant::now(), Status::default());
    let period = (app.receivers.debounce / 4).clamp(SHORTEST, PERIOD);
    loop {
        tokio::select! {
            () = app.stop.cancelled() => break,
            () = tokio::time::sleep(period) => {}
        }
        // What the rows say of hosts is old until each has had the time to report.
        if started.elapsed() < app.silence() {
            continue;
        }
        match look(app, now()).await {
            Ok((open, told)) => {
                status = Status { open, told: status.told + told, error: None };
                if 0 < told {
                    app.alerts.notify_waiters();
                }
            }
            Err(problem) => {
                tracing::warn!(error = %Chain(&problem), "what is broken could not be looked at");
                status.error = Some(problem.to_string());
            }
        }
        app.statuses.set_alerts(status.clone());
    }
}

/// One look: how many troubles there are, and how many were told or healed.
pub(crate) async fn look(app: &App, at: Timestamp) -> Outcome<(usize, u64)> {
    let mut open: HashMap<(AlertKind, String), AlertRow> = HashMap::new();
    for row in store::alerts::list_open(&app.store).await? {
        open.insert((row.kind, row.subject.clone()), row);
    }
    let mut due: Vec<(Option<AlertRow>, Option<Subject>, Step)> = Vec::new();
    for subject in sights::all(app).await? {
        let row = open.remove(&(subject.kind, subject.id.clone()));
        let step = step(row.as_ref().map(|row| row.trouble), subject.sight, at, app.receivers.debounce);
        due.push((row, Some(subject), step));
    }
    // What was not seen at all is gone.
    for row in open.into_values() {
        let step = step(Some(row.trouble), Sight::Gone, at, app.receivers.debounce);
        due.push((Some(row), None, step));
    }
    let count = due.iter().filter(|(row, ..)| row.is_some()).count();
    due.retain(|(.., step)| *step != Step::Nothing);
    if due.is_empty() {
        return Ok((count, 0));
    }
    let receivers: Vec<String> = app.receivers.all().iter().map(|receiver| receiver.key.clone()).collect();
    let mut told = 0;
    let mut tx = app.store.begin().await?;
    store::alerts::prune(&mut tx, before(at, KEPT)).await?;
    for (row, subject, step) in due {
        told += u64::from(apply(&mut tx, row, subject, step, &receivers, at).await?);
    }
    tx.commit().await?;
    Ok((count, told))
}

/// Does one step; whether it was one that is told.
async fn apply(
    tx: &mut store::Tx,
    row: Option<AlertRow>,
    subject: Option<Subject>,
    step: Step,
    receivers: &[String],
    at: Timestamp,
) -> Outcome<bool> {
    match (step, row, subject) {
        (Step::Remember(trouble) | Step::Tell(trouble), None, Some(subject)) => {
            let row = AlertRow {
                id: AlertId::generate(),
                account: subject.account,
                kind: subject.kind,
                subject: subject.id,
                subject_name: subject.name,
                environment_name: subject.environment,
                message: subject.message,
                trouble,
                healed_at: None,
            };
            let is_news = store::alerts::open(tx, &row).await? && trouble.told_at.is_some();
            if is_news {
                deliveries::queue_broken(tx, row.id, receivers, at).await?;
            }
            Ok(is_news)
        }
        (Step::Remember(trouble) | Step::Tell(trouble), Some(row), Some(subject)) => {
            // What it says while it is well is not what was wrong.
            let message = if subject.sight == Sight::Broken { &subject.message } else { &row.message };
            let is_ours = store::alerts::advance(tx, &row, trouble, message).await?;
            let is_news = is_ours && row.trouble.told_at.is_none() && trouble.told_at.is_some();
            if is_news {
                tracing::warn!(kind = %row.kind, subject = %row.subject_name, message, "an alert");
                deliveries::queue_broken(tx, row.id, receivers, at).await?;
            }
            Ok(is_news)
        }
        (Step::Heal, Some(row), _) => {
            let is_news = store::alerts::heal(tx, row.id, at).await?;
            if is_news {
                tracing::info!(kind = %row.kind, subject = %row.subject_name, "an alert is over");
                deliveries::queue_healed(tx, row.id, at).await?;
            }
            Ok(is_news)
        }
        (Step::Forget, Some(row), _) => {
            store::alerts::forget(tx, row.id).await?;
            Ok(false)
        }
        _ => Ok(false),
    }
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(micros(by)))
}

fn after(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(micros(by)))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Works off what is to be said to one receiver, until the process stops.
async fn tell_all(app: &App, receiver: &Receiver) {
    loop {
        let wait = match tell_due(app, receiver).await {
            Ok(wait) => wait,
            Err(problem) => {
                tracing::warn!(error = %Chain(&problem), "alerts could not be delivered");
                PERIOD
            }
        };
        tokio::select! {
            () = app.stop.cancelled() => break,
            () = app.alerts.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Says what is due; gives the time until something is again, a period at most.
async fn tell_due(app: &App, receiver: &Receiver) -> Outcome<Duration> {
    let mut wait = PERIOD;
    for delivery in deliveries::pending(&app.store).await? {
        if delivery.receiver != receiver.key {
            continue;
        }
        let at = now();
        if at < delivery.next_try_at {
            let left = u64::try_from(delivery.next_try_at.micros_since(at)).unwrap_or(u64::MAX);
            wait = wait.min(Duration::from_micros(left));
            continue;
        }
        let mut tx = app.store.begin().await?;
        let is_ours = deliveries::claim(&mut tx, &delivery, after(at, LEASE)).await?;
        tx.commit().await?;
        if !is_ours {
            continue;
        }
        let tried = tell(app, receiver, &delivery).await;
        // Taken: what comes after it is due now. Not taken: it is in a moment.
        wait = wait.min(if tried == Tried::Taken { SHORTEST } else { BACKOFF.first });
        let mut tx = app.store.begin().await?;
        deliveries::note(&mut tx, &delivery, &tried, now()).await?;
        tx.commit().await?;
    }
    Ok(wait.max(SHORTEST))
}

async fn tell(app: &App, receiver: &Receiver, delivery: &Delivery) -> Tried {
    let picture = app.directory.picture();
    let account = picture.account(delivery.alert.account).map(ToString::to_string).unwrap_or_default();
    let message = Message::about(&delivery.alert, delivery.said, &account, app.public().url());
    let (receiver_name, at) = (&receiver.label, now());
    let Err(trouble) = receiver.send(&message, at).await else {
        tracing::info!(receiver = receiver_name, alert = %message.id, "told");
        return Tried::Taken;
    };
    tracing::warn!(receiver = receiver_name, alert = %message.id, trouble, "a receiver of alerts did not take one");
    let said = format!("{receiver_name}: {trouble}");
    if micros(GIVE_UP_AFTER) <= at.micros_since(delivery.queued_at) {
        return Tried::GivenUp(said);
    }
    Tried::Later(after(now(), BACKOFF.wait(delivery.tries + 1)), said)
}
