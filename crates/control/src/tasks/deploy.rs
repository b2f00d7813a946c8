//! Makes hosts agree with rows: every instance whose newest generation its DTMA has not reported about is handed over
//! again, and every instance that is to go is removed there first.
//!
//! Environments are worked on at once, each in a task of its own, so that no host waits for another; the instances of
//! one after another. A host that does not answer is left alone for a growing while and its instances say so; the
//! first heartbeat of it ends the wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::dtma::InstanceSpec;
use domain::backoff::Backoff;
use domain::ids::{EnvironmentId, InstanceId, RegistryLoginId};
use domain::status::{EnvironmentStatus, InstanceStatus};
use serde::Serialize;
use store::departures::Departure;
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, ReportedBy};
use store::secrets::Handed;
use tokio::task::JoinSet;

use crate::app::problem::Chain;
use crate::app::registries::Handovers;
use crate::app::{App, Outcome, Problem, instance_events, instances, registries, secrets};
use crate::directory::now;
use crate::dtma_client::DtmaError;
use crate::reach::{Host, dialled_at, reach};
use crate::tasks::PERIOD;

/// For a host that does not answer, and for an instance that a host refuses.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(30),
    healthy_after: Duration::from_secs(30),
    crash_loop_after: u32::MAX,
};

/// What was done since the process started, and what is left.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Specs handed over.
    pub(crate) put: u64,
    /// Instances removed.
    pub(crate) deleted: u64,
    /// Hosts that let go of an instance that had left.
    pub(crate) left: u64,
    /// Instances that wait for their host, or that it refused, at the last look.
    pub(crate) waiting: usize,
    /// What went wrong with the last look itself.
    pub(crate) error: Option<String>,
}

/// Who is at work, and whom to leave alone until when. Only a memory of failures: losing it costs one try each.
#[derive(Debug, Default)]
pub(crate) struct Deployer {
    hosts: HashMap<EnvironmentId, Pause>,
    instances: HashMap<InstanceId, (u64, Pause)>,
    departures: HashMap<(InstanceId, EnvironmentId), Pause>,
    working: JoinSet<Worked>,
    /// By the task that works on it.
    busy: HashMap<tokio::task::Id, EnvironmentRow>,
    /// Environments with something due that were at work already.
    again: HashSet<EnvironmentId>,
    status: Status,
}

/// What became of the due instances of one environment.
type Worked = Outcome<Vec<Done>>;

#[derive(Debug, Clone, Copy)]
struct Pause {
    failures: u32,
    until: Instant,
    /// The heartbeat that the host had sent by then: a later one ends the pause.
    heartbeat: Option<domain::time::Timestamp>,
}

/// What there is to do in one environment.
#[derive(Debug, Default)]
struct Due {
    /// Instances to hand over or to remove.
    rows: Vec<InstanceRow>,
    /// What has left it.
    departures: Vec<Departure>,
}

#[derive(Debug)]
enum Done {
    Put(InstanceId),
    Deleted(InstanceId),
    Left(InstanceId),
    /// A host did not let go of it.
    Kept(InstanceId),
    Refused(InstanceId, u64),
    Outage,
}

impl Deployer {
    /// Looks, on a period and on a nudge, until the process stops.
    pub(crate) async fn run(mut self, app: &Arc<App>) {
        let mut look = true;
        loop {
            if look {
                self.status.error = self.look(app).await.err().map(|problem| {
                    tracing::warn!(error = %Chain(&problem), "deploying could not go on");
                    problem.to_string()
                });
            }
            app.statuses.set_deploy(self.status.clone());
            let wait = self.wait();
            // Everything is idempotent, so the tasks can be left at any point.
            look = tokio::select! {
                () = app.stop.cancelled() => break,
                Some(worked) = self.working.join_next_with_id() => self.finish(worked),
                () = app.deploy.notified() => true,
                () = tokio::time::sleep(wait) => true,
            };
        }
    }

