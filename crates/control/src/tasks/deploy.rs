//! Makes hosts agree with rows: every instance whose newest generation its DTMA has not reported about is handed over
//! again, and every instance that is to go is removed there first.
//!
//! Environments are worked on at once, the instances of one after another. A host that does not answer is left alone
//! for a growing while and its instances say so; the first heartbeat of it ends the wait.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use api::dtma::InstanceSpec;
use domain::backoff::Backoff;
use domain::ids::{EnvironmentId, InstanceId};
use domain::status::{EnvironmentStatus, InstanceStatus};
use futures_util::future::join_all;
use serde::Serialize;
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, ReportedBy};

use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem, instances};
use crate::directory::now;
use crate::dtma_client::DtmaError;
use crate::reach::{Host, reach};

/// For a host that does not answer, and for an instance that a host refuses.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(30),
    healthy_after: Duration::from_secs(30),
    crash_loop_after: u32::MAX,
};

/// What the last pass did.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Specs handed over.
    pub(crate) put: usize,
    /// Instances removed.
    pub(crate) deleted: usize,
    /// Instances that wait for their host, or that it refused.
    pub(crate) waiting: usize,
    /// Milliseconds until the next of them is due.
    pub(crate) next_try_ms: Option<u64>,
    /// What went wrong with the pass itself.
    pub(crate) error: Option<String>,
}

/// When whom to leave alone. Only a memory of failures: losing it costs one try each.
#[derive(Debug, Default)]
pub(crate) struct Deployer {
    hosts: HashMap<EnvironmentId, Pause>,
    instances: HashMap<InstanceId, (u64, Pause)>,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    failures: u32,
    until: Instant,
    /// The heartbeat that the host had sent by then: a later one ends the pause.
    heartbeat: Option<domain::time::Timestamp>,
}

enum Done {
    Put(InstanceId),
    Deleted(InstanceId),
    Refused(InstanceId, u64),
    Outage,
}

impl Deployer {
    /// One pass over everything.
    pub(crate) async fn pass(&mut self, app: &App) -> Status {
        match self.reconcile(app).await {
            Ok(status) => status,
            Err(problem) => {
                tracing::warn!(error = %Chain(&problem), "deploying could not go on");
                Status { error: Some(problem.to_string()), ..Status::default() }
            }
        }
    }

