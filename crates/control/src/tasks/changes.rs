//! Brings changes of instances on: looks at each that is open, takes the step that is due, looks again.
//!
//! What is due follows from the rows of the change, the instance and the candidate alone, and each step is one transaction: so a control
//! plane that ends anywhere goes on there, and of several one takes each step.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::errors::ErrorCode;
use domain::change::{ChangeState, ToolChanges};
use domain::ids::{ChangeId, InstanceId};
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;
use serde::Serialize;
use store::changes::ChangeRow;
use store::instances::InstanceRow;

use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem, changes, playground};
use crate::directory::now;

/// Between two looks while a change is open.
const LOOK: Duration = Duration::from_millis(300);
/// Between two looks while none is.
const IDLE: Duration = Duration::from_secs(5);
/// A server that has just started may know its tools a moment later: so often one that has none is asked.
const TRIES: u32 = 4;
/// How long a candidate has, most of which an install may take.
const TRIAL: Duration = Duration::from_mins(15);
/// How long an instance has to run as what it became; its package is installed by then.
const PLACE: Duration = Duration::from_mins(5);

/// What the last look found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Changes that are open.
    pub(crate) open: usize,
    /// What went wrong with the last look.
    pub(crate) error: Option<String>,
}

/// Looks, on a period and on a nudge, until the process stops.
pub(crate) async fn run(app: &Arc<App>) {
    let mut at_work = HashMap::new();
    loop {
        let status = match look(app, &mut at_work).await {
            Ok(open) => Status { open, error: None },
            Err(problem) => {
                tracing::warn!(error = %Chain(&problem), "changes of instances could not go on");
                Status { open: at_work.len(), error: Some(problem.to_string()) }
            }
        };
        // One that waits for a person waits long, and tells us when it does no more.
        let wait = if at_work.is_empty() { IDLE } else { LOOK };
        app.statuses.set_changes(status);
        tokio::select! {
            () = app.stop.cancelled() => break,
            () = app.changes.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

type AtWork = HashMap<ChangeId, tokio::task::JoinHandle<()>>;

/// One step of each change that is open. They do not wait for each other: a server may take its time to list its tools.
async fn look(app: &Arc<App>, at_work: &mut AtWork) -> Outcome<usize> {
    let open = store::changes::list_open(&app.store).await?;
    let count = open.len();
    at_work.retain(|id, task| !task.is_finished() || open.iter().any(|change| change.id == *id));
    for change in open {
        if change.state == ChangeState::Ready {
            at_work.remove(&change.id);
            continue;
        }
        if at_work.get(&change.id).is_some_and(|task| !task.is_finished()) {
            continue;
        }
        let app = Arc::clone(app);
        let id = change.id;
        let task = tokio::spawn(async move {
            let (number, instance) = (change.number, change.instance);
            let Err(problem) = Box::pin(step(&app, change)).await else { return };
            let outcome = match problem {
                Problem::Refused(detail)
                    if !matches!(detail.code, ErrorCode::Unavailable | ErrorCode::NoSpace) =>
                {
                    Box::pin(refused(&app, instance, id, detail.message)).await
                }
                passing => Err(passing),
            };
            if let Err(problem) = outcome {
                tracing::warn!(change = number, error = %Chain(&problem), "a step of a change could not be taken; it is tried again");
            }
        });
        at_work.insert(id, task);
    }
    Ok(count)
}

/// A step that is refused would be refused again, so its change is over. The instance stays what it is now.
async fn refused(app: &App, instance: InstanceId, id: ChangeId, why: String) -> Outcome<()> {
    let Some(row) = store::instances::by_id(&app.store, instance).await? else { return Ok(()) };
    let open = store::changes::list(&app.store, instance).await?;
    let Some(change) = open.into_iter().find(|change| change.id == id && change.state.is_open()) else {
        return Ok(());
    };
    changes::end(app, change, &row, ChangeState::Failed, Some(why), None).await.map(drop)
}

async fn step(app: &Arc<App>, change: ChangeRow) -> Outcome<()> {
    let Some(row) = store::instances::by_id(&app.store, change.instance).await? else { return Ok(()) };
    match change.state {
        ChangeState::Trying => try_it(app, change, &row).await,
        ChangeState::Switching => see_whether_it_works(app, change, &row).await,
        _ => Ok(()),
    }
}

async fn try_it(app: &Arc<App>, mut change: ChangeRow, row: &InstanceRow) -> Outcome<()> {
    let fail = async |change: ChangeRow, why: String| {
        changes::end(app, change, row, ChangeState::Failed, Some(why), None).await.map(drop)
    };
    if row.deleting {
        return fail(change, "the instance was removed".to_owned()).await;
    }
    if change.candidate.is_none() {
        return changes::put_in_place(app, change, row, None).await.map(drop);
    }
    let Some(candidate) = changes::candidate_of(app, &change).await?.filter(|row| !row.deleting) else {
        return fail(change, "what it was tried as was removed".to_owned()).await;
    };
    match candidate.status {
        status if status.is_well() && candidate.observed_generation == candidate.generation => {}
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => {
            let why = candidate.message.unwrap_or_else(|| "it does not work".to_owned());
            return fail(change, why).await;
        }
        status if is_over(change.since, TRIAL) => {
            let why = candidate.message.map(|message| format!(": {message}")).unwrap_or_default();
            let minutes = TRIAL.as_secs() / 60;
            return fail(change, format!("it did not run within {minutes} minutes, it is `{status}`{why}"))
                .await;
        }
        status => {
            let message = candidate.message.unwrap_or_else(|| format!("`{}` is `{status}`", candidate.name));
            if change.message.as_ref() != Some(&message) {
                change.message = Some(message);
                let mut tx = app.store.begin().await?;
                store::changes::advance(&mut tx, ChangeState::Trying, &change).await?;
                tx.commit().await?;
                app.tell(std::slice::from_ref(row));
            }
            return Ok(());
        }
    }
    (change.version, change.digest) = (candidate.version.clone(), candidate.digest.clone());
    let is_what_runs = candidate.digest.is_some()
        && (&candidate.version, &candidate.digest) == (&row.version, &row.digest)
        && change.changed == ["version"];
    if is_what_runs {
        let version = candidate.version.as_deref().unwrap_or("what runs");
        let why = format!("nothing is newer: {version} runs already");
        return changes::end(app, change, row, ChangeState::Dropped, Some(why), None).await.map(drop);
    }
    match compare(app, &change, row, &candidate).await {
        Ok(tools) => change.tools = tools,
        Err(why) => return fail(change, why).await,
    }
    if !change.review {
        // Its tools are kept whatever becomes of it.
        let mut tx = app.store.begin().await?;
        if !store::changes::advance(&mut tx, ChangeState::Trying, &change).await? {
            return Ok(());
        }
        tx.commit().await?;
        return changes::put_in_place(app, change, row, None).await.map(drop);
    }
    change.state = ChangeState::Ready;
    (change.message, change.since) = (None, now());
    let mut tx = app.store.begin().await?;
    store::changes::advance(&mut tx, ChangeState::Trying, &change).await?;
    tx.commit().await?;
    app.tell(std::slice::from_ref(row));
    Ok(())
}

/// What is different about the tools; `None` when it cannot be known.
///
/// # Errors
/// Why the candidate does not list its tools.
async fn compare(
    app: &Arc<App>,
    change: &ChangeRow,
    row: &InstanceRow,
    candidate: &InstanceRow,
) -> Result<Option<ToolChanges>, String> {
    let launch = &candidate.spec.launch;
    // What each caller brings is known to the instance alone, so the candidate's server would lack it.
    if launch.container.is_some() || !launch.each_caller.is_empty() {
        return Ok(None);
    }
    let picture = app.directory.picture();
    let Some((account, principal)) = changes::looker(app, &picture, change, row).await else {
        return Ok(None);
    };
    let of = async |name| {
        for _ in 1..TRIES {
            match playground::definitions(app, &principal, &account, name).await {
                Ok(none) if none.is_empty() => tokio::time::sleep(LOOK).await,
                listed => return listed,
            }
        }
        playground::definitions(app, &principal, &account, name).await
    };
    let after = of(&candidate.name)
        .await
        .map_err(|trouble| format!("its tools cannot be listed: {}", trouble.words.trim_end_matches('.')))?;
    if !row.status.is_well() {
        return Ok(None);
    }
    match of(&row.name).await {
        Ok(before) => Ok(Some(ToolChanges::between(before, after))),
        // It may be changed because it does not work.
        Err(trouble) => {
            tracing::debug!(instance = %row.name, why = trouble.words, "the tools of what runs cannot be listed");
            Ok(None)
        }
    }
}

async fn see_whether_it_works(app: &Arc<App>, change: ChangeRow, row: &InstanceRow) -> Outcome<()> {
    if row.deleting {
        return Ok(());
    }
    let is_heard = row.observed_generation == row.generation;
    match row.status {
        InstanceStatus::Running | InstanceStatus::Asleep | InstanceStatus::Stopped if is_heard => {
            changes::complete(app, change, row).await.map(drop)
        }
        InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime => {
            let why = row.message.as_deref().unwrap_or("it does not work");
            changes::bring_back(app, change, row, why).await.map(drop)
        }
        status if is_over(change.since, PLACE) && hears(app, row) => {
            let why = row.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            let minutes = PLACE.as_secs() / 60;
            let why = format!("it did not run within {minutes} minutes, it is `{status}`{why}");
            changes::bring_back(app, change, row, &why).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// Whether its host would hear that it is to be what it was.
fn hears(app: &App, row: &InstanceRow) -> bool {
    let picture = app.directory.picture();
    picture.environment(row.environment).is_some_and(|it| it.status == EnvironmentStatus::Active)
}

fn is_over(since: Timestamp, limit: Duration) -> bool {
    let micros = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
    micros < now().micros_since(since)
}

#[cfg(test)]
mod tests;