    /// Starts work on every environment that has something due and is not at work.
    async fn look(&mut self, app: &Arc<App>) -> Outcome<()> {
        let environments = store::environments::list_all(&app.store).await?;
        let mut due: HashMap<EnvironmentId, Due> = HashMap::new();
        let mut pending = HashMap::new();
        let logins = Handovers::read(app).await?;
        let is_due = |row: &InstanceRow| is_due(row) || logins.is_due(row);
        // In this order, so that what departs in between is seen to have done so.
        let rows = store::instances::list_all(&app.store).await?;
        let departures = store::departures::list_all(&app.store).await?;
        for row in rows.into_iter().filter(is_due) {
            pending.insert(row.id, row.generation);
            if !row.deleting
                && let Some(departure) = departures::held_by(&departures, &row, now())
            {
                say(app, &row, row.status, &departures::waits(&environments, departure)).await?;
                continue;
            }
            // It has left since it was read: to hand it over now would start it where it is about to be removed.
            let leaves = |left: &Departure| left.environment == row.environment;
            if departures.get(&row.id).is_none_or(|of_it| !of_it.iter().any(leaves)) {
                due.entry(row.environment).or_default().rows.push(row);
            }
        }
        for departure in departures.into_values().flatten() {
            due.entry(departure.environment).or_default().departures.push(departure);
        }
        self.instances.retain(|id, (generation, _)| pending.get(id) == Some(generation));
        self.departures.retain(|(id, from), _| {
            due.get(from).is_some_and(|due| due.departures.iter().any(|left| left.instance == *id))
        });
        self.hosts.retain(|id, _| due.contains_key(id));
        self.status.waiting = pending.len();

        let now = Instant::now();
        for environment in environments {
            let Some(mut due) = due.remove(&environment.id) else { continue };
            if self.busy.values().any(|busy| busy.id == environment.id) {
                self.again.insert(environment.id);
                continue;
            }
            let paused = self.hosts.get(&environment.id).is_some_and(|pause| pause.holds(now, &environment));
            if paused {
                continue;
            }
            due.rows.retain(|row| !self.is_paused(row.id, now));
            due.departures.retain(|left| {
                let pause = self.departures.get(&(left.instance, left.environment));
                pause.is_none_or(|pause| !pause.holds(now, &environment))
            });
            if due.rows.is_empty() && due.departures.is_empty() {
                continue;
            }
            let (app, at_work) = (Arc::clone(app), environment.clone());
            let task = self.working.spawn(async move { serve(&app, &at_work, due).await });
            self.busy.insert(task.id(), environment);
        }
        Ok(())
    }

    /// Remembers what became of an environment's work; whether to look again at once.
    fn finish(&mut self, worked: Result<(tokio::task::Id, Worked), tokio::task::JoinError>) -> bool {
        let task = match &worked {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let Some(environment) = self.busy.remove(&task) else { return false };
        let done = match worked {
            Ok((_, Ok(done))) => done,
            Ok((_, Err(problem))) => {
                tracing::warn!(environment = %environment.name, error = %Chain(&problem), "deploying could not go on");
                vec![Done::Outage]
            }
            Err(error) => {
                tracing::error!(environment = %environment.name, %error, "deploying ended by a panic");
                vec![Done::Outage]
            }
        };
        let mut look = self.again.remove(&environment.id);
        for one in &done {
            self.remember(&environment, one);
            match one {
                Done::Put(_) => self.status.put += 1,
                Done::Deleted(_) => self.status.deleted += 1,
                Done::Left(_) => {
                    self.status.left += 1;
                    // Now it may start elsewhere.
                    look = true;
                    continue;
                }
                Done::Kept(_) | Done::Refused(..) | Done::Outage => continue,
            }
            self.status.waiting = self.status.waiting.saturating_sub(1);
        }
        look
    }

    /// Until the next pause ends, at most a period. One that has just ended must not make the loop spin.
    fn wait(&self) -> Duration {
        let instances = self.instances.values().map(|(_, pause)| pause);
        let pauses = self.hosts.values().chain(instances).chain(self.departures.values());
        let next = pauses.map(|pause| pause.until.saturating_duration_since(Instant::now())).min();
        next.map_or(PERIOD, |next| next.clamp(BACKOFF.first, PERIOD))
    }

    fn is_paused(&self, instance: InstanceId, now: Instant) -> bool {
        self.instances.get(&instance).is_some_and(|(_, pause)| now < pause.until)
    }

    fn remember(&mut self, environment: &EnvironmentRow, done: &Done) {
        match done {
            Done::Put(id) | Done::Deleted(id) => {
                self.hosts.remove(&environment.id);
                self.instances.remove(id);
            }
            Done::Left(id) => {
                self.hosts.remove(&environment.id);
                self.departures.remove(&(*id, environment.id));
            }
            Done::Kept(id) => {
                let key = (*id, environment.id);
                let failures = self.departures.get(&key).map_or(1, |pause| pause.failures.saturating_add(1));
                self.departures.insert(key, Pause::new(failures, environment));
            }
            Done::Refused(id, generation) => {
                let failures =
                    self.instances.get(id).map_or(1, |(_, pause)| pause.failures.saturating_add(1));
                self.instances.insert(*id, (*generation, Pause::new(failures, environment)));
            }
            Done::Outage => {
                let failures =
                    self.hosts.get(&environment.id).map_or(1, |pause| pause.failures.saturating_add(1));
                self.hosts.insert(environment.id, Pause::new(failures, environment));
            }
        }
    }
}

impl Pause {
    fn new(failures: u32, environment: &EnvironmentRow) -> Self {
        let until = Instant::now() + BACKOFF.wait(failures);
        Self { failures, until, heartbeat: environment.last_heartbeat_at }
    }

