//! `berth env upgrade`: other host agents, in waves.

use std::time::Duration;

use api::upgrades::{Upgrade, UpgradeHostsRequest, UpgradeStatus};
use comfy_table::{Cell, Color};
use domain::waves::HostState;

use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Begins it, or shows how far the last one is; waits for its end when that is wanted.
pub(crate) async fn run(
    names: Vec<String>,
    all: bool,
    waves: Vec<String>,
    wait: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let begun = if names.is_empty() && !all {
        newest(client).await?
    } else {
        let request = UpgradeHostsRequest { environments: names, all, waves };
        Some(client.post("/upgrades", &request).await?)
    };
    let Some(mut upgrade) = begun else {
        output.say("no host was upgraded yet");
        output.hint("`berth env upgrade NAME --wait` or `--all --wait` does it");
        return Ok(());
    };
    if wait {
        upgrade = until_over(upgrade, client, output).await?;
    }
    show(&upgrade, output)?;
    match upgrade.state {
        UpgradeStatus::Failed => {
            let why = upgrade.message.as_deref().unwrap_or("a host could not be upgraded");
            let of_hosts: Vec<String> = upgrade
                .hosts
                .iter()
                .filter(|host| host.state == HostState::Failed)
                .map(|host| {
                    format!("{}: {}", host.environment, host.message.as_deref().unwrap_or("no reason"))
                })
                .collect();
            Err(CliError::failed(format!("the upgrade failed: {why} ({})", of_hosts.join("; "))))
        }
        UpgradeStatus::Running if !wait => {
            output.hint("`berth env upgrade --wait` waits for the end");
            Ok(())
        }
        UpgradeStatus::Running | UpgradeStatus::Done => Ok(()),
    }
}

async fn newest(client: &Client) -> Result<Option<Upgrade>, CliError> {
    let upgrades: Vec<Upgrade> = client.get("/upgrades").await?;
    Ok(upgrades.into_iter().next())
}

async fn until_over(begun: Upgrade, client: &Client, output: Output) -> Result<Upgrade, CliError> {
    let (mut steps, mut upgrade) = (output.steps(), begun);
    while upgrade.state == UpgradeStatus::Running {
        let done = upgrade.hosts.iter().filter(|host| host.state == HostState::Done).count();
        let under_way: Vec<&str> = upgrade
            .hosts
            .iter()
            .filter(|host| host.state == HostState::Started)
            .map(|host| host.environment.as_str())
            .collect();
        steps.show(&format!("{done} of {} done; now {}", upgrade.hosts.len(), under_way.join(", ")), None);
        tokio::time::sleep(LOOK).await;
        // The control plane may be started again meanwhile.
        let Ok(found) = client.get::<Vec<Upgrade>>("/upgrades").await else { continue };
        if let Some(found) = found.into_iter().find(|found| found.id == upgrade.id) {
            upgrade = found;
        }
    }
    steps.end();
    Ok(upgrade)
}

fn show(upgrade: &Upgrade, output: Output) -> Result<(), CliError> {
    if output.json() {
        return output.document(upgrade);
    }
    let rows = upgrade
        .hosts
        .iter()
        .map(|host| {
            let state = Cell::new(host.state.word());
            let state = match host.state {
                HostState::Waiting => state,
                HostState::Started => state.fg(Color::Yellow),
                HostState::Done => state.fg(Color::Green),
                HostState::Failed => state.fg(Color::Red),
            };
            [
                Cell::new(&host.environment),
                Cell::new(host.wave),
                state,
                Cell::new(host.message.as_deref().unwrap_or("")),
            ]
        })
        .collect();
    output.table(["NAME", "WAVE", "STATE", "WHY"], rows)
}
