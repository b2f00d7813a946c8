//! Lines of the audit table, written in the transaction of what they tell about.

use std::time::Duration;

use api::audit::{AuditLine, AuditQuery};
use api::users::Role;
use domain::ids::{AccountId, AuditId};
use domain::time::Timestamp;
use store::Tx;
use store::audit::{AuditRow, Wanted};

use crate::app::environments::before;
use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// Between two looks for lines that are too old.
const HOUR: Duration = Duration::from_hours(1);

/// What was done to what.
#[derive(Debug)]
pub(crate) struct Act<'a> {
    /// Such as `instance.deploy`.
    pub(crate) action: &'a str,
    /// Such as `instance`.
    pub(crate) kind: &'a str,
    /// The thing's id.
    pub(crate) id: String,
    /// The thing's name.
    pub(crate) name: &'a str,
    /// What else is worth knowing; never a secret.
    pub(crate) detail: serde_json::Value,
}

/// The most lines of one answer.
const MOST: u32 = 1000;
/// How many an answer has when nobody says.
const USUAL: u32 = 100;

/// Lines of the caller's account, newest first.
///
/// # Errors
/// 403 for whom is no admin; 422 with field.
pub(crate) async fn list(app: &App, caller: &Caller, query: &AuditQuery) -> Outcome<Vec<AuditLine>> {
    caller.require(Role::Admin)?;
    let limit = page(query.limit)?;
    let wanted = Wanted {
        since: query.since,
        action: query.action.as_deref(),
        object: query.object.as_deref(),
        after: query.after,
        limit,
    };
    let rows = store::audit::list(&app.store, caller.account, &wanted).await?;
    Ok(rows.into_iter().map(render).collect())
}

/// How many lines an answer has.
///
/// # Errors
/// 422.
pub(crate) fn page(limit: Option<u32>) -> Outcome<u32> {
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit", format!("an answer has 1 to {MOST} lines")));
    }
    Ok(limit)
}

fn render((row, actor_name): (AuditRow, Option<String>)) -> AuditLine {
    AuditLine {
        id: row.id,
        at: row.at,
        actor: row.actor,
        actor_name,
        action: row.action,
        object_kind: row.object_kind,
        object_id: row.object_id,
        object_name: row.object_name,
        detail: row.detail,
    }
}

/// Removes, once an hour, what is older than `keep`; until the process stops.
pub(crate) async fn keep(app: &App, keep: Option<Duration>) {
    let Some(keep) = keep else { return };
    loop {
        let pruned = async {
            let mut tx = app.store.begin().await?;
            store::audit::prune(&mut tx, before(now(), keep)).await?;
            tx.commit().await?;
            prune_calls(app, before(now(), keep)).await
        };
        if let Err(error) = pruned.await {
            tracing::warn!(error = %Chain(&error), "old lines of the audit could not be removed; tried again in an hour");
        }
        tokio::select! {
            () = app.stop.cancelled() => return,
            () = tokio::time::sleep(HOUR) => {}
        }
    }
}

/// Some at a time, so that nobody waits long for the database.
async fn prune_calls(app: &App, before: Timestamp) -> Result<(), store::StoreError> {
    loop {
        let mut tx = app.store.begin().await?;
        let more = store::calls::prune(&mut tx, before).await?;
        tx.commit().await?;
        if !more || app.stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Writes one line.
///
/// # Errors
/// What the store says.
pub(crate) async fn note(
    tx: &mut Tx,
    account: AccountId,
    actor: String,
    at: Timestamp,
    act: Act<'_>,
) -> Outcome<()> {
    let line = AuditRow {
        id: AuditId::generate(),
        account,
        actor,
        action: act.action.to_owned(),
        object_kind: act.kind.to_owned(),
        object_id: Some(act.id),
        object_name: Some(act.name.to_owned()),
        detail: act.detail,
        at,
    };
    Ok(store::audit::append(tx, &line).await?)
}
