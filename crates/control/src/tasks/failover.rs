//! Instances with a lease whose environment is lost are moved to another one.
//!
//! How long an environment was silent is counted by this process alone, from when it first looked: a control plane that was away
//! heard nobody and knows nothing. It looks at what the table says of heartbeats, so several control planes agree.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use domain::ids::EnvironmentId;
use domain::lease::Silence;
use domain::spec::DesiredState;
use serde::Serialize;
use store::departures::Why;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;

use crate::app::moves::{self, Lost, Parting};
use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem};
use crate::tasks::deploy::say;

/// What was done since the process started, and what is left.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Instances moved.
    pub(crate) moved: u64,
    /// Instances of lost environments that could not be moved, at the last look, and why.
    pub(crate) staying: BTreeMap<String, String>,
    /// What went wrong with the last look itself.
    pub(crate) error: Option<String>,
}

/// Listens for silence.
#[derive(Debug)]
pub(crate) struct Watch {
    started: Instant,
    silences: HashMap<EnvironmentId, Silence>,
    status: Status,
}

impl Watch {
    /// Begins to listen.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), silences: HashMap::new(), status: Status::default() }
    }

    /// Looks once.
    pub(crate) async fn pass(&mut self, app: &App) -> Status {
        self.status.error = self.look(app).await.err().map(|problem| {
            tracing::warn!(error = %Chain(&problem), "lost environments could not be looked for");
            problem.to_string()
        });
        self.status.clone()
    }

    async fn look(&mut self, app: &App) -> Outcome<()> {
        let environments = store::environments::list_all(&app.store).await?;
        // Read after the table: what came in between counts as heard later, which is the safe side.
        let now = self.started.elapsed();
        let mut silent: HashMap<EnvironmentId, (EnvironmentRow, Duration)> = HashMap::new();
        for row in environments {
            let heard = row.last_heartbeat_at;
            let silence = self.silences.entry(row.id).or_insert(Silence::new(heard, now));
            silent.insert(row.id, (row, silence.observe(heard, now)));
        }
        self.silences.retain(|id, _| silent.contains_key(id));
        self.status.staying.clear();
        if silent.values().all(|(_, silent)| *silent < app.silence()) {
            return Ok(());
        }
        for row in store::instances::list_all(&app.store).await? {
            let Some((environment, silent)) = silent.get(&row.environment) else { continue };
            if is_lost(&row, *silent)
                && let Err(why) = self.rescue(app, environment, &row).await?
            {
                let message = format!("its environment `{}` is lost, and {why}", environment.name);
                say(app, &row, row.status, &message).await?;
                self.status.staying.insert(row.name.to_string(), why);
            }
        }
        Ok(())
    }

    /// Moves an instance; otherwise why it stays.
    async fn rescue(
        &mut self,
        app: &App,
        environment: &EnvironmentRow,
        row: &InstanceRow,
    ) -> Outcome<Result<(), String>> {
        if let Some(why) = moves::stays(&row.spec) {
            return Ok(Err(format!("it cannot be moved: {why}")));
        }
        if !row.is_bound() {
            let why = "it cannot be moved, because its host did not confirm its lease and may still run it";
            return Ok(Err(why.to_owned()));
        }
        let target = match moves::elsewhere(app, row).await {
            Ok(target) => target,
            Err(Problem::Refused(detail)) => {
                return Ok(Err(format!("{}; it is tried again", detail.message)));
            }
            Err(problem) => return Err(problem),
        };
        let lost = Some(Lost { heard: environment.last_heartbeat_at });
        let parting = Parting { why: Why::Failover, actor: "failover".to_owned(), lost };
        match moves::transfer(app, row, &target, parting).await {
            Ok(Some(_)) => {
                tracing::warn!(from = %environment.name, to = %target.name, instance = %row.name, "moved away from a lost environment");
                self.status.moved += 1;
                Ok(Ok(()))
            }
            // It was heard again, or its owner was faster.
            Ok(None) => Ok(Ok(())),
            Err(Problem::Refused(detail)) => Ok(Err(format!("{}; it is tried again", detail.message))),
            Err(problem) => Err(problem),
        }
    }
}

fn is_lost(row: &InstanceRow, silent: Duration) -> bool {
    let lost_after = row.spec.moving.failover.map(domain::lease::Failover::lost_after);
    !row.deleting
        && row.desired == DesiredState::Running
        && lost_after.is_some_and(|lost_after| lost_after <= silent)
}

#[cfg(test)]
mod tests;
