//! The machines together: what people want of each, and which takes an instance that may go anywhere.

use std::collections::{BTreeMap, HashMap};

use api::environments::{ChangeEnvironmentRequest, Environment};
use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::{AccountId, EnvironmentId};
use domain::placement::{Candidate, LabelError, Labels, TYPICAL_MEMORY_MIB, Wanted, place};
use domain::spec::{DesiredState, Limits};
use domain::status::EnvironmentStatus;
use serde_json::json;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use store::policies::Policy;

use crate::app::audit::{self, Act};
use crate::app::environments::{check_name, find, rendered, taken, tell};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;
use crate::reach::is_local;

/// In the place of an environment's name: whichever has most room.
pub(crate) const AUTO: &str = "auto";
/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// Changes an environment's name, labels, or whether it takes new instances, for an admin.
///
/// # Errors
/// 403, 404 with the nearest name, 409 for a name that is taken, 422.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ChangeEnvironmentRequest,
) -> Outcome<Environment> {
    caller.require(Role::Admin)?;
    let mut row = find(app, caller, name).await?;
    let new = request.name.as_deref().map(check_name).transpose()?.filter(|new| *new != row.name);
    if new.is_some() && is_local(&row) {
        let message = format!("`{}` is the control plane's own machine", row.name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .field("name")
            .hint("it keeps its name: it is where instances go when nobody says where"));
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    // Held from here on, so that of two changes at once neither takes back the other.
    let before = store::policies::hold(&mut tx, row.id).await?;
    let policy = changed(&before, request)?;
    let detail = json!({ "name": new, "cordoned": request.cordoned, "labels": request.labels });
    let act = Act {
        action: "environment.change",
        kind: "environment",
        id: row.id.to_string(),
        name: row.name.as_str(),
        detail,
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    if policy != before {
        store::policies::set(&mut tx, row.id, &policy).await?;
    }
    if let Some(new) = &new {
        row =
            store::environments::rename(&mut tx, row.id, new, at).await.map_err(|error| taken(error, new))?;
    }
    tx.commit().await?;
    app.directory.refresh().await?;
    tell(app, row.clone()).await?;
    rendered(app, row).await
}

/// What is wanted of an environment after a request.
fn changed(before: &Policy, request: &ChangeEnvironmentRequest) -> Outcome<Policy> {
    let mut labels = BTreeMap::from(before.labels.clone());
    for (key, value) in &request.labels {
        match value {
            Some(value) => labels.insert(key.clone(), value.clone()),
            None => labels.remove(key),
        };
    }
    let labels = Labels::set(labels).map_err(|error| about_label("labels", &error))?;
    Ok(Policy { cordoned: request.cordoned.unwrap_or(before.cordoned), labels })
}

fn about_label(field: &'static str, error: &LabelError) -> Problem {
    Problem::invalid(field, error).hint("a label is written KEY=VALUE, such as `gpu=yes`")
}

/// The environment, if it takes new instances.
///
/// # Errors
/// 409 when it is cordoned.
pub(crate) async fn open(app: &App, caller: &Caller, environment: EnvironmentRow) -> Outcome<EnvironmentRow> {
    let policies = store::policies::of_account(&app.store, caller.account).await?;
    if !policies.get(&environment.id).is_some_and(|policy| policy.cordoned) {
        return Ok(environment);
    }
    let message = format!("environment `{}` is cordoned: it takes no new instances", environment.name);
    Err(Problem::refused(ErrorCode::Conflict, message).field("environment").hint(format!(
        "choose another with `--env`, or let it take them again with `berth env uncordon {}`",
        environment.name
    )))
}

/// The account's environment that has most room for an instance, `except` not among them.
///
/// # Errors
/// 409 with the reason of each environment when none takes it, 422 for a label that cannot be.
pub(crate) async fn choose(
    app: &App,
    account: AccountId,
    limits: &Limits,
    labels: &BTreeMap<String, String>,
    except: Option<EnvironmentId>,
) -> Outcome<EnvironmentRow> {
    let labels =
        Labels::try_from(labels.clone()).map_err(|error| about_label("environment_labels", &error))?;
    let wanted = Wanted { memory_mib: limits.memory_mib.unwrap_or(TYPICAL_MEMORY_MIB), labels };
    let mut rows = store::environments::list(&app.store, account).await?;
    rows.retain(|row| Some(row.id) != except);
    let mut policies = store::policies::of_account(&app.store, account).await?;
    let mut loads: HashMap<EnvironmentId, (u64, u64)> = HashMap::new();
    for instance in store::instances::list(&app.store, account).await? {
        let (count, promised) = loads.entry(instance.environment).or_default();
        *count += 1;
        *promised += unmeasured(&instance);
    }
    let candidates: Vec<Candidate> = rows
        .iter()
        .map(|row| {
            let policy = policies.remove(&row.id).unwrap_or_default();
            let (instances, promised_mib) = loads.get(&row.id).copied().unwrap_or_default();
            let system = row.health.as_ref().map(|health| &health.system);
            Candidate {
                name: row.name.clone(),
                is_active: row.status == EnvironmentStatus::Active,
                is_cordoned: policy.cordoned,
                labels: policy
                    .labels
                    .with_facts(row.droplet.region_slug.as_deref(), row.droplet.size_slug.as_deref()),
                memory_mib: system
                    .map(|system| (system.memory.total_bytes / MIB, system.memory.free_bytes / MIB)),
                cpu_load_percent: system.map_or(0.0, |system| system.cpu_load_percent),
                promised_mib,
                instances,
            }
        })
        .collect();
    match place(&wanted, &candidates) {
        Ok(index) => Ok(rows.swap_remove(index)),
        Err(why) => Err(Problem::refused(ErrorCode::Conflict, format!("no environment takes it: {why}"))
            .field("environment")
            .hint("add a machine with `berth env add`, or ask for less with `--memory`")),
    }
}

/// Memory in MiB that an instance will use on its host, and that the host has not measured yet.
fn unmeasured(instance: &InstanceRow) -> u64 {
    let is_measured = instance.report.as_ref().is_some_and(|report| report.metrics.is_some());
    if is_measured || instance.deleting || instance.desired != DesiredState::Running {
        return 0;
    }
    instance.spec.limits.memory_mib.unwrap_or(TYPICAL_MEMORY_MIB)
}
