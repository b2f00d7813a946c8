//! Which instances a host may go on running: the answer to its heartbeat.

use std::collections::HashMap;

use api::dtma::{Heartbeat, HeartbeatAnswer};
use domain::ids::InstanceId;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;

use crate::app::{App, Outcome};
use crate::directory::now;

/// What a heartbeat that was just written down is answered with. Read after that: whoever takes an environment for lost makes sure,
/// in the transaction that moves its instances, that no heartbeat was written down since. So either that one sees the heartbeat,
/// or this sees the move.
///
/// # Errors
/// What the store says.
pub(crate) async fn answer(
    app: &App,
    environment: &EnvironmentRow,
    heartbeat: &Heartbeat,
) -> Outcome<HeartbeatAnswer> {
    let rows = store::instances::list_by_environment(&app.store, environment.id).await?;
    let leased: Vec<&InstanceRow> =
        rows.iter().filter(|row| !row.deleting && row.spec.moving.failover.is_some()).collect();
    if leased.is_empty() {
        return Ok(HeartbeatAnswer::default());
    }
    let departures = store::departures::list_all(&app.store).await?;
    let reported: HashMap<InstanceId, u64> =
        heartbeat.instances.iter().map(|report| (report.id, report.generation)).collect();
    let at = now();
    let may_run = |row: &InstanceRow| {
        // An older spec may say a longer lease, or none.
        let is_told = reported.get(&row.id).is_some_and(|known| row.spec.moving.told_from <= *known);
        let is_free = departures.get(&row.id).is_none_or(|of_it| {
            of_it.iter().all(|left| left.environment == environment.id || !left.holds(at))
        });
        is_told && is_free
    };
    let granted = leased.into_iter().filter(|row| may_run(row)).map(|row| row.id);
    Ok(HeartbeatAnswer { leases: granted.collect() })
}
