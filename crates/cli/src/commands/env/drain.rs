//! `berth env drain`: everything that can move away leaves a machine.

use std::collections::BTreeMap;
use std::time::Duration;

use api::instances::Instance;
use api::moves::{Drain, Drained};
use comfy_table::Cell;
use domain::names::InstanceName;
use domain::status::InstanceStatus;

use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// How often is looked how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// Cordons it and moves its instances; done when nothing that can move is left.
pub(super) async fn run(name: &str, wait: bool, client: &Client, output: Output) -> Result<(), CliError> {
    let mut interrupts = crate::commands::interrupts()?;
    let path = format!("{}/drain", path_of(name));
    let mut drain: Drain = client.act(&path).await?;
    let mut all: BTreeMap<InstanceName, Drained> = BTreeMap::new();
    note(&mut all, &drain);
    let mut steps = output.steps();
    let mut interrupted = false;
    while wait && !interrupted && !is_over(&all, &drain, client).await? {
        let left = drain.leaving.len();
        steps.show(&format!("{name}: {left} left to be let go of, the others start elsewhere"), None);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = interrupts.recv() => interrupted = true,
        }
        drain = client.act(&path).await?;
        note(&mut all, &drain);
    }
    steps.end();
    let stuck = all.values().filter(|one| one.can_move && one.moved_to.is_none()).count();
    drain.instances = all.into_values().collect();
    if output.json() {
        output.document(&drain)?;
    } else {
        show(&drain, output)?;
    }
    if interrupted {
        output.say("no longer waiting; what has left goes on moving");
        return Err(CliError::Said);
    }
    if stuck == 0 {
        return Ok(());
    }
    let what = if stuck == 1 { "an instance" } else { "instances" };
    Err(CliError::failed(format!("`{name}` still has {what} that could move: {stuck}"))
        .with_hint("add a machine with `berth env add`, or make room, and drain it again"))
}

/// The newest word on each counts, but for those that have left: they are not told again.
fn note(all: &mut BTreeMap<InstanceName, Drained>, drain: &Drain) {
    for one in &drain.instances {
        all.insert(one.name.clone(), one.clone());
    }
}

/// Whether waiting has an end: the host has let go of all, and what left runs elsewhere or cannot.
async fn is_over(
    all: &BTreeMap<InstanceName, Drained>,
    drain: &Drain,
    client: &Client,
) -> Result<bool, CliError> {
    if !drain.leaving.is_empty() {
        return Ok(false);
    }
    let instances: Vec<Instance> = client.get("/instances").await?;
    let is_moving = |instance: &Instance| {
        let status = instance.status;
        all.get(&instance.name).is_some_and(|one| one.moved_to.is_some())
            && matches!(
                status,
                InstanceStatus::PendingDeploy | InstanceStatus::Installing | InstanceStatus::Starting
            )
    };
    Ok(!instances.iter().any(is_moving))
}

fn show(drain: &Drain, output: Output) -> Result<(), CliError> {
    let rows = drain
        .instances
        .iter()
        .map(|one| {
            let to = one.moved_to.as_ref().map_or("(stays)", |to| to.as_str());
            [Cell::new(&one.name), Cell::new(to), Cell::new(one.why.as_deref().unwrap_or("-"))]
        })
        .collect();
    output.table(["NAME", "MOVED TO", "WHY IT STAYS"], rows)?;
    if drain.instances.is_empty() {
        output.say(&format!("`{}` has no instances left, and takes no new ones", drain.environment));
    }
    for name in &drain.leaving {
        output.say(&format!("`{name}` starts elsewhere once `{}` has let go of it", drain.environment));
    }
    Ok(())
}
