//! Moving instances: by their owners, off a machine that is drained, and away from one that is lost.
//!
//! A move is a change of a row and a departure beside it; the deploy reconciler has the old host let go, and only then starts the
//! instance on the new one. Its address, key, secrets and sessions stay as they are.

use api::environments::ChangeEnvironmentRequest;
use api::errors::ErrorCode;
use api::instances::Instance;
use api::moves::{Drain, Drained, FailoverRequest, MoveRequest};
use api::users::Role;
use domain::lease::Failover;
use domain::package::Package;
use domain::spec::Launch;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use serde_json::json;
use store::StoreError;
use store::departures::Why;
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, SpecColumn};

use crate::app::audit::{self, Act};
use crate::app::deployment::Deployment;
use crate::app::{App, Outcome, Problem, environments, fleet, instances};
use crate::auth::Caller;
use crate::directory::now;

/// What stands for the instance's own writable directory.
const WORK: &str = "{work}";

/// Why an instance cannot be moved to another host; `None` when it can.
pub(crate) fn stays(spec: &SpecColumn) -> Option<String> {
    if let Some(of) = &spec.candidate_of {
        return Some(format!("it is tried beside `{of}`, and goes when that is decided"));
    }
    if spec.moving.adopted {
        return Some("an older caller deployed it on its host, and looks for it there".to_owned());
    }
    bound_to_host(&spec.package, &spec.launch, spec.env.values())
}

/// The same of one that is not deployed yet.
pub(crate) fn stays_of(deployment: &Deployment) -> Option<String> {
    bound_to_host(&deployment.package, &deployment.launch, deployment.env.values())
}

fn bound_to_host<'a>(
    package: &Package,
    launch: &Launch,
    mut env: impl Iterator<Item = &'a String>,
) -> Option<String> {
    if let Package::File { .. } = package {
        return Some("what it runs lies on its host (`file:`)".to_owned());
    }
    if let Some(volume) = launch.container.as_ref().and_then(|container| container.volumes.first()) {
        return Some(format!("its data lies on its host, in the volume `{volume}`"));
    }
    let is_kept = |text: &String| text.contains(WORK);
    if launch.args.iter().any(is_kept) || launch.env.values().any(is_kept) || env.any(is_kept) {
        return Some(format!("it keeps files on its host: an argument or a setting of it names `{WORK}`"));
    }
    None
}

/// Whether an instance may have this failover.
///
/// # Errors
/// 422 with the field.
pub(crate) fn check_failover(app: &App, failover: Failover, stays: Option<&str>) -> Outcome<()> {
    if let Some(why) = stays {
        return Err(Problem::invalid("failover", format!("it cannot be moved to another host: {why}"))
            .hint("deploy it without failover, or without what ties it to a host"));
    }
    failover.check(app.heartbeat).map_err(|error| {
        Problem::invalid(error.field(), error)
            .hint("`lease_seconds` 60 and `lost_after_seconds` 90 are the default")
    })?;
    Ok(())
}

/// Moves an instance to another environment.
///
/// # Errors
/// 403, 404, 409 for one that stays where it is or a target that takes nothing, 422.
pub(crate) async fn move_to(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &MoveRequest,
) -> Outcome<Instance> {
    caller.require(Role::Member)?;
    let before = instances::find(app, caller, name).await?;
    if before.deleting {
        return Err(Problem::refused(ErrorCode::NotFound, format!("`{name}` is being removed")));
    }
    if let Some(why) = stays(&before.spec) {
        return Err(Problem::refused(ErrorCode::Conflict, format!("`{name}` cannot be moved: {why}"))
            .hint("deploy another one there, bring over what it keeps, and remove this one"));
    }
    let target = if request.environment == fleet::AUTO {
        let (limits, labels) = (&before.spec.limits, &request.environment_labels);
        fleet::choose(app, caller.account, limits, labels, Some(before.environment)).await?
    } else if request.environment_labels.is_empty() {
        instances::environment_of(&app.store, caller, Some(&request.environment)).await?
    } else {
        return Err(Problem::invalid("environment_labels", "labels choose among environments")
            .hint(format!("give the environment as `{}`, or leave the labels out", fleet::AUTO)));
    };
    if target.id == before.environment {
        return Err(Problem::invalid("environment", format!("`{name}` is in `{}` already", target.name)));
    }
    let parting = Parting { why: Why::Move, actor: caller.actor(), lost: None };
    let after = transfer(app, &before, &target, parting).await?.ok_or_else(|| changed_meanwhile(name))?;
    instances::rendered(app, &after)
}

