//! Instances: the one way to deploy, and what their owners do with them afterwards.
//!
//! Every act changes rows and wakes the reconciler; none waits for a machine.

use std::collections::BTreeMap;

use api::errors::ErrorCode;
use api::events::Event;
use api::instances::{DeployRequest, Instance, LogQuery};
use api::users::Role;
use bytes::Bytes;
use domain::ids::{AccountId, EnvironmentId, InstanceId};
use domain::names::{EnvironmentName, InstanceName};
use domain::package::Package;
use domain::secret::Secrets;
use domain::spec::DesiredState;
use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::vault::SecretName;
use hop::pool::PooledBody;
use http_body_util::Full;
use serde_json::json;
use store::changes::What;
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, Moving};
use store::{Store, StoreError, Tx};

use crate::app::audit::{self, Act};
use crate::app::deployment::{self, Deployment, nearest};
use crate::app::{App, Outcome, Problem, catalog, changes, fleet, moves, quotas, secrets, toolbelts};
use crate::auth::Caller;
use crate::directory::{Picture, now};
use crate::dtma_client::DtmaError;
use crate::reach::{self, reach};
use crate::secrets::MasterKey;

/// The environment that is meant when none is named.
pub(crate) const LOCAL: &str = "local";
/// A made-up name that somebody else takes meanwhile is made up anew, so often.
const NAME_TRIES: usize = 5;
/// The most lines of a log that are asked for at once.
const MAX_TAIL: u32 = 100_000;

/// Deploys: checks everything, writes the row and its audit line in one transaction, wakes the reconciler.
///
/// # Errors
/// 422 with field and hint, 409 with a free name, 403.
pub(crate) async fn deploy(app: &App, caller: &Caller, request: &DeployRequest) -> Outcome<Instance> {
    caller.require(Role::Member)?;
    let (_, deployment) = planned(app, caller, request).await?;
    let environment = match request.environment.as_deref() {
        Some(fleet::AUTO) => {
            let labels = &request.environment_labels;
            fleet::choose(app, caller.account, &deployment.limits, labels, None).await?
        }
        _ if !request.environment_labels.is_empty() => {
            return Err(Problem::invalid("environment_labels", "labels choose among environments")
                .hint(format!("give the environment as `{}`, or leave the labels out", fleet::AUTO)));
        }
        name => fleet::open(app, caller, environment_of(&app.store, caller, name).await?).await?,
    };
    match deployment.package {
        Package::File { .. } => check_file(caller, &environment)?,
        // Whoever names an address has the host speak to it, and hosts reach what nobody outside does.
        Package::Remote { .. } => caller.require(Role::Admin)?,
        _ => {}
    }
    if let Some(failover) = deployment.failover {
        moves::check_failover(app, failover, moves::stays_of(&deployment).as_deref())?;
    }

    let what = deployment.what(Moving::first(deployment.failover));
    let own = secrets::own(&deployment.secrets, &deployment.named);
    for _ in 0..NAME_TRIES {
        let name = match &deployment.name {
            Some(name) => name.clone(),
            None => {
                store::instances::next_free_name(&app.store, caller.account, &deployment.name_base).await?
            }
        };
        let row = new_row(&app.keys, caller.account, environment.id, name, &what, &own)?;
        let mut tx = app.store.begin().await?;
        quotas::check(app, &mut tx, caller.account, &deployment.limits).await?;
        match insert(&mut tx, &row, &deployment.named, caller.actor()).await {
            Ok(()) => {
                changes::note_first(&mut tx, &app.keys, &row, request, &deployment, caller.actor()).await?;
                tx.commit().await?;
                app.changed(std::slice::from_ref(&row)).await?;
                return rendered(app, &row);
            }
            Err(Problem::Refused(detail)) if detail.code == ErrorCode::Conflict => {
                drop(tx);
                if deployment.name.is_some() {
                    return Err(taken(app, caller, &row.name).await?);
                }
            }
            Err(problem) => return Err(problem),
        }
    }
    Err(Problem::refused(ErrorCode::Conflict, "no free name was found")
        .field("name")
        .hint("give one with `name`"))
}

/// What a request would deploy, and the request with the values of the account's secrets in it. Nothing is written.
///
/// # Errors
/// 422 with field and hint, 403 below a member.
pub(crate) async fn planned(
    app: &App,
    caller: &Caller,
    request: &DeployRequest,
) -> Outcome<(DeployRequest, Deployment)> {
    caller.require(Role::Member)?;
    let known = catalog::candidates(app, &request.server, request.version.as_deref()).await?;
    let request = DeployRequest {
        secrets: secrets::resolve(app, caller.account, &request.secrets).await?,
        ..request.clone()
    };
    let deployment = deployment::plan(&request, &known)?;
    Ok((request, deployment))
}

