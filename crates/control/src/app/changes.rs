//! Changing what an instance is: another version, other settings, or what it was before.
//!
//! A change is a row. What it would be is deployed beside the instance as one of its own, the *candidate*; once that works, its tools
//! are compared and it takes the instance's place, or waits for somebody to say so. `tasks::changes` brings changes on; everything
//! here changes rows alone.

mod compose;
mod place;

use api::changes::{Change, ChangeRequest, NEWEST, RollbackRequest};
use api::errors::ErrorCode;
use api::instances::DeployRequest;
use api::users::Role;
use domain::change::ChangeState;
use domain::ids::{ChangeId, InstanceId};
use domain::names::{InstanceName, MAX_NAME};
use domain::package::Package;
use domain::secret::Secrets;
use domain::time::Timestamp;
use serde_json::json;
use store::changes::{ChangeRow, What};
use store::instances::{InstanceRow, Moving};
use store::{StoreError, Tx};

pub(crate) use self::place::{bring_back, complete, end, put_in_place, withdraw};
use crate::app::audit::{self, Act};
use crate::app::deployment::Deployment;
use crate::app::{App, Outcome, Problem, catalog, images, instances, quotas, secrets};
use crate::auth::Caller;
use crate::directory::{Picture, now};
use crate::secrets::MasterKey;

/// An instance's changes, the newest first.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn list(app: &App, caller: &Caller, name: &str) -> Outcome<Vec<Change>> {
    let row = instances::find(app, caller, name).await?;
    of(app, &row).await
}

/// The same of one that was found already.
///
/// # Errors
/// What the store says.
pub(crate) async fn of(app: &App, row: &InstanceRow) -> Outcome<Vec<Change>> {
    let rows = store::changes::list(&app.store, row.id).await?;
    let mut all = Vec::with_capacity(rows.len());
    for change in rows {
        let candidate = candidate_of(app, &change).await?.map(|row| row.name);
        all.push(render(change, candidate));
    }
    Ok(all)
}

/// Writes down how an instance is deployed, in the transaction that does it, so that it can be changed.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn note_first(
    tx: &mut Tx,
    keys: &MasterKey,
    row: &InstanceRow,
    request: &DeployRequest,
    deployment: &Deployment,
    actor: String,
) -> Outcome<()> {
    let mut asked = request.clone();
    asked.version = asked.version.or_else(|| deployment.listed.clone());
    let own = secrets::own(&deployment.secrets, &deployment.named);
    let made = Made { asked, what: deployment.what(row.spec.moving.clone()), own };
    let mut change = made.row(keys, row.id, actor, row.created_at)?;
    change.state = ChangeState::Current;
    change.ended_at = Some(row.created_at);
    store::changes::insert(tx, &change).await?;
    Ok(())
}

/// Begins to make an instance something else.
///
/// # Errors
/// 403, 404 with the nearest name, 409 while another change is under way and when nothing would change, 422 with field and hint, 503 when the
/// registry of an image is away that knows the newest.
pub(crate) async fn begin(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ChangeRequest,
) -> Outcome<Change> {
    let (before, history) = changeable(app, caller, name).await?;
    let known = history.iter().find(|change| change.state == ChangeState::Current);
    let Some((known, asked)) = known.and_then(|known| Some((known, known.asked.as_deref()?))) else {
        let why = format!("it is not known how `{name}` was asked for, so it can only be deployed anew");
        return Err(Problem::refused(ErrorCode::Conflict, why).hint(
            "it came from another platform, from its host, or with Berth itself; deploy one under another name, and remove this one",
        ));
    };
    let mut asked: DeployRequest =
        serde_json::from_str(asked).map_err(|error| Problem::Failed(Box::new(error)))?;
    asked.secrets.values = app.keys.unseal_all(known.id.0, known.asked_sealed.as_deref())?;
    let entries = catalog::candidates(app, &asked.server, None).await?;
    let is_listed = entries.iter().any(|it| it.name == asked.server.trim() && it.listing.source.is_some());
    let mut asked = compose::next(request, asked, &before, is_listed)?;
    let (_, deployment) = instances::planned(app, caller, &asked).await?;
    asked.version = asked.version.or_else(|| deployment.listed.clone());
    if let Package::File { .. } | Package::Remote { .. } = deployment.package {
        caller.require(Role::Admin)?;
    }
    let mut what = deployment.what(before.spec.moving.clone());
    let runs = &before.spec.package;
    match request.version.as_deref() {
        Some(NEWEST) => what.spec.package = newest(app, caller, what.spec.package, &before).await?,
        // Nobody takes another image by changing a setting.
        None if runs.clone().unpinned() == what.spec.package => what.spec.package = runs.clone(),
        _ => {}
    }
    let mut changed = compose::differences(&before, &what, request);
    let own = secrets::own(&deployment.secrets, &deployment.named);
    if changed.is_empty() {
        return Err(Problem::refused(ErrorCode::Conflict, format!("that is what `{name}` is already"))
            .hint("give another version, setting, secret or limit"));
    }
    changed.sort();
    let made = Made { asked, what, own };
    let mut row = made.row(&app.keys, before.id, caller.actor(), now())?;
    row.changed = changed;
    row.review = request.review;
    keep(app, caller, &before, row, &made.own).await
}

