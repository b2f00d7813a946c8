//! Asks every host that reports and is dialled, once after its first heartbeat and then until it answers, who it is: a
//! host can reach the control plane and not be reached by it, or the address can be another's.

use domain::status::EnvironmentStatus;
use serde::Serialize;
use store::environments::EnvironmentRow;
use tokio::task::JoinSet;

use crate::app::environments::tell;
use crate::app::problem::Chain;
use crate::app::{App, Outcome};
use crate::reach::{Host, dialled_at, reach};

/// What the last pass found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Hosts that report and cannot be dialled.
    pub(crate) unreached: usize,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

/// One pass.
pub(crate) async fn pass(app: &App) -> Status {
    match ask_all(app).await {
        Ok(unreached) => Status { unreached, error: None },
        Err(problem) => {
            tracing::warn!(error = %Chain(&problem), "hosts could not be asked who they are");
            Status { unreached: 0, error: Some(problem.to_string()) }
        }
    }
}

async fn ask_all(app: &App) -> Outcome<usize> {
    let mut rows = store::environments::list_all(&app.store).await?;
    rows.retain(|row| row.status == EnvironmentStatus::Active && dialled_at(row).is_some());
    app.hosts.retain(|id| rows.iter().any(|row| row.id == id));
    rows.retain(|row| !app.hosts.has_answered(row.id));
    let mut asked = JoinSet::new();
    for row in rows {
        // A row that does not say how its host is reached shows that at each of its instances.
        let Ok(host) = reach(&row, &app.keys, app.local) else { continue };
        let dtma = app.dtma.clone();
        asked.spawn(async move { (ask(&dtma, &host, &row).await, row) });
    }
    let mut unreached = 0;
    while let Some(done) = asked.join_next().await {
        let Ok((answer, row)) = done else { continue };
        let before = app.hosts.why(row.id);
        match answer {
            Ok(()) => app.hosts.answered(row.id),
            Err(why) => {
                unreached += 1;
                app.hosts.failed(row.id, why);
            }
        }
        let after = app.hosts.why(row.id);
        if before != after {
            if let Some(why) = &after {
                tracing::warn!(environment = %row.name, why, "it reports and cannot be dialled");
            }
            tell(app, row).await?;
        }
    }
    Ok(unreached)
}

async fn ask(dtma: &crate::dtma_client::DtmaClient, host: &Host, row: &EnvironmentRow) -> Result<(), String> {
    match dtma.info(host).await {
        Ok(info) if info.environment == row.id => Ok(()),
        Ok(_) => Err("the DTMA there is another environment's".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
