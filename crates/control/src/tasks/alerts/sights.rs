//! Everything that can be broken, as the rows have it now.

use std::collections::HashMap;

use domain::alerts::{self, AlertKind, Sight};
use domain::ids::{AccountId, EnvironmentId};
use domain::spec::DesiredState;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;

use crate::app::{App, Outcome};

/// One thing that can be broken.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) kind: AlertKind,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) account: AccountId,
    /// Of an instance.
    pub(super) environment: Option<String>,
    pub(super) sight: Sight,
    /// What is wrong, when something is.
    pub(super) message: String,
}

/// All of them.
pub(super) async fn all(app: &App) -> Outcome<Vec<Subject>> {
    let environments = store::environments::list_all(&app.store).await?;
    let instances = store::instances::list_all(&app.store).await?;
    let hosts: HashMap<EnvironmentId, &EnvironmentRow> =
        environments.iter().map(|row| (row.id, row)).collect();
    let mut subjects: Vec<Subject> = environments.iter().flat_map(of_environment).collect();
    subjects.extend(
        instances.iter().filter_map(|row| Some(of_instance(row, hosts.get(&row.environment).copied()?))),
    );
    Ok(subjects)
}

fn of_environment(row: &EnvironmentRow) -> [Subject; 3] {
    let name = &row.name;
    let subject = |kind, sight, message| Subject {
        kind,
        id: row.id.to_string(),
        name: name.to_string(),
        account: row.account,
        environment: None,
        sight,
        message,
    };
    let last = row.last_heartbeat_at.map(|at| format!(" since {at}")).unwrap_or_default();
    let why = row.provisioning_error_message.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let (room, percent) = alerts::room(row.status, row.health.as_ref().map(|health| &health.system));
    [
        subject(
            AlertKind::EnvironmentUnresponsive,
            alerts::responsiveness(row.status),
            format!("environment `{name}` has not reported{last}"),
        ),
        subject(
            AlertKind::DiskNearlyFull,
            room,
            format!("the disk of environment `{name}` is {} % full", percent.unwrap_or_default()),
        ),
        subject(
            AlertKind::ProvisioningFailed,
            alerts::provisioning(row.status),
            format!("environment `{name}` is {}{why}", row.status),
        ),
    ]
}

fn of_instance(row: &InstanceRow, host: &EnvironmentRow) -> Subject {
    let why = row.message.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    // What its owner wants to rest is not missed.
    let sight = match row.desired {
        _ if row.deleting => Sight::Gone,
        DesiredState::Stopped => Sight::Well,
        DesiredState::Running => alerts::instance(row.status, host.status),
    };
    Subject {
        kind: AlertKind::InstanceFailed,
        id: row.id.to_string(),
        name: row.name.to_string(),
        account: row.account,
        environment: Some(host.name.to_string()),
        sight,
        message: format!("instance `{}` in environment `{}` is {}{why}", row.name, host.name, row.status),
    }
}
