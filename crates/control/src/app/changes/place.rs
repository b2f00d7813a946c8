//! Steps of a change: each is one transaction, made by whoever sees first that it is due.

use domain::change::ChangeState;
use domain::spec::DesiredState;
use domain::status::InstanceStatus;
use serde_json::json;
use store::changes::ChangeRow;
use store::instances::InstanceRow;
use store::{StoreError, Tx};

use super::{as_it_ran, candidate_of};
use crate::app::audit::{self, Act};
use crate::app::{App, Outcome};
use crate::directory::now;

/// The instance becomes what the change makes it, and the candidate goes. `None` when either was changed meanwhile. With an actor an
/// audit line says who wanted it.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn put_in_place(
    app: &App,
    mut change: ChangeRow,
    before: &InstanceRow,
    actor: Option<String>,
) -> Outcome<Option<ChangeRow>> {
    let was = change.state;
    let at = now();
    let own = app.keys.unseal_all(change.id.0, change.secrets_sealed.as_deref())?;
    let sealed = app.keys.seal_all(before.id.0, &own)?;
    let candidate = candidate_of(app, &change).await?;
    let history = store::changes::list(&app.store, before.id).await?;
    let mut tx = app.store.begin().await?;
    // What ran until now is known from here on by its version, so that the way back leads there and not to a newer one.
    if let Some(mut ran) = history.into_iter().find(|row| row.state == ChangeState::Current) {
        (ran.version, ran.digest) = (before.version.clone(), before.digest.clone());
        store::changes::advance(&mut tx, ChangeState::Current, &ran).await?;
    }
    let what = change.what.clone();
    let after =
        store::instances::become_what(&mut tx, before, &what, sealed.as_deref(), shown(before), at).await?;
    let Some(after) = after else { return Ok(None) };
    change.state = ChangeState::Switching;
    (change.message, change.since) = (None, at);
    if !store::changes::advance(&mut tx, was, &change).await? {
        return Ok(None);
    }
    let mut rows = vec![after];
    rows.extend(withdraw(&mut tx, candidate.as_ref()).await?);
    if let Some(actor) = actor {
        note(&mut tx, before, &change, "instance.switch", actor).await?;
    }
    tx.commit().await?;
    app.changed(&rows).await?;
    app.changes.notify_one();
    Ok(Some(change))
}

/// The change is what the instance is from now on; whether nobody else saw to it.
///
/// # Errors
/// What the store says.
pub(crate) async fn complete(app: &App, mut change: ChangeRow, row: &InstanceRow) -> Outcome<bool> {
    let (was, at) = (change.state, now());
    (change.version, change.digest) = (row.version.clone(), row.digest.clone());
    change.state = ChangeState::Current;
    (change.message, change.since, change.ended_at) = (None, at, Some(at));
    let mut tx = app.store.begin().await?;
    store::changes::replace_current(&mut tx, row.id, at).await?;
    if !store::changes::advance(&mut tx, was, &change).await? {
        return Ok(false);
    }
    tx.commit().await?;
    app.tell(std::slice::from_ref(row));
    Ok(true)
}

/// The instance becomes again what it was before a change that does not work in its place; `None` when something was changed
/// meanwhile.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn bring_back(
    app: &App,
    mut change: ChangeRow,
    row: &InstanceRow,
    why: &str,
) -> Outcome<Option<ChangeRow>> {
    let (was, at) = (change.state, now());
    let history = store::changes::list(&app.store, row.id).await?;
    let Some(ran) = history.into_iter().find(|row| row.state == ChangeState::Current) else {
        return end(app, change, row, ChangeState::Failed, Some(why.to_owned()), None).await;
    };
    let own = app.keys.unseal_all(ran.id.0, ran.secrets_sealed.as_deref())?;
    let sealed = app.keys.seal_all(row.id.0, &own)?;
    let what = as_it_ran(&ran);
    let mut tx = app.store.begin().await?;
    let after = store::instances::become_what(&mut tx, row, &what, sealed.as_deref(), shown(row), at).await?;
    let Some(after) = after else { return Ok(None) };
    change.state = ChangeState::RolledBack;
    change.message = Some(format!("{why}; it is again what change {} made it", ran.number));
    (change.since, change.ended_at) = (at, Some(at));
    if !store::changes::advance(&mut tx, was, &change).await? {
        return Ok(None);
    }
    tx.commit().await?;
    app.changed(std::slice::from_ref(&after)).await?;
    Ok(Some(change))
}

/// A change that has not taken the instance's place is over, and its candidate goes; `None` when it was changed meanwhile. With an
/// actor an audit line says who wanted it.
///
/// # Errors
/// What the store says.
pub(crate) async fn end(
    app: &App,
    mut change: ChangeRow,
    row: &InstanceRow,
    state: ChangeState,
    message: Option<String>,
    actor: Option<String>,
) -> Outcome<Option<ChangeRow>> {
    let (was, at) = (change.state, now());
    let candidate = candidate_of(app, &change).await?;
    change.state = state;
    (change.message, change.since, change.ended_at) = (message, at, Some(at));
    let mut tx = app.store.begin().await?;
    if !store::changes::advance(&mut tx, was, &change).await? {
        return Ok(None);
    }
    let removed = withdraw(&mut tx, candidate.as_ref()).await?;
    if let Some(actor) = actor {
        note(&mut tx, row, &change, "instance.change_drop", actor).await?;
    }
    tx.commit().await?;
    app.changed(removed.as_slice()).await?;
    app.tell(std::slice::from_ref(row));
    Ok(Some(change))
}

/// The state that is shown until the host has heard of it.
fn shown(row: &InstanceRow) -> InstanceStatus {
    match row.desired {
        DesiredState::Running => InstanceStatus::Starting,
        DesiredState::Stopped => InstanceStatus::Stopping,
    }
}

/// The candidate of a change goes.
///
/// # Errors
/// What the store says.
pub(crate) async fn withdraw(
    tx: &mut Tx,
    candidate: Option<&InstanceRow>,
) -> Result<Option<InstanceRow>, StoreError> {
    let Some(row) = candidate else { return Ok(None) };
    store::toolbelts::touch_of_instance(tx, row.id).await?;
    match store::instances::mark_deleting(tx, row.account, &row.name, now()).await {
        Ok(row) => Ok(Some(row)),
        // Its owner was faster.
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn note(
    tx: &mut Tx,
    row: &InstanceRow,
    change: &ChangeRow,
    action: &str,
    actor: String,
) -> Outcome<()> {
    let act = Act {
        action,
        kind: "instance",
        id: row.id.to_string(),
        name: row.name.as_str(),
        detail: json!({ "number": change.number }),
    };
    audit::note(tx, row.account, actor, change.since, act).await
}