    async fn reconcile(&mut self, app: &App) -> Outcome<Status> {
        let environments = store::environments::list_all(&app.store).await?;
        let mut due: HashMap<EnvironmentId, Vec<InstanceRow>> = HashMap::new();
        let mut pending = HashMap::new();
        for row in store::instances::list_all(&app.store).await?.into_iter().filter(is_due) {
            pending.insert(row.id, row.generation);
            due.entry(row.environment).or_default().push(row);
        }
        self.instances.retain(|id, (generation, _)| pending.get(id) == Some(generation));
        self.hosts.retain(|id, _| due.contains_key(id));

        let now = Instant::now();
        let work = environments.iter().filter_map(|environment| {
            let rows = due.remove(&environment.id)?;
            let paused = self.hosts.get(&environment.id).is_some_and(|pause| pause.holds(now, environment));
            let rows: Vec<InstanceRow> =
                rows.into_iter().filter(|row| !paused && !self.is_paused(row.id, now)).collect();
            (!rows.is_empty()).then_some(async move { (environment, serve(app, environment, rows).await) })
        });
        let results = join_all(work.collect::<Vec<_>>()).await;

        let mut status = Status::default();
        for (environment, result) in results {
            for done in result? {
                self.remember(environment, &done);
                match done {
                    Done::Put(_) => status.put += 1,
                    Done::Deleted(_) => status.deleted += 1,
                    Done::Refused(..) | Done::Outage => {}
                }
            }
        }
        status.waiting = pending.len().saturating_sub(status.put + status.deleted);
        let pauses = self.hosts.values().chain(self.instances.values().map(|(_, pause)| pause));
        let wait = pauses.map(|pause| pause.until.saturating_duration_since(Instant::now())).min();
        // A pause that has just ended must not make the loop spin.
        status.next_try_ms =
            wait.map(|wait| u64::try_from(wait.max(BACKOFF.first).as_millis()).unwrap_or(u64::MAX));
        Ok(status)
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

/// Works on the due instances of one environment; stops at the first sign that its host does not answer.
async fn serve(app: &App, environment: &EnvironmentRow, rows: Vec<InstanceRow>) -> Outcome<Vec<Done>> {
    let host = match reach(environment, &app.keys, app.local) {
        Ok(host) => host,
        Err(error) => {
            say_all(app, &rows, &format!("environment `{}`: {error}", environment.name)).await?;
            return Ok(vec![Done::Outage]);
        }
    };
    let mut done = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let result =
            if row.deleting { remove(app, &host, row).await? } else { hand_over(app, &host, row).await? };
        match result {
            Ok(one) => done.push(one),
            Err(DtmaError::Refused(detail)) => {
                let hint = detail.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let message = format!("its host refused it: {}{hint}", detail.message);
                tracing::warn!(instance = %row.name, %message, "a spec was refused");
                let status =
                    if row.deleting { InstanceStatus::Deleting } else { InstanceStatus::ErrorInstall };
                say(app, row, status, &message).await?;
                done.push(Done::Refused(row.id, row.generation));
            }
            Err(error) => {
                let known = match environment.status {
                    EnvironmentStatus::AwaitingHeartbeat => " (it has not reported yet)",
                    EnvironmentStatus::Active | EnvironmentStatus::Unresponsive => "",
                };
                let message = format!(
                    "environment `{}`: {error}{known}; it is tried again by itself",
                    environment.name
                );
                tracing::debug!(environment = %environment.name, error = %Chain(&error), "a host cannot be reached");
                say_all(app, &rows[i..], &message).await?;
                done.push(Done::Outage);
                break;
            }
        }
    }
    Ok(done)
}

async fn hand_over(app: &App, host: &Host, row: &InstanceRow) -> Outcome<Result<Done, DtmaError>> {
    let spec = match spec_of(app, row) {
        Ok(spec) => spec,
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
    if let Some(report) = report {
        let mut tx = app.store.begin().await?;
        let after =
            store::instances::record_report(&mut tx, row.environment, &report, ReportedBy::Answer, now())
                .await?;
        tx.commit().await?;
        show(app, after).await?;
    }
    Ok(Ok(Done::Put(row.id)))
}

async fn remove(app: &App, host: &Host, row: &InstanceRow) -> Outcome<Result<Done, DtmaError>> {
    if let Err(error) = app.dtma.delete(host, row.id).await {
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

fn spec_of(app: &App, row: &InstanceRow) -> Outcome<InstanceSpec> {
    let picture = app.directory.picture();
    let account = picture.account(row.account).ok_or_else(|| {
        // Its account goes only together with its instances, so this row is about to go.
        Problem::refused(api::errors::ErrorCode::NotFound, "its account is gone")
    })?;
    Ok(InstanceSpec {
        id: row.id,
        account: account.clone(),
        name: row.name.clone(),
        generation: row.generation,
        desired: row.desired,
        restarts_asked: row.restarts_asked,
        package: row.spec.package.clone(),
        launch: row.spec.launch.clone(),
        env: row.spec.env.clone(),
        secrets: app.keys.unseal_all(row.id.0, row.secrets_sealed.as_deref())?,
        limits: row.spec.limits.clone(),
        key: app.keys.instance_key(row.id),
    })
}

async fn say_all(app: &App, rows: &[InstanceRow], message: &str) -> Outcome<()> {
    for row in rows {
        say(app, row, row.status, message).await?;
    }
    Ok(())
}

async fn say(app: &App, row: &InstanceRow, status: InstanceStatus, message: &str) -> Outcome<()> {
    if row.status == status && row.message.as_deref() == Some(message) {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    let after = store::instances::set_status(&mut tx, row.id, row.generation, status, Some(message)).await?;
    tx.commit().await?;
    show(app, after).await
}

async fn show(app: &App, row: Option<InstanceRow>) -> Outcome<()> {
    let Some(row) = row else { return Ok(()) };
    app.directory.refresh().await?;
    app.tell(std::slice::from_ref(&row));
    Ok(())
}