fn changed_meanwhile(name: &str) -> Problem {
    Problem::refused(ErrorCode::Conflict, format!("`{name}` was changed at the same time"))
        .hint("look at it, and ask again")
}

/// Sets when an instance is moved away from a host that is not heard.
///
/// # Errors
/// 403, 404, 409 when it was changed at the same time, 422 with the field.
pub(crate) async fn set_failover(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &FailoverRequest,
) -> Outcome<Instance> {
    caller.require(Role::Member)?;
    let before = instances::find(app, caller, name).await?;
    if before.deleting {
        return Err(Problem::refused(ErrorCode::NotFound, format!("`{name}` is being removed")));
    }
    if let Some(failover) = request.failover {
        check_failover(app, failover, stays(&before.spec).as_deref())?;
    }
    if before.spec.moving.failover == request.failover {
        return instances::rendered(app, &before);
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    let after = store::instances::set_failover(&mut tx, &before, request.failover, at).await?;
    let after = after.ok_or_else(|| changed_meanwhile(name))?;
    let act = Act {
        action: "instance.failover",
        kind: "instance",
        id: after.id.to_string(),
        name: after.name.as_str(),
        detail: json!({ "failover": request.failover }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.changed(std::slice::from_ref(&after)).await?;
    instances::rendered(app, &after)
}

/// Cordons an environment and moves away what can be moved, for an admin.
///
/// # Errors
/// 403, 404 with the nearest name. What cannot be moved is told in the answer.
pub(crate) async fn drain(app: &App, caller: &Caller, name: &str) -> Outcome<Drain> {
    caller.require(Role::Admin)?;
    let environment = environments::find(app, caller, name).await?;
    let policies = store::policies::of_account(&app.store, caller.account).await?;
    if !policies.get(&environment.id).is_some_and(|policy| policy.cordoned) {
        let cordon = ChangeEnvironmentRequest { cordoned: Some(true), ..ChangeEnvironmentRequest::default() };
        fleet::change(app, caller, environment.name.as_str(), &cordon).await?;
    }
    let mut drained = Vec::new();
    for row in store::instances::list_by_environment(&app.store, environment.id).await? {
        if !row.deleting {
            drained.push(drain_one(app, caller, &row).await?);
        }
    }
    let leaving = store::departures::leaving(&app.store, environment.id).await?;
    Ok(Drain { environment: environment.name, instances: drained, leaving })
}

/// What draining an environment would do as things are now; changes nothing.
///
/// # Errors
/// 403, 404 with the nearest name.
pub(crate) async fn plan(app: &App, caller: &Caller, name: &str) -> Outcome<Drain> {
    caller.require(Role::Admin)?;
    let environment = environments::find(app, caller, name).await?;
    let mut places = fleet::Places::look(app, caller.account, Some(environment.id)).await?;
    let mut planned = Vec::new();
    for row in store::instances::list_by_environment(&app.store, environment.id).await? {
        if row.deleting {
            continue;
        }
        let (moved_to, can_move, why) = match stays(&row.spec) {
            Some(why) => (None, false, Some(why)),
            None => match places.take(&row) {
                Ok(to) => (Some(to), true, None),
                Err(Problem::Refused(detail)) => (None, true, Some(detail.message)),
                Err(problem) => return Err(problem),
            },
        };
        planned.push(Drained { name: row.name, moved_to, can_move, why });
    }
    let leaving = store::departures::leaving(&app.store, environment.id).await?;
    Ok(Drain { environment: environment.name, instances: planned, leaving })
}

async fn drain_one(app: &App, caller: &Caller, row: &InstanceRow) -> Outcome<Drained> {
    let kept = |can_move, why| Drained { name: row.name.clone(), moved_to: None, can_move, why: Some(why) };
    if let Some(why) = stays(&row.spec) {
        return Ok(kept(false, why));
    }
    let parting = Parting { why: Why::Drain, actor: caller.actor(), lost: None };
    let moved = async {
        let target = elsewhere(app, row).await?;
        let after = transfer(app, row, &target, parting).await?;
        after.map(|_| target.name).ok_or_else(|| changed_meanwhile(row.name.as_str()))
    };
    match moved.await {
        Ok(to) => Ok(Drained { name: row.name.clone(), moved_to: Some(to), can_move: true, why: None }),
        Err(Problem::Refused(detail)) => Ok(kept(true, detail.message)),
        Err(problem) => Err(problem),
    }
}

/// The environment that has most room for an instance, its own not among them.
///
/// # Errors
/// 409 with the reason of each environment when none takes it.
pub(crate) async fn elsewhere(app: &App, row: &InstanceRow) -> Outcome<EnvironmentRow> {
    let labels = std::collections::BTreeMap::new();
    fleet::choose(app, row.account, &row.spec.limits, &labels, Some(row.environment)).await
}

/// How an instance leaves its environment.
#[derive(Debug)]
pub(crate) struct Parting {
    /// Why.
    pub(crate) why: Why,
    /// Who wants it, for the audit.
    pub(crate) actor: String,
    /// Whether its environment is lost.
    pub(crate) lost: Option<Lost>,
}

/// An environment of which nothing is heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost {
    /// The last heartbeat that was heard of it, which must still be the last.
    pub(crate) heard: Option<Timestamp>,
}

/// Moves an instance; `None` when it, or what is known of a lost environment, changed meanwhile.
///
/// # Errors
/// 409 when the target takes nothing, or has an instance of that name.
pub(crate) async fn transfer(
    app: &App,
    before: &InstanceRow,
    target: &EnvironmentRow,
    parting: Parting,
) -> Outcome<Option<InstanceRow>> {
    let at = now();
    let mut tx = app.store.begin().await?;
    // In the order of their ids, so that two moves the opposite way do not wait for each other.
    let mut held = [before.environment, target.id];
    held.sort();
    for id in held {
        let Some(row) = store::environments::hold(&mut tx, id).await? else {
            return Err(Problem::refused(ErrorCode::Conflict, "the environment was removed meanwhile")
                .field("environment"));
        };
        if id == before.environment && parting.lost.is_some_and(|lost| lost.heard != row.last_heartbeat_at) {
            return Ok(None);
        }
        if id == target.id {
            check_target(&row, store::policies::hold(&mut tx, id).await?.cordoned)?;
        }
    }
    // A host that was silent for so long has stopped it: that is what its lease is for.
    let free_at = parting.lost.map(|_| at);
    let moved = store::departures::depart(&mut tx, before, target.id, parting.why, free_at, at).await;
    let moved = moved.map_err(|error| match error {
        StoreError::Taken { .. } => {
            let message = format!(
                "the host of `{}` has an instance that is called `{}` there",
                target.name, before.instance_name_on_toolbox
            );
            Problem::refused(ErrorCode::Conflict, message)
                .field("environment")
                .hint("choose another environment")
        }
        error => error.into(),
    })?;
    let Some(after) = moved else { return Ok(None) };
    let act = Act {
        action: "instance.move",
        kind: "instance",
        id: after.id.to_string(),
        name: after.name.as_str(),
        detail: json!({ "from": before.environment, "to": target.id, "why": parting.why.word() }),
    };
    audit::note(&mut tx, after.account, parting.actor, at, act).await?;
    tx.commit().await?;
    app.changed(std::slice::from_ref(&after)).await?;
    Ok(Some(after))
}

fn check_target(target: &EnvironmentRow, cordoned: bool) -> Outcome<()> {
    let name = &target.name;
    let problem = |message: String| Problem::refused(ErrorCode::Conflict, message).field("environment");
    if cordoned {
        return Err(problem(format!("environment `{name}` is cordoned: it takes no new instances")).hint(
            format!("choose another one, or let it take them again with `berth env uncordon {name}`"),
        ));
    }
    match target.status {
        EnvironmentStatus::Deleting
        | EnvironmentStatus::ErrorDeletion
        | EnvironmentStatus::Deprovisioned
        | EnvironmentStatus::ErrorCreation => {
            Err(problem(format!("environment `{name}` has no machine ({})", target.status))
                .hint("choose another one; `berth env list` shows those there are"))
        }
        _ => Ok(()),
    }
}
