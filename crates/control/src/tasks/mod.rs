//! Reconcilers: idempotent functions without input, run on a period and on a nudge. Each leaves a status that can be
//! read.

pub(crate) mod alerts;
pub(crate) mod catalog;
pub(crate) mod changes;
pub(crate) mod deploy;
pub(crate) mod dialled;
pub(crate) mod droplets;
pub(crate) mod failover;
pub(crate) mod liveness;
#[cfg(test)]
pub(crate) mod stage;
pub(crate) mod upgrades;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::app::App;

/// How often what is due is looked for without a nudge.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// What each reconciler last did.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    alerts: Mutex<alerts::Status>,
    catalog: Mutex<catalog::Status>,
    changes: Mutex<changes::Status>,
    deploy: Mutex<deploy::Status>,
    dialled: Mutex<dialled::Status>,
    droplets: Mutex<droplets::Status>,
    failover: Mutex<failover::Status>,
    liveness: Mutex<liveness::Status>,
    upgrades: Mutex<upgrades::Status>,
}

/// The statuses as they are written.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct StatusView {
    /// Of [`alerts`].
    pub(crate) alerts: alerts::Status,
    /// Of [`catalog`].
    pub(crate) catalog: catalog::Status,
    /// Of [`changes`].
    pub(crate) changes: changes::Status,
    /// Of [`deploy`].
    pub(crate) deploy: deploy::Status,
    /// Of [`dialled`].
    pub(crate) dialled: dialled::Status,
    /// Of [`droplets`].
    pub(crate) droplets: droplets::Status,
    /// Of [`failover`].
    pub(crate) failover: failover::Status,
    /// Of [`liveness`].
    pub(crate) liveness: liveness::Status,
    /// Of [`upgrades`].
    pub(crate) upgrades: upgrades::Status,
}

impl Statuses {
    /// All of them.
    pub(crate) fn view(&self) -> StatusView {
        StatusView {
            alerts: self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            changes: self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            catalog: self.catalog.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            deploy: self.deploy.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            dialled: self.dialled.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            droplets: self.droplets.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            failover: self.failover.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            liveness: self.liveness.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            upgrades: self.upgrades.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn set_alerts(&self, status: alerts::Status) {
        *self.alerts.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_catalog(&self, status: catalog::Status) {
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_changes(&self, status: changes::Status) {
        *self.changes.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_deploy(&self, status: deploy::Status) {
        *self.deploy.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_dialled(&self, status: dialled::Status) {
        *self.dialled.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_droplets(&self, status: droplets::Status) {
        *self.droplets.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_failover(&self, status: failover::Status) {
        *self.failover.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_upgrades(&self, status: upgrades::Status) {
        *self.upgrades.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn set_liveness(&self, status: liveness::Status) {
        *self.liveness.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// Runs all reconcilers until the process stops.
pub(crate) async fn run(app: Arc<App>) {
    let deploy = deploy::Deployer::default().run(&app);
    // Often enough that silence is noticed within a third of a heartbeat.
    let tick = app.silence() / 9;
    let liveness = async {
        let started = std::time::Instant::now();
        loop {
            tokio::select! {
                () = app.stop.cancelled() => break,
                () = tokio::time::sleep(tick) => {}
            }
            app.statuses.set_liveness(liveness::pass(&app, started.elapsed()).await);
        }
    };
    let dialled = async {
        loop {
            tokio::select! {
                () = app.stop.cancelled() => break,
                () = tokio::time::sleep(tick) => {}
            }
            app.statuses.set_dialled(dialled::pass(&app).await);
        }
    };
    let failover = async {
        let mut watch = failover::Watch::new();
        loop {
            app.statuses.set_failover(watch.pass(&app).await);
            tokio::select! {
                () = app.stop.cancelled() => break,
                () = tokio::time::sleep(tick) => {}
            }
        }
    };
    let droplets = droplets::Reconciler::new(Arc::new(crate::directory::now)).run(&app);
    let upgrades = upgrades::run(&app);
    tokio::join!(
        deploy,
        liveness,
        dialled,
        droplets,
        failover,
        alerts::run(&app),
        changes::run(&app),
        upgrades,
        catalog::run(&app)
    );
}