    fn holds(&self, now: Instant, environment: &EnvironmentRow) -> bool {
        now < self.until && environment.last_heartbeat_at == self.heartbeat
    }
}

fn is_due(row: &InstanceRow) -> bool {
    row.deleting || row.observed_generation < row.generation || row.status == InstanceStatus::PendingDeploy
}

/// Works on what is due of one environment; stops at the first sign that its host does not answer.
async fn serve(app: &App, environment: &EnvironmentRow, due: Due) -> Outcome<Vec<Done>> {
    let Due { rows, departures } = due;
    let host = match reach(environment, &app.keys, app.local) {
        Ok(host) => host,
        Err(error) => {
            say_all(app, &rows, &format!("environment `{}`: {error}", environment.name)).await?;
            return Ok(vec![Done::Outage]);
        }
    };
    let mut done = Vec::with_capacity(rows.len() + departures.len());
    for departure in &departures {
        match departures::let_go(app, &host, &environment.name, departure).await? {
            Ok(()) => done.push(Done::Left(departure.instance)),
            Err(DtmaError::Refused(detail)) => {
                tracing::warn!(environment = %environment.name, instance = %departure.instance, why = detail.message, "its host does not let go of an instance");
                done.push(Done::Kept(departure.instance));
            }
            Err(error) => {
                tracing::debug!(environment = %environment.name, error = %Chain(&error), "a host cannot be reached");
                let message =
                    format!("environment `{}`: {error}; it is tried again by itself", environment.name);
                say_all(app, &rows, &message).await?;
                done.push(Done::Outage);
                return Ok(done);
            }
        }
    }
    for (i, row) in rows.iter().enumerate() {
        let result =
            if row.deleting { remove(app, &host, row).await? } else { hand_over(app, &host, row).await? };
        match result {
            Ok(one) => done.push(one),
            Err(DtmaError::Refused(detail)) => {
                let hint = detail.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let message = format!("its host refused it: {}{hint}", detail.message);
                tracing::warn!(instance = %row.name, %message, "a spec was refused");
                if !is_due(row) {
                    // What it was asked to take is only a login; the instance is as it was.
                    done.push(Done::Refused(row.id, row.generation));
                    continue;
                }
                let status =
                    if row.deleting { InstanceStatus::Deleting } else { InstanceStatus::ErrorInstall };
                say(app, row, status, &message).await?;
                done.push(Done::Refused(row.id, row.generation));
            }
            Err(error) => {
                let known = what_is_known(environment);
                let message = format!(
                    "environment `{}`: {error}{known}; it is tried again by itself",
                    environment.name
                );
                // It is asked again who it is, and says so in its own status when it still does not answer.
                app.hosts.retain(|id| id != environment.id);
                tracing::debug!(environment = %environment.name, error = %Chain(&error), "a host cannot be reached");
                say_all(app, &rows[i..], &message).await?;
                done.push(Done::Outage);
                break;
            }
        }
    }
    Ok(done)
}

/// What explains that a host does not answer, in brackets.
fn what_is_known(environment: &EnvironmentRow) -> String {
    match (environment.status, dialled_at(environment)) {
        (EnvironmentStatus::AwaitingHeartbeat, _) => " (it has not reported yet)".to_owned(),
        (EnvironmentStatus::Unresponsive, _) => " (it does not report either)".to_owned(),
        (EnvironmentStatus::Active, Some(address)) => format!(" at {address}, though it reports"),
        (EnvironmentStatus::Active, None) => String::new(),
        (status, _) => format!(" (it is {status})"),
    }
}

async fn hand_over(app: &App, host: &Host, row: &InstanceRow) -> Outcome<Result<Done, DtmaError>> {
    let (spec, login, handed) = match spec_of(app, row).await {
        Ok(made) => made,
        // One row that cannot be read must not stop the others.
        Err(problem) => {
            let message = format!("its secrets cannot be read ({})", Chain(&problem));
            say(app, row, InstanceStatus::ErrorInstall, &message).await?;
            return Ok(Ok(Done::Refused(row.id, row.generation)));
        }
    };
    let report = match app.dtma.put(host, &spec).await {
        Ok(report) => report,
        Err(error) => return Ok(Err(error)),
    };
    let mut tx = app.store.begin().await?;
    store::registries::hand_over(&mut tx, row.id, login).await?;
    store::secrets::note_told(&mut tx, row.id, &handed).await?;
    let after = match report {
        Some(report) => {
            let by = ReportedBy::Answer;
            let at = now();
            let after = store::instances::record_report(&mut tx, row.environment, &report, by, at).await?;
            if let Some(after) = &after {
                instance_events::note(&mut tx, Some(row), after, at).await?;
            }
            after
        }
        None => None,
    };
    tx.commit().await?;
    show(app, after).await?;
    Ok(Ok(Done::Put(row.id)))
}

async fn remove(app: &App, host: &Host, row: &InstanceRow) -> Outcome<Result<Done, DtmaError>> {
    if let Err(error) = app.dtma.delete(host, row.id, row.generation).await {
        return Ok(Err(error));
    }
    let mut tx = app.store.begin().await?;
    match store::instances::delete(&mut tx, row.id).await {
        Ok(()) => tx.commit().await?,
        // Another replica was faster.
        Err(store::StoreError::NotFound { .. }) => return Ok(Ok(Done::Deleted(row.id))),
        Err(error) => return Err(error.into()),
    }
    app.directory.refresh().await?;
    instances::tell_removed(app, row);
    Ok(Ok(Done::Deleted(row.id)))
}

/// What the host is told, the id of the login that is in it, and which of the account's secrets are.
async fn spec_of(
    app: &App,
    row: &InstanceRow,
) -> Outcome<(InstanceSpec, Option<RegistryLoginId>, Vec<Handed>)> {
    let picture = app.directory.picture();
    let account = picture.account(row.account).ok_or_else(|| {
        // Its account goes only together with its instances, so this row is about to go.
        Problem::refused(api::errors::ErrorCode::NotFound, "its account is gone")
    })?;
    let login = registries::login_for(app, row.account, &row.spec.package).await?;
    let (login, registry) = login.unzip();
    let (secrets, handed) = secrets::of_instance(app, row).await?;
    let spec = InstanceSpec {
        id: row.id,
        account: account.clone(),
        name: row.name.clone(),
        generation: row.generation,
        desired: row.desired,
        restarts_asked: row.restarts_asked,
        package: row.spec.package.clone(),
        launch: row.spec.launch.clone(),
        env: row.spec.env.clone(),
        secrets,
        registry,
        limits: row.spec.limits.clone(),
        lease_seconds: row.spec.moving.failover.map(|failover| failover.lease_seconds),
        key: app.keys.instance_key(row.id),
    };
    Ok((spec, login, handed))
}

async fn say_all(app: &App, rows: &[InstanceRow], message: &str) -> Outcome<()> {
    // One whose host is only to be told a login is as it was.
    for row in rows.iter().filter(|row| is_due(row)) {
        say(app, row, row.status, message).await?;
    }
    Ok(())
}

/// Shows a state and a reason that the control plane found by itself.
///
/// # Errors
/// What the store says.
pub(crate) async fn say(app: &App, row: &InstanceRow, status: InstanceStatus, message: &str) -> Outcome<()> {
    if row.status == status && row.message.as_deref() == Some(message) {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    let after = store::instances::set_status(&mut tx, row, status, Some(message)).await?;
    if let Some(after) = &after {
        instance_events::note(&mut tx, Some(row), after, now()).await?;
    }
    tx.commit().await?;
    show(app, after).await
}

async fn show(app: &App, row: Option<InstanceRow>) -> Outcome<()> {
    let Some(row) = row else { return Ok(()) };
    app.directory.refresh().await?;
    app.tell(std::slice::from_ref(&row));
    Ok(())
}

mod departures;
#[cfg(test)]
mod tests;