/// The row of a new instance, with the secrets that are its own.
///
/// # Errors
/// What sealing its secrets says.
pub(crate) fn new_row(
    keys: &MasterKey,
    account: AccountId,
    environment: EnvironmentId,
    name: InstanceName,
    what: &What,
    own: &Secrets,
) -> Outcome<InstanceRow> {
    let (id, at) = (InstanceId::generate(), now());
    Ok(InstanceRow {
        id,
        account,
        environment,
        catalog_entry: what.catalog_entry,
        instance_name_on_toolbox: name.as_str().to_owned(),
        name,
        desired: DesiredState::Running,
        generation: 1,
        restarts_asked: 0,
        observed_generation: 0,
        status: InstanceStatus::PendingDeploy,
        message: None,
        spec: what.spec.clone(),
        settings: what.settings.clone(),
        secret_names: what.secret_names.clone(),
        secrets_sealed: keys.seal_all(id.0, own)?,
        version: None,
        digest: None,
        report: None,
        last_heartbeat_from_dtma: None,
        deleting: false,
        created_at: at,
        updated_at: at,
    })
}

/// Writes the row, which secrets of the account it uses, and its audit line.
///
/// # Errors
/// What the store says; 422 when a secret was removed meanwhile.
pub(crate) async fn insert(
    tx: &mut Tx,
    row: &InstanceRow,
    named: &BTreeMap<String, SecretName>,
    actor: String,
) -> Outcome<()> {
    store::instances::insert(tx, row).await?;
    for (variable, name) in named {
        store::secrets::add_use(tx, row.id, variable, name).await.map_err(|error| match error {
            StoreError::NotFound { .. } => {
                Problem::invalid("secrets", format!("there is no secret `{name}` in this account any more"))
            }
            error => error.into(),
        })?;
    }
    let mut detail = json!({ "package": row.spec.package.to_string(), "environment": row.environment });
    if !named.is_empty() {
        detail["secrets"] = json!(named);
    }
    let act = Act {
        action: "instance.deploy",
        kind: "instance",
        id: row.id.to_string(),
        name: row.name.as_str(),
        detail,
    };
    audit::note(tx, row.account, actor, row.created_at, act).await
}

/// The account's instances, by name.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Instance>> {
    let rows = store::instances::list(&app.store, caller.account).await?;
    let picture = app.directory.picture();
    Ok(rows.iter().filter_map(|row| render(row, &picture, &app.public().url)).collect())
}

/// One instance.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Instance> {
    rendered(app, &find(app, caller, name).await?)
}

/// One instance by its id, for callers that know no names.
///
/// # Errors
/// 400 for what is no id, 404.
pub(crate) async fn by_id(app: &App, caller: &Caller, id: &str) -> Outcome<Instance> {
    rendered(app, &row_by_id(app, caller, id).await?)
}

/// The row of one instance by its id.
///
/// # Errors
/// 400 for what is no id, 404.
pub(crate) async fn row_by_id(app: &App, caller: &Caller, id: &str) -> Outcome<InstanceRow> {
    let parsed: InstanceId = id.parse().map_err(|_| {
        Problem::refused(ErrorCode::BadRequest, format!("`{id}` is not the UUID of a server")).field("id")
    })?;
    let row = store::instances::by_id(&app.store, parsed).await?;
    row.filter(|row| row.account == caller.account).ok_or_else(|| Problem::not_found("server", id))
}

/// What an owner does with an instance that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Run; one that failed is tried again at once.
    Start,
    /// Stop; its address answers 503.
    Stop,
    /// Restart the server.
    Restart,
    /// Remove it with everything it stored.
    Remove,
}

