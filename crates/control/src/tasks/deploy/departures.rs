//! Hosts that are to let go of what left them. An instance that moves is handed over only afterwards.

use std::collections::BTreeMap;

use domain::ids::InstanceId;
use domain::names::EnvironmentName;
use domain::time::Timestamp;
use store::departures::Departure;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;

use crate::app::{App, Outcome};
use crate::dtma_client::DtmaError;
use crate::reach::Host;

/// All departures, by instance.
pub(super) type Departures = BTreeMap<InstanceId, Vec<Departure>>;

/// The departure for which an instance has to wait, because it may still run where it left from.
pub(super) fn held_by<'a>(
    departures: &'a Departures,
    row: &InstanceRow,
    now: Timestamp,
) -> Option<&'a Departure> {
    let of_it = departures.get(&row.id)?;
    of_it.iter().find(|departure| departure.environment != row.environment && departure.holds(now))
}

/// What an instance says that waits.
pub(super) fn waits(environments: &[EnvironmentRow], departure: &Departure) -> String {
    let from = environments.iter().find(|environment| environment.id == departure.environment);
    let Some(from) = from else { return "it waits until the host that it left lets go of it".to_owned() };
    let since = silent(from).map_or_else(String::new, |silent| {
        format!(
            ", which {silent}; if that host is gone for good, `berth env remove {}` ends the wait",
            from.name
        )
    });
    format!("it waits until `{}` lets go of it{since}", from.name)
}

fn silent(environment: &EnvironmentRow) -> Option<String> {
    if environment.status == domain::status::EnvironmentStatus::Active {
        return None;
    }
    Some(match environment.last_heartbeat_at {
        Some(at) => format!("has not reported since {at}"),
        None => "has not reported yet".to_owned(),
    })
}

/// Has a host let go of an instance; `Err` when it does not.
pub(super) async fn let_go(
    app: &App,
    host: &Host,
    environment: &EnvironmentName,
    departure: &Departure,
) -> Outcome<Result<(), DtmaError>> {
    if let Err(error) = app.dtma.delete(host, departure.instance, departure.generation).await {
        return Ok(Err(error));
    }
    let mut tx = app.store.begin().await?;
    store::departures::confirm(&mut tx, departure).await?;
    tx.commit().await?;
    app.directory.refresh().await?;
    tracing::info!(
        %environment, instance = %departure.instance, why = departure.why.word(), "its host has let go of an instance"
    );
    Ok(Ok(()))
}