/// Begins to make an instance what it was.
///
/// # Errors
/// 403, 404 also for a number that it has not, 409 while another change is under way and when it was nothing else.
pub(crate) async fn roll_back(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &RollbackRequest,
) -> Outcome<Change> {
    let (before, history) = changeable(app, caller, name).await?;
    let target = match request.to {
        None => history.iter().find(|change| change.state == ChangeState::Replaced).ok_or_else(|| {
            Problem::refused(ErrorCode::Conflict, format!("`{name}` was never anything else"))
                .hint(format!("`berth changes {name}` shows what it was"))
        })?,
        Some(number) => {
            let found = history.iter().find(|change| change.number == number);
            let found = found.ok_or_else(|| Problem::not_found("change", &number.to_string()))?;
            if !found.state.ran() {
                let why = format!("`{name}` never was what change {number} would have made it");
                return Err(Problem::invalid("to", why)
                    .hint("go back to one whose state is `replaced`, or make the change again"));
            }
            found
        }
    };
    if target.state == ChangeState::Current {
        let why = format!("`{name}` is what change {} made it", target.number);
        return Err(Problem::refused(ErrorCode::Conflict, why).field("to"));
    }
    let own = app.keys.unseal_all(target.id.0, target.secrets_sealed.as_deref())?;
    let mut asked = None;
    if let Some(text) = &target.asked {
        let mut request: DeployRequest =
            serde_json::from_str(text).map_err(|error| Problem::Failed(Box::new(error)))?;
        request.secrets.values = app.keys.unseal_all(target.id.0, target.asked_sealed.as_deref())?;
        asked = Some(request);
    }
    let what = as_it_ran(target);
    if let Package::File { .. } | Package::Remote { .. } = what.spec.package {
        caller.require(Role::Admin)?;
    }
    let made = Made { asked: asked.unwrap_or_default(), what, own };
    let mut row = made.row(&app.keys, before.id, caller.actor(), now())?;
    if target.asked.is_none() {
        (row.asked, row.asked_sealed) = (None, None);
    }
    row.changed = compose::differences(&before, &row.what, &ChangeRequest::default());
    row.back_to = Some(target.number);
    row.review = request.review;
    keep(app, caller, &before, row, &made.own).await
}

/// Puts a change that waits for it in the instance's place.
///
/// # Errors
/// 403, 404, 409 for one that does not wait.
pub(crate) async fn switch(app: &App, caller: &Caller, name: &str, number: u64) -> Outcome<Change> {
    let (before, change) = one(app, caller, name, number).await?;
    if change.state != ChangeState::Ready {
        let why = format!("change {number} of `{name}` is `{}`", change.state.word());
        return Err(Problem::refused(ErrorCode::Conflict, why)
            .hint("one that is `ready` can take the instance's place"));
    }
    let row = put_in_place(app, change, &before, Some(caller.actor())).await?;
    let row = row.ok_or_else(|| changed_meanwhile(name))?;
    Ok(render(row, None))
}

/// Gives a change up that has not taken the instance's place.
///
/// # Errors
/// 403, 404, 409 for one that is over or takes the instance's place.
pub(crate) async fn give_up(app: &App, caller: &Caller, name: &str, number: u64) -> Outcome<Change> {
    let (before, change) = one(app, caller, name, number).await?;
    if !matches!(change.state, ChangeState::Trying | ChangeState::Ready) {
        let why = format!("change {number} of `{name}` is `{}`", change.state.word());
        let problem = Problem::refused(ErrorCode::Conflict, why);
        return Err(match change.state {
            ChangeState::Switching => problem.hint("wait for it, then `berth rollback` undoes it"),
            _ => problem,
        });
    }
    let message = "it was given up".to_owned();
    let row = end(app, change, &before, ChangeState::Dropped, Some(message), Some(caller.actor())).await?;
    let row = row.ok_or_else(|| changed_meanwhile(name))?;
    Ok(render(row, None))
}

fn changed_meanwhile(name: &str) -> Problem {
    Problem::refused(ErrorCode::Conflict, format!("`{name}` was changed at the same time"))
        .hint("look at it, and ask again")
}