/// Carries out an order. What is so already is no error.
///
/// # Errors
/// 403, 404 with the nearest name.
pub(crate) async fn order(app: &App, caller: &Caller, name: &str, order: Order) -> Outcome<Instance> {
    caller.require(Role::Member)?;
    let before = find(app, caller, name).await?;
    if before.deleting && order != Order::Remove {
        return Err(Problem::refused(ErrorCode::NotFound, format!("`{name}` is being removed")));
    }
    let (account, name, at) = (caller.account, &before.name, now());
    let failed = matches!(before.status, InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime);
    // What it might have become goes with it.
    let candidate = if order == Order::Remove { changes::tried(app, &before).await? } else { None };
    let mut changed = Vec::new();
    let mut tx = app.store.begin().await?;
    let (action, row) = match order {
        Order::Start if failed && before.desired == DesiredState::Running => (
            "instance.start",
            store::instances::ask_restart(&mut tx, account, name, InstanceStatus::Starting, at).await?,
        ),
        Order::Start => {
            let (desired, shown) = (DesiredState::Running, InstanceStatus::Starting);
            (
                "instance.start",
                store::instances::set_desired(&mut tx, account, name, desired, shown, at).await?,
            )
        }
        Order::Stop => {
            let (desired, shown) = (DesiredState::Stopped, InstanceStatus::Stopping);
            (
                "instance.stop",
                store::instances::set_desired(&mut tx, account, name, desired, shown, at).await?,
            )
        }
        Order::Restart => (
            "instance.restart",
            store::instances::ask_restart(&mut tx, account, name, InstanceStatus::Starting, at).await?,
        ),
        Order::Remove => {
            changed.extend(changes::withdraw(&mut tx, candidate.as_ref()).await?);
            store::toolbelts::touch_of_instance(&mut tx, before.id).await?;
            ("instance.remove", store::instances::mark_deleting(&mut tx, account, name, at).await?)
        }
    };
    let act =
        Act { action, kind: "instance", id: row.id.to_string(), name: row.name.as_str(), detail: json!({}) };
    audit::note(&mut tx, account, caller.actor(), at, act).await?;
    tx.commit().await?;
    let shown = rendered(app, &row);
    changed.push(row);
    app.changed(&changed).await?;
    app.belts.changed();
    shown
}

/// The lines of an instance's log, as its DTMA sends them.
///
/// # Errors
/// 404, 503 when its DTMA does not answer.
pub(crate) async fn logs(
    app: &App,
    caller: &Caller,
    name: &str,
    query: LogQuery,
) -> Outcome<PooledBody<Full<Bytes>>> {
    if query.tail.is_some_and(|tail| MAX_TAIL < tail) {
        return Err(Problem::invalid("tail", format!("at most {MAX_TAIL} lines are given at once")));
    }
    let row = find(app, caller, name).await?;
    let environment = store::environments::by_id(&app.store, row.environment)
        .await?
        .ok_or_else(|| Problem::refused(ErrorCode::NotFound, "its environment is gone"))?;
    let unavailable = |error: &dyn std::fmt::Display| {
        let message = format!("environment `{}`: {error}", environment.name);
        Problem::refused(ErrorCode::Unavailable, message).hint("its DTMA may be starting; try again shortly")
    };
    let host = reach(&environment, &app.keys, app.local).map_err(|error| unavailable(&error))?;
    match app.dtma.logs(&host, row.id, query).await {
        Ok(response) => Ok(response.into_body()),
        Err(DtmaError::Refused(detail)) if detail.code == ErrorCode::NotFound => Err(Problem::refused(
            ErrorCode::NotFound,
            format!("`{name}` has no log yet: its host has not taken it"),
        )
        .hint(format!("`berth status {name}` shows how far it is"))),
        Err(DtmaError::Refused(detail)) => Err(Problem::Refused(detail)),
        Err(error) => Err(unavailable(&error)),
    }
}

/// Tells an account's listeners that an instance is gone.
pub(crate) fn tell_removed(app: &App, row: &InstanceRow) {
    app.publish(row.account, Event::InstanceRemoved { name: row.name.as_str().to_owned() });
}

