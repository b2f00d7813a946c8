//! Reads the sources of the catalog, each about once an hour and when somebody asks. Without sources it does nothing.

use serde::Serialize;

use crate::app::problem::Chain;
use crate::app::{App, catalog};
use crate::tasks::PERIOD;

/// What the last look did.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Sources that were read.
    pub(crate) read: usize,
    /// Why it could not look.
    pub(crate) error: Option<String>,
}

/// Looks, on a period and on a nudge, until the process stops. Each step can be left at any point and done again.
pub(crate) async fn run(app: &App) {
    loop {
        let looked = tokio::select! {
            () = app.stop.cancelled() => break,
            looked = catalog::pass(app) => looked,
        };
        let status = match looked {
            Ok(read) => Status { read, error: None },
            Err(problem) => {
                tracing::warn!(error = %Chain(&problem), "the sources of the catalog could not be looked at");
                Status { read: 0, error: Some(problem.to_string()) }
            }
        };
        app.statuses.set_catalog(status);
        tokio::select! {
            () = app.stop.cancelled() => break,
            () = app.catalog.nudge.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}