/// An instance that can be changed now, and its changes.
async fn changeable(app: &App, caller: &Caller, name: &str) -> Outcome<(InstanceRow, Vec<ChangeRow>)> {
    caller.require(Role::Member)?;
    let before = instances::find(app, caller, name).await?;
    if before.deleting {
        return Err(Problem::refused(ErrorCode::NotFound, format!("`{name}` is being removed")));
    }
    if let Some(of) = &before.spec.candidate_of {
        let why = format!("`{name}` is what `{of}` may become, and cannot be changed itself");
        return Err(Problem::refused(ErrorCode::Conflict, why)
            .hint(format!("give the change of `{of}` up, and make another one")));
    }
    let history = store::changes::list(&app.store, before.id).await?;
    if let Some(open) = history.iter().find(|change| change.state.is_open()) {
        let why = format!("change {} of `{name}` is under way: it is `{}`", open.number, open.state.word());
        return Err(Problem::refused(ErrorCode::Conflict, why)
            .hint(format!("wait for it, or give it up with `berth changes {name} --drop {}`", open.number)));
    }
    Ok((before, history))
}

async fn one(app: &App, caller: &Caller, name: &str, number: u64) -> Outcome<(InstanceRow, ChangeRow)> {
    caller.require(Role::Member)?;
    let row = instances::find(app, caller, name).await?;
    let history = store::changes::list(&app.store, row.id).await?;
    let found = history.into_iter().find(|change| change.number == number);
    Ok((row, found.ok_or_else(|| Problem::not_found("change", &number.to_string()))?))
}

/// What a change is made of.
struct Made {
    asked: DeployRequest,
    what: What,
    /// The values of its secrets that are its own, by variable.
    own: Secrets,
}

impl Made {
    fn row(
        &self,
        keys: &MasterKey,
        instance: InstanceId,
        actor: String,
        at: Timestamp,
    ) -> Outcome<ChangeRow> {
        let id = ChangeId::generate();
        let mut asked = self.asked.clone();
        // They are kept sealed, beside it.
        let values = std::mem::take(&mut asked.secrets.values);
        let given = secrets::own(&values, &asked.secrets.named);
        Ok(ChangeRow {
            id,
            instance,
            number: 0,
            state: ChangeState::Trying,
            message: None,
            changed: Vec::new(),
            review: false,
            back_to: None,
            candidate: None,
            tools: None,
            asked: Some(serde_json::to_string(&asked).map_err(|error| Problem::Failed(Box::new(error)))?),
            asked_sealed: keys.seal_all(id.0, &given)?,
            what: self.what.clone(),
            secrets_sealed: keys.seal_all(id.0, &self.own)?,
            version: None,
            digest: None,
            created_by: actor,
            created_at: at,
            since: at,
            ended_at: None,
        })
    }
}

/// What a change made an instance, of exactly the version that ran.
fn as_it_ran(change: &ChangeRow) -> What {
    let mut what = change.what.clone();
    what.spec.package = exactly(what.spec.package, change.version.as_deref(), change.digest.as_deref());
    what
}

/// The package of the version that ran. An image is known by its digest, since its tag may be another image by now; what has no versions is
/// what it was.
fn exactly(package: Package, version: Option<&str>, digest: Option<&str>) -> Package {
    let ran = if let Package::Oci { .. } = package { digest } else { version };
    ran.and_then(|ran| package.clone().with_version(ran).ok()).unwrap_or(package)
}

/// An image is the newest of its tag by a digest of its registry's, so that it is known which one it is.
async fn newest(app: &App, caller: &Caller, package: Package, before: &InstanceRow) -> Outcome<Package> {
    let Package::Oci { image } = &package else { return Ok(package) };
    if package.version().is_some() {
        return Ok(package);
    }
    let digest = images::newest(app, caller.account, image).await?;
    // What runs keeps its name when it is the newest.
    if before.spec.package.clone().unpinned() == package && before.digest.as_deref() == Some(&digest) {
        return Ok(before.spec.package.clone());
    }
    package.with_version(&digest).map_err(|error| Problem::invalid("version", error))
}

