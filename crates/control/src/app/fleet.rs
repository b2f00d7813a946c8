//! The machines together: what people want of each, and which takes an instance that may go anywhere.

use std::collections::{BTreeMap, HashMap};

use api::environments::{ChangeEnvironmentRequest, Environment};
use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::{AccountId, EnvironmentId};
use domain::names::EnvironmentName;
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
/// Words that are paths of pages where the others are of environments.
const PAGES: [&str; 3] = ["add", "droplet", "upgrades"];
/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// What a word stands for that is no environment's name.
pub(crate) fn stands_for(text: &str) -> Option<&'static str> {
    match text {
        AUTO => Some("whichever environment has most room"),
        text if PAGES.contains(&text) => Some("a page beside those of environments"),
        _ => None,
    }
}

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
    Ok(Policy { cordoned: request.cordoned.unwrap_or(before.cordoned), labels: check_labels(labels)? })
}

/// Labels that an environment may be given.
///
/// # Errors
/// 422.
pub(crate) fn check_labels(labels: BTreeMap<String, String>) -> Outcome<Labels> {
    Labels::set(labels).map_err(|error| about_label("labels", &error))
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
    let mut places = Places::look(app, account, except).await?;
    let index = places.find(limits, labels)?;
    Ok(places.rows.swap_remove(index))
}

/// An account's machines, as whoever needs a place looks at them.
#[derive(Debug)]
pub(crate) struct Places {
    rows: Vec<EnvironmentRow>,
    candidates: Vec<Candidate>,
}

impl Places {
    /// All of them, `except` not among them.
    pub(crate) async fn look(app: &App, account: AccountId, except: Option<EnvironmentId>) -> Outcome<Self> {
        let mut rows = store::environments::list(&app.store, account).await?;
        rows.retain(|row| Some(row.id) != except);
        let mut policies = store::policies::of_account(&app.store, account).await?;
        let mut loads: HashMap<EnvironmentId, (u64, u64)> = HashMap::new();
        for instance in store::instances::list(&app.store, account).await? {
            let (count, promised) = loads.entry(instance.environment).or_default();
            *count += 1;
            *promised += unmeasured(&instance);
        }
        let candidates = rows.iter().map(|row| {
            let policy = policies.remove(&row.id).unwrap_or_default();
            candidate(row, &policy, loads.get(&row.id).copied().unwrap_or_default())
        });
        let candidates = candidates.collect();
        Ok(Self { rows, candidates })
    }

    /// Gives an instance the place with most room, so that the next one finds less.
    ///
    /// # Errors
    /// 409 with the reason of each environment when none takes it.
    pub(crate) fn take(&mut self, instance: &InstanceRow) -> Outcome<EnvironmentName> {
        let index = self.find(&instance.spec.limits, Labels::default())?;
        let candidate = self.candidates.get_mut(index).ok_or_else(no_place)?;
        candidate.instances += 1;
        if instance.desired == DesiredState::Running {
            candidate.promised_mib += memory_of(&instance.spec.limits);
        }
        Ok(candidate.name.clone())
    }

    fn find(&self, limits: &Limits, labels: Labels) -> Outcome<usize> {
        let wanted = Wanted { memory_mib: memory_of(limits), labels };
        place(&wanted, &self.candidates).map_err(|why| {
            let why = why.to_string();
            let why = if why.is_empty() { "there is none to choose from" } else { &why };
            Problem::refused(ErrorCode::Conflict, format!("no environment takes it: {why}"))
                .field("environment")
                .hint("add a machine with `berth env add`, or ask for less with `--memory`")
        })
    }
}

fn no_place() -> Problem {
    Problem::refused(ErrorCode::Conflict, "no environment takes it").field("environment")
}

/// A machine with how many instances it has, and the memory in MiB that those will use which it has not measured.
fn candidate(row: &EnvironmentRow, policy: &Policy, (instances, promised_mib): (u64, u64)) -> Candidate {
    let system = row.health.as_ref().map(|health| &health.system);
    Candidate {
        name: row.name.clone(),
        is_active: row.status == EnvironmentStatus::Active,
        is_cordoned: policy.cordoned,
        labels: policy
            .labels
            .with_facts(row.droplet.region_slug.as_deref(), row.droplet.size_slug.as_deref()),
        memory_mib: system.map(|system| (system.memory.total_bytes / MIB, system.memory.free_bytes / MIB)),
        cpu_load_percent: system.map_or(0.0, |system| system.cpu_load_percent),
        promised_mib,
        instances,
    }
}

/// Memory in MiB that an instance is taken to need.
fn memory_of(limits: &Limits) -> u64 {
    limits.memory_mib.unwrap_or(TYPICAL_MEMORY_MIB)
}

/// Memory in MiB that an instance will use on its host, and that the host has not measured yet.
fn unmeasured(instance: &InstanceRow) -> u64 {
    let is_measured = instance.report.as_ref().is_some_and(|report| report.metrics.is_some());
    if is_measured || instance.deleting || instance.desired != DesiredState::Running {
        return 0;
    }
    memory_of(&instance.spec.limits)
}
