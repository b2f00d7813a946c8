//! Environments whose DTMA has missed three heartbeats become unresponsive; the next heartbeat heals them.
//!
//! It also makes the gateway's picture anew, for changes that another process made.

use std::time::Duration;

use serde::Serialize;

use crate::app::environments::{self, before};
use crate::app::problem::Chain;
use crate::app::{App, Outcome};
use crate::directory::now;

/// What the last pass did.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Environments that became unresponsive.
    pub(crate) silenced: usize,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// One pass. `up` is how long this process has listened: what was sent before, it could not hear.
pub(crate) async fn pass(app: &App, up: Duration) -> Status {
    match silence(app, up).await {
        Ok(silenced) => Status { silenced, error: None },
        Err(problem) => {
            tracing::warn!(error = %Chain(&problem), "the liveness of environments could not be checked");
            Status { silenced: 0, error: Some(problem.to_string()) }
        }
    }
}

async fn silence(app: &App, up: Duration) -> Outcome<usize> {
    app.directory.refresh().await?;
    if up < app.silence() {
        return Ok(0);
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    let rows = store::environments::mark_unresponsive(&mut tx, before(at, app.silence()), at).await?;
    tx.commit().await?;
    if rows.is_empty() {
        return Ok(0);
    }
    app.directory.refresh().await?;
    let count = rows.len();
    for row in rows {
        tracing::warn!(environment = %row.name, "it has missed three heartbeats");
        let instances = store::instances::list_by_environment(&app.store, row.id).await?;
        environments::tell(app, row).await?;
        app.tell(&instances);
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
