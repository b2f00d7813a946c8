//! Whether an instance takes calls.

use domain::spec::DesiredState;
use domain::status::InstanceStatus;
use gateway::NotServed;
use store::instances::InstanceRow;

/// Whether an instance takes calls, as far as its row says. Where there is, or may be, a shim, it knows best how its server
/// is, and lets a call wait for one that is starting; the row is older than what it knows.
pub(super) fn why_not_served(row: &InstanceRow) -> Result<(), NotServed> {
    if row.deleting {
        return Err(NotServed::Unknown);
    }
    if row.spec.launch.container.is_some() {
        return Err(NotServed::Tool);
    }
    if row.desired == DesiredState::Stopped {
        return Err(NotServed::Stopped);
    }
    let step = |word: &str| match row.report.as_ref().and_then(|report| report.progress.as_ref()) {
        Some(progress) => progress.step.clone(),
        None => word.to_owned(),
    };
    let failed = || row.message.clone().unwrap_or_else(|| "it gave no reason".to_owned());
    match row.status {
        InstanceStatus::Running | InstanceStatus::Asleep | InstanceStatus::ErrorRuntime => Ok(()),
        // Said by its DTMA there is a shim; before that it is what its owner asked for.
        InstanceStatus::Starting if row.observed_generation == row.generation => Ok(()),
        // It ran until it was asked to be started anew: what runs still takes calls, until its host hears of it.
        InstanceStatus::Starting if row.report.as_ref().is_some_and(|last| last.status.is_well()) => Ok(()),
        InstanceStatus::PendingDeploy => Err(NotServed::Starting { step: "waiting for its host".to_owned() }),
        InstanceStatus::Installing => Err(NotServed::Starting { step: step("installing") }),
        InstanceStatus::Starting | InstanceStatus::Stopping | InstanceStatus::Stopped => {
            Err(NotServed::Starting { step: "starting".to_owned() })
        }
        InstanceStatus::ErrorInstall => Err(NotServed::Failed { message: failed() }),
        InstanceStatus::Deleting => Err(NotServed::Unknown),
    }
}
