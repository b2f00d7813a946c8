//! Makes the provider agree with rows: every droplet that is wanted is made once and no other is left.
//!
//! One look asks for everything that carries Berth's tag. Each environment with something to do has a task of its own, so that
//! none waits for another. What a task does next, [`domain::provisioning::plan`] decides from the row and that look; before
//! anything that cannot be repeated the row says that it may have happened. So a task can be left at any point, and the
//! next one goes on.

mod act;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use digitalocean::{Droplet, Error};
use domain::backoff::Backoff;
use domain::ids::EnvironmentId;
use domain::provisioning::Wish;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use serde::Serialize;
use store::droplets::DropletRow;
use tokio::task::{AbortHandle, JoinSet};

use crate::app::problem::Chain;
use crate::app::{App, Outcome};
use crate::provider::{Provider, common_tag, environment_of};

/// For a provider that does not answer or refuses.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(2),
    longest: Duration::from_mins(2),
    healthy_after: Duration::from_secs(30),
    crash_loop_after: u32::MAX,
};

/// What the last look found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Environments whose machine is a droplet.
    pub(crate) environments: usize,
    /// Those of them whose droplet is being made or destroyed.
    pub(crate) under_way: usize,
    /// Steps that were carried out since the process started.
    pub(crate) steps: u64,
    /// Droplets with Berth's tags that belong to no environment here. They cost money, and are another control plane's or lost.
    pub(crate) strays: Vec<u64>,
    /// What went wrong with the last look.
    pub(crate) error: Option<String>,
}

/// Who is at work.
pub(crate) struct Reconciler {
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    working: JoinSet<Outcome<u64>>,
    busy: HashMap<tokio::task::Id, (EnvironmentId, Wish, AbortHandle)>,
    status: Status,
}

impl Reconciler {
    /// One that goes by this clock.
    pub(crate) fn new(clock: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        Self { clock, working: JoinSet::new(), busy: HashMap::new(), status: Status::default() }
    }

    /// Looks, on a period and on a nudge, until the process stops. Without a provider there is nothing to look at.
    pub(crate) async fn run(mut self, app: &Arc<App>) {
        let Some(period) = app.provider.as_ref().map(|provider| provider.period) else { return };
        let mut look = true;
        loop {
            if look {
                self.look(app).await;
            }
            app.statuses.set_droplets(self.status.clone());
            let wait = if self.status.under_way == 0 { period } else { period / 3 };
            look = tokio::select! {
                () = app.stop.cancelled() => break,
                Some(worked) = self.working.join_next_with_id() => {
                    self.finish(worked);
                    false
                }
                () = app.droplets.notified() => true,
                () = tokio::time::sleep(wait) => true,
            };
        }
    }

    /// One look, and a task for every environment that is not at work.
    pub(crate) async fn look(&mut self, app: &Arc<App>) {
        let spawned = self.spawn(app).await;
        self.status.error = spawned.err().map(|problem| {
            tracing::warn!(error = %Chain(&problem), "droplets could not be looked after");
            problem.to_string()
        });
    }

    async fn spawn(&mut self, app: &Arc<App>) -> Outcome<()> {
        let Some(provider) = &app.provider else { return Ok(()) };
        let rows = store::droplets::list_all(&app.store).await?;
        self.status.environments = rows.len();
        if rows.is_empty() {
            self.status.under_way = 0;
            return Ok(());
        }
        // Nobody waits for a droplet that is not wanted any more.
        for (id, wish, abort) in self.busy.values() {
            if rows.iter().any(|row| row.environment == *id && row.wish != *wish) {
                abort.abort();
            }
        }
        let mut found = look_around(provider).await;
        if let Err(error) = &found {
            tracing::debug!(%error, "DigitalOcean does not say which droplets there are");
        }
        self.status.under_way = 0;
        for row in rows {
            let its = match &mut found {
                Ok(found) => Ok(found.remove(&row.environment).unwrap_or_default()),
                Err(error) => Err(error.to_string()),
            };
            let environment = store::environments::by_id(&app.store, row.environment).await?;
            let Some(environment) = environment else { continue };
            self.status.under_way += usize::from(is_under_way(environment.status, &row));
            if self.busy.values().any(|(busy, ..)| *busy == row.environment) {
                continue;
            }
            let (app, clock) = (Arc::clone(app), Arc::clone(&self.clock));
            let (id, wish) = (row.environment, row.wish);
            let task = self.working.spawn(async move { act::serve(&app, &clock, id, its).await });
            self.busy.insert(task.id(), (id, wish, task));
        }
        if let Ok(found) = found {
            self.note_strays(found.into_values().flatten().map(|droplet| droplet.id).collect());
        }
        Ok(())
    }

    /// What is not ours to destroy is named once.
    fn note_strays(&mut self, mut strays: Vec<u64>) {
        strays.sort_unstable();
        if !strays.is_empty() && strays != self.status.strays {
            tracing::warn!(droplets = ?strays, "these carry Berth's tags and belong to no environment here; they cost money");
        }
        self.status.strays = strays;
    }

    fn finish(&mut self, worked: Result<(tokio::task::Id, Outcome<u64>), tokio::task::JoinError>) {
        let task = match &worked {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        self.busy.remove(&task);
        match worked {
            Ok((_, Ok(steps))) => self.status.steps += steps,
            Ok((_, Err(problem))) => {
                tracing::warn!(error = %Chain(&problem), "a droplet could not be looked after");
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(%error, "looking after a droplet ended by a panic"),
        }
    }
}

/// All droplets that carry Berth's tag and an environment's, by environment.
async fn look_around(provider: &Provider) -> Result<HashMap<EnvironmentId, Vec<Droplet>>, Error> {
    let tag = common_tag().map_err(|error| Error::Unsendable { field: "tags", reason: error.to_string() })?;
    let mut found: HashMap<EnvironmentId, Vec<Droplet>> = HashMap::new();
    for droplet in provider.quick.droplets_by_tag(&tag).await? {
        if let Some(id) = droplet.tags.iter().find_map(|tag| environment_of(tag)) {
            found.entry(id).or_default().push(droplet);
        }
    }
    Ok(found)
}

fn is_under_way(status: EnvironmentStatus, row: &DropletRow) -> bool {
    use EnvironmentStatus::{
        AwaitingHeartbeat, Creating, Deleting, ErrorCreation, ErrorDeletion, Provisioning,
    };
    let cleaning = status == ErrorCreation && row.firewall != domain::provisioning::Firewall::None;
    cleaning || matches!(status, Creating | Provisioning | AwaitingHeartbeat | Deleting | ErrorDeletion)
}

#[cfg(test)]
mod tests;
