//! The audit of calls: what the gateway put down, written many lines at a time, and read by admins.

mod arguments;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::audit::{CallLine, CallQuery};
use api::users::Role;
use domain::ids::{CallId, InstanceId};
use domain::secret::Secret;
use gateway::{Arguments, Line};
use store::calls::{CallRow, Wanted};
use tokio_util::sync::CancellationToken;

use crate::app::audit::page;
use crate::app::problem::Chain;
use crate::app::{App, Outcome, secrets};
use crate::auth::Caller;

/// Between two tries, while the database takes nothing.
const AGAIN: Duration = Duration::from_secs(1);
/// When the process ends, what is left may take so long.
const LAST: Duration = Duration::from_secs(5);
/// Lost lines are spoken of this often.
const SPEAK_EVERY: Duration = Duration::from_mins(10);

/// Lines of the caller's account, newest first.
///
/// # Errors
/// 403 for whom is no admin; 422 with field.
pub(crate) async fn list(app: &App, caller: &Caller, query: &CallQuery) -> Outcome<Vec<CallLine>> {
    caller.require(Role::Admin)?;
    let wanted = Wanted {
        since: query.since,
        instance: query.instance.as_deref(),
        method: query.method.as_deref(),
        name: query.name.as_deref(),
        by: query.by.as_deref(),
        result: query.result,
        after: query.after,
        limit: page(query.limit)?,
    };
    let rows = store::calls::list(&app.store, caller.account, &wanted).await?;
    Ok(rows.into_iter().map(render).collect())
}

fn render((row, actor_name): (CallRow, Option<String>)) -> CallLine {
    CallLine {
        id: row.id,
        at: row.at,
        took_us: row.took,
        actor: row.actor,
        actor_name,
        credential: row.credential,
        instance: row.instance,
        instance_id: row.instance_id,
        method: row.method,
        name: row.name,
        result: row.result,
        status: row.status,
        // What is no JSON was not written here.
        arguments: row.arguments.and_then(|text| serde_json::from_str(&text).ok()),
    }
}

/// Writes what the gateway puts down, until `ended`; then what is left.
pub(crate) async fn write(app: &App, ended: CancellationToken) {
    let mut spoken = Spoken::default();
    while !ended.is_cancelled() {
        tokio::select! {
            () = ended.cancelled() => break,
            () = app.calls.due() => {}
        }
        let lines = app.calls.take();
        app.usage.calls(&lines);
        spoken.of_lost(app.calls.lost());
        let rows = rows(app, &lines).await;
        let mut failed = false;
        while let Err(error) = append(app, &rows).await {
            if !failed {
                tracing::error!(error = %Chain(&error), "the audit of calls cannot be written; it is tried again, and calls go on");
            }
            failed = true;
            tokio::select! {
                () = ended.cancelled() => {
                    tracing::error!(lines = rows.len(), "lines of the audit of calls are lost: the database takes nothing");
                    break;
                }
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
    let lines = app.calls.take();
    app.usage.calls(&lines);
    if lines.is_empty() {
        return;
    }
    let last = async { append(app, &rows(app, &lines).await).await };
    match tokio::time::timeout(LAST, last).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(lines = lines.len(), error = %Chain(&error), "the last lines of the audit of calls are lost");
        }
        Err(_) => tracing::error!(
            lines = lines.len(),
            "the last lines of the audit of calls are lost: the database is too slow"
        ),
    }
}

/// That lines were lost is said when it begins, and then now and then.
#[derive(Debug, Default)]
struct Spoken {
    lost: u64,
    last: Option<Instant>,
}

impl Spoken {
    fn of_lost(&mut self, lost: u64) {
        if lost == self.lost || self.last.is_some_and(|last| last.elapsed() < SPEAK_EVERY) {
            return;
        }
        (self.lost, self.last) = (lost, Some(Instant::now()));
        tracing::warn!(lost, "calls come faster than their audit can be written: lines of it were lost");
    }
}

async fn append(app: &App, rows: &[CallRow]) -> Result<(), store::StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    store::calls::append(&mut tx, rows).await?;
    tx.commit().await?;
    app.metrics.calls_written(u64::try_from(rows.len()).unwrap_or(u64::MAX));
    Ok(())
}

async fn rows(app: &App, lines: &[Line]) -> Vec<CallRow> {
    let mut known = HashMap::new();
    let mut rows = Vec::with_capacity(lines.len());
    for line in lines {
        let instance = line.target.as_ref().map(|target| target.instance);
        let arguments = match &line.arguments {
            None => None,
            Some(Arguments::TooLong(bytes)) => {
                Some(arguments::omitted(&format!("{bytes} bytes, more than are kept")))
            }
            Some(Arguments::Whole(text)) => Some(match secrets_of(app, instance, &mut known).await {
                Some(secrets) => arguments::without(text, &secrets),
                None => arguments::omitted("the secrets that they may have are not known"),
            }),
        };
        rows.push(CallRow {
            id: CallId::generate(),
            account: line.principal.account_id,
            at: line.at,
            took: u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX),
            actor: line.principal.header.to_str().unwrap_or_default().to_owned(),
            credential: Some(line.principal.credential.as_ref().to_owned()),
            instance_id: instance,
            instance: line.instance.clone(),
            method: line.method.clone().into_owned(),
            name: line.name.clone(),
            result: line.result,
            status: line.status,
            arguments,
        });
    }
    rows
}

/// The secrets of an instance; none of what is no instance; `None` when they cannot be told.
async fn secrets_of(
    app: &App,
    instance: Option<InstanceId>,
    known: &mut HashMap<InstanceId, Option<Arc<Vec<Secret>>>>,
) -> Option<Arc<Vec<Secret>>> {
    let Some(id) = instance else { return Some(Arc::default()) };
    if let Some(known) = known.get(&id) {
        return known.clone();
    }
    let found = secrets::known_to(app, id).await.ok().map(Arc::new);
    known.insert(id, found.clone());
    found
}