/// A row as its account sees it; `None` when its account or environment went meanwhile.
pub(crate) fn render(row: &InstanceRow, picture: &Picture, public_url: &str) -> Option<Instance> {
    let account = picture.account(row.account)?;
    let environment = picture.environment(row.environment)?;
    let report = row.report.as_ref().filter(|report| report.generation == row.generation);
    let silent = || {
        let since = environment.last_heartbeat_at.map(|at| format!(" since {at}")).unwrap_or_default();
        format!("environment `{}` has not reported{since}: this is its last known state", environment.name)
    };
    let message = match environment.status {
        EnvironmentStatus::Unresponsive => row.message.clone().or_else(|| Some(silent())),
        _ => row.message.clone(),
    };
    Some(Instance {
        id: row.id,
        name: row.name.clone(),
        environment: environment.name.clone(),
        status: row.status,
        message,
        progress: report.and_then(|report| report.progress.clone()),
        url: format!("{public_url}{}{account}/{}", gateway::PREFIX, row.name),
        desired: row.desired,
        package: match &row.version {
            Some(version) => {
                let package = row.spec.package.clone();
                package.clone().with_version(version).unwrap_or(package).to_string()
            }
            None => row.spec.package.to_string(),
        },
        catalog_entry: row.catalog_entry,
        version: row.version.clone(),
        digest: row.digest.clone(),
        server_name: report.and_then(|report| report.server_name.clone()),
        protocol_version: report.and_then(|report| report.protocol_version.clone()),
        confinement: report.and_then(|report| report.confinement.clone()).map(Box::new),
        container: row.spec.launch.container.clone().map(Box::new),
        restarts: row.report.as_ref().map_or(0, |report| report.restarts),
        settings: row.settings.clone(),
        secret_names: row.secret_names.clone(),
        each_caller: row.spec.launch.each_caller.keys().cloned().collect(),
        sleep_after_seconds: row.spec.launch.sleep_after_seconds,
        generation: row.generation,
        created_at: row.created_at,
        since: report.map(|report| report.since),
        metrics: report.and_then(|report| report.metrics.clone()),
        blocked: report.map(|report| report.blocked.clone()).unwrap_or_default(),
        failover: row.spec.moving.failover,
        candidate_of: row.spec.candidate_of.clone(),
        stays: moves::stays(&row.spec),
        leaving: picture.leaving(row.id),
    })
}

/// What lies on a host is its owner's: who deploys it must be trusted with the host, and know it.
fn check_file(caller: &Caller, environment: &EnvironmentRow) -> Outcome<()> {
    caller.require(Role::Admin)?;
    if reach::is_local(environment) {
        return Ok(());
    }
    let message = format!("`file:` names what lies on this machine, and `{}` is another", environment.name);
    Err(Problem::invalid("server", message).hint(format!("deploy it with `--env {LOCAL}`")))
}

/// A row as its account sees it.
///
/// # Errors
/// 404 when its account or environment went meanwhile.
pub(crate) fn rendered(app: &App, row: &InstanceRow) -> Outcome<Instance> {
    render(row, &app.directory.picture(), &app.public().url)
        .ok_or_else(|| Problem::not_found("instance", row.name.as_str()))
}

/// The account's instance of a name.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn find(app: &App, caller: &Caller, name: &str) -> Outcome<InstanceRow> {
    if let Ok(name) = name.parse::<InstanceName>()
        && let Some(row) = store::instances::by_name(&app.store, caller.account, &name).await?
    {
        return Ok(row);
    }
    let rows = store::instances::list(&app.store, caller.account).await?;
    let problem = Problem::not_found("instance", name);
    Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth list` shows those there are"),
    })
}

/// The environment that somebody means.
///
/// # Errors
/// 422 with the nearest name.
pub(crate) async fn environment_of(
    store: &Store,
    caller: &Caller,
    name: Option<&str>,
) -> Outcome<EnvironmentRow> {
    let mut rows = store::environments::list(store, caller.account).await?;
    let wanted = name.unwrap_or(LOCAL);
    let valid = wanted.parse::<EnvironmentName>().ok();
    if let Some(found) = rows.iter().position(|row| Some(&row.name) == valid.as_ref()) {
        return Ok(rows.swap_remove(found));
    }
    let names: Vec<String> = rows.iter().map(|row| format!("`{}`", row.name)).collect();
    match (name, rows.len()) {
        (None, 1) => Ok(rows.swap_remove(0)),
        (_, 0) => Err(Problem::invalid("environment", "this account has no environment")),
        (None, _) => Err(Problem::invalid("environment", "there are several environments")
            .hint(format!("name one: {}", names.join(", ")))),
        (Some(name), _) => {
            let problem = Problem::invalid("environment", format!("there is no environment `{name}`"));
            Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem.hint(format!("there is {}", names.join(", "))),
            })
        }
    }
}

async fn taken(app: &App, caller: &Caller, name: &InstanceName) -> Result<Problem, StoreError> {
    let free = store::instances::next_free_name(&app.store, caller.account, name).await?;
    let holder = store::instances::by_name(&app.store, caller.account, name).await?;
    if holder.is_none() {
        return toolbelts::taken(app, caller, name).await;
    }
    let (message, hint) = if holder.is_some_and(|row| row.deleting) {
        (
            format!("the instance `{name}` is still being removed"),
            format!("wait for it, or take `{free}`, which is free"),
        )
    } else {
        (format!("an instance `{name}` exists already"), format!("`{free}` is free"))
    };
    Ok(Problem::refused(ErrorCode::Conflict, message).field("name").hint(hint))
}