/// Keeps a new change with its candidate, and wakes who brings both on.
async fn keep(
    app: &App,
    caller: &Caller,
    before: &InstanceRow,
    mut change: ChangeRow,
    own: &Secrets,
) -> Outcome<Change> {
    let candidate = match stands_alone(&change.what) {
        Some(why) if change.review => {
            let why = format!("`{}` cannot be tried beside itself: {why}", before.name);
            return Err(Problem::invalid("review", why).hint("leave the review out"));
        }
        Some(_) => None,
        None => Some(candidate_row(app, before, &change.what, own).await?),
    };
    change.candidate = candidate.as_ref().map(|row| row.id);
    let mut tx = app.store.begin().await?;
    if let Some(row) = &candidate {
        quotas::check(app, &mut tx, caller.account, &row.spec.limits).await?;
        instances::insert(&mut tx, row, &change.what.named, caller.actor()).await?;
    }
    change.number = store::changes::insert(&mut tx, &change).await.map_err(|error| match error {
        StoreError::Taken { .. } => changed_meanwhile(before.name.as_str()),
        error => error.into(),
    })?;
    let act = Act {
        action: if change.back_to.is_some() { "instance.rollback" } else { "instance.change" },
        kind: "instance",
        id: before.id.to_string(),
        name: before.name.as_str(),
        detail: json!({ "number": change.number, "changed": change.changed, "to": change.back_to }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), change.created_at, act).await?;
    tx.commit().await?;
    app.changed(candidate.as_slice()).await?;
    app.changes.notify_one();
    Ok(render(change, candidate.map(|row| row.name)))
}

/// Why nothing can be tried beside an instance that is this; `None` when it can.
fn stands_alone(what: &What) -> Option<String> {
    let launch = &what.spec.launch;
    if let Some(port) = launch.container.as_ref().and_then(|container| container.ports.first()) {
        return Some(format!("it publishes {port}, which two cannot"));
    }
    if let Some(volume) = launch.container.as_ref().and_then(|container| container.volumes.first()) {
        return Some(format!("two would write into the volume `{volume}`"));
    }
    match &what.spec.package {
        Package::Remote { .. } => {
            Some("it runs elsewhere, and who may use it there is known for its address".to_owned())
        }
        _ => None,
    }
}

async fn candidate_row(app: &App, before: &InstanceRow, what: &What, own: &Secrets) -> Outcome<InstanceRow> {
    let name = store::instances::next_free_name(&app.store, before.account, &beside(&before.name)).await?;
    let mut what = what.clone();
    what.spec.moving = Moving::first(None);
    what.spec.candidate_of = Some(before.name.clone());
    instances::new_row(&app.keys, before.account, before.environment, name, &what, own)
}

/// `NAME-next`, with the name cut so that the whole is still one.
fn beside(name: &InstanceName) -> InstanceName {
    const SUFFIX: &str = "-next";
    let kept = name.as_str().len().min(MAX_NAME - SUFFIX.len());
    // A name is ASCII, so every byte is a boundary.
    let text = format!("{}{SUFFIX}", name.as_str()[..kept].trim_end_matches('-'));
    text.parse().unwrap_or_else(|_| name.clone())
}

/// The row of the instance that a change is tried as, while it is there.
pub(crate) async fn candidate_of(app: &App, change: &ChangeRow) -> Outcome<Option<InstanceRow>> {
    let Some(id) = change.candidate.filter(|_| change.state.is_open()) else { return Ok(None) };
    Ok(store::instances::by_id(&app.store, id).await?)
}

/// What an instance is tried as, while it is there.
///
/// # Errors
/// What the store says.
pub(crate) async fn tried(app: &App, row: &InstanceRow) -> Outcome<Option<InstanceRow>> {
    let history = store::changes::list(&app.store, row.id).await?;
    match history.iter().find(|change| change.state.is_open()) {
        Some(open) => candidate_of(app, open).await,
        None => Ok(None),
    }
}

/// A change as its account sees it.
fn render(row: ChangeRow, candidate: Option<InstanceName>) -> Change {
    // The digest of an image is told beside it.
    let package = exactly(row.what.spec.package, row.version.as_deref(), None).to_string();
    Change {
        number: row.number,
        state: row.state,
        message: row.message,
        changed: row.changed,
        package,
        version: row.version,
        digest: row.digest,
        settings: row.what.settings,
        secret_names: row.what.secret_names,
        review: row.review,
        back_to: row.back_to,
        candidate,
        tools: row.tools,
        created_by: row.created_by,
        created_at: row.created_at,
        ended_at: row.ended_at,
    }
}

/// Whose principal looks at the tools of a change: the person's who asked for it.
pub(crate) async fn looker(
    app: &App,
    picture: &Picture,
    change: &ChangeRow,
    row: &InstanceRow,
) -> Option<(domain::names::AccountName, std::sync::Arc<gateway::Principal>)> {
    let account = picture.account(row.account)?.clone();
    let principal = app.directory.principal_named(row.account, &change.created_by).await?;
    let all = gateway::Principal {
        calls: gateway::Calls::all(),
        limits: gateway::Limits::default(),
        ..gateway::Principal::clone(&principal)
    };
    Some((account, std::sync::Arc::new(all)))
}
