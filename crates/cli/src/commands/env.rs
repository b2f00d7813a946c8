//! `berth env …`: the machines.

mod add;
mod answers;
mod change;
pub(super) mod check;
mod cleanup;
mod drain;
mod droplets;
mod enrol;
mod logs;
mod remove;
mod revoke;
mod show;
mod strays;
mod upgrade;

use api::environments::{Environment, EnvironmentToken};
use comfy_table::{Cell, Color};
use domain::status::EnvironmentStatus;

use super::instances::to_the_second;
use crate::args::{EnvAddCommand, EnvCommand, EnvOptionsCommand};
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does what was asked.
pub(crate) async fn run(command: EnvCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        EnvCommand::List => list(client, output).await,
        EnvCommand::Show { name } => show::run(&name, client, output).await,
        EnvCommand::Add(EnvAddCommand::Host(args)) => add::host(args, client, output).await,
        EnvCommand::Add(EnvAddCommand::DigitalOcean(args)) => droplets::add(args, client, output).await,
        EnvCommand::Options(EnvOptionsCommand::DigitalOcean) => droplets::options(client, output).await,
        EnvCommand::Strays { destroy, yes } => strays::run(destroy, yes, client, output).await,
        EnvCommand::Enrol { name } => enrol::run(&name, client, output).await,
        EnvCommand::Revoke { name, yes } => revoke::run(&name, yes, client, output).await,
        EnvCommand::Rename { name, new } => change::rename(&name, new, client, output).await,
        EnvCommand::Cordon { name } => change::cordon(&name, true, client, output).await,
        EnvCommand::Uncordon { name } => change::cordon(&name, false, client, output).await,
        EnvCommand::Drain { name, wait } => drain::run(&name, wait, client, output).await,
        EnvCommand::Label { name, labels } => change::label(&name, labels, client, output).await,
        EnvCommand::Upgrade { names, all, wave, wait } => {
            upgrade::run(names, all, wave, wait, client, output).await
        }
        EnvCommand::Logs { name, follow, tail } => logs::run(&name, follow, tail, client, output).await,
        EnvCommand::Check { name } => check::run(&name, client, output).await,
        EnvCommand::Token { name } => token(&name, client, output).await,
        EnvCommand::Cleanup { name, dry_run, yes } => cleanup::run(&name, dry_run, yes, client, output).await,
        EnvCommand::Remove { name, yes, no_wait } => remove::run(&name, yes, no_wait, client, output).await,
    }
}

/// The path of one environment.
fn path_of(name: &str) -> String {
    format!("/environments/{}", path_part(name))
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let environments: Vec<Environment> = client.get("/environments").await?;
    if output.json() {
        return output.document(&environments);
    }
    let rows = environments
        .iter()
        .map(|environment| {
            [
                Cell::new(&environment.name),
                status_cell(environment),
                Cell::new(environment.instances),
                version_cell(environment),
                Cell::new(environment.last_heartbeat_at.map_or_else(|| "-".to_owned(), to_the_second)),
                Cell::new(address(environment)),
            ]
        })
        .collect();
    output.table(["NAME", "STATUS", "INSTANCES", "DTMA", "LAST HEARTBEAT", "ADDRESS"], rows)?;
    if environments.iter().any(|environment| environment.outdated) {
        output.hint("`berth env upgrade --all --wait` makes outdated host agents what the control plane is");
    }
    for environment in &environments {
        if let Some(message) = &environment.message {
            output.warn(&format!("{}: {message}", environment.name));
        }
    }
    Ok(())
}

fn version_cell(environment: &Environment) -> Cell {
    let version = environment.dtma_version.as_deref().unwrap_or("-");
    if environment.outdated {
        return Cell::new(format!("{version}, outdated")).fg(Color::Yellow);
    }
    Cell::new(version)
}

fn address(environment: &Environment) -> &str {
    match &environment.address {
        Some(address) => address,
        None if environment.name.as_str() == "local" => "(the control plane's machine)",
        None => "(its own tunnel)",
    }
}

fn status_cell(environment: &Environment) -> Cell {
    let word = environment.status.word();
    let cell = Cell::new(if environment.cordoned { format!("{word}, cordoned") } else { word.to_owned() });
    match environment.status {
        EnvironmentStatus::Active => cell.fg(Color::Green),
        EnvironmentStatus::Creating
        | EnvironmentStatus::Provisioning
        | EnvironmentStatus::AwaitingHeartbeat
        | EnvironmentStatus::Deleting => cell.fg(Color::Yellow),
        EnvironmentStatus::Unresponsive
        | EnvironmentStatus::ErrorCreation
        | EnvironmentStatus::ErrorProvisioning
        | EnvironmentStatus::ErrorDeletion
        | EnvironmentStatus::Deprovisioned => cell.fg(Color::Red),
    }
}

/// The token alone goes to standard output, so that it can be piped to where it belongs.
async fn token(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let shown: EnvironmentToken = client.act(&format!("{}/token", path_of(name))).await?;
    if output.json() {
        return output.document(&shown);
    }
    output.data(shown.token.expose())?;
    output.hint(&format!(
        "whoever has it may do everything on `{}` that its control plane may; this was noted in the audit",
        shown.environment
    ));
    Ok(())
}
