//! `berth list|start|stop|restart|remove`: the short ones on instances.

use api::instances::Instance;
use comfy_table::Cell;
use domain::time::Timestamp;

use crate::args::RemoveArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, status_cell};

/// All instances of the account.
pub(crate) async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let instances: Vec<Instance> = client.get("/instances").await?;
    if output.json() {
        return output.document(&instances);
    }
    let rows = instances
        .iter()
        .map(|instance| {
            [
                Cell::new(&instance.name),
                Cell::new(&instance.environment),
                status_cell(instance.status),
                Cell::new(instance.version.as_deref().unwrap_or("-")),
                Cell::new(&instance.url),
            ]
        })
        .collect();
    output.table(["NAME", "ENVIRONMENT", "STATUS", "VERSION", "URL"], rows)?;
    if instances.is_empty() {
        output.say("nothing is deployed");
        output.hint("`berth catalog search` shows what can be, `berth deploy NAME --wait` deploys it");
    }
    for instance in &instances {
        if let Some(message) = &instance.message {
            output.warn(&format!("{}: {message}", instance.name));
        }
    }
    Ok(())
}

/// Wants it running.
pub(crate) async fn start(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    act(name, "start", client, output).await
}

/// Wants it stopped.
pub(crate) async fn stop(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    act(name, "stop", client, output).await
}

/// Restarts its server.
pub(crate) async fn restart(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    act(name, "restart", client, output).await
}

/// Removes it for good, after asking.
pub(crate) async fn remove(args: &RemoveArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let name = &args.name;
    if !args.yes {
        let instance = client.instance(name).await?;
        confirm(&instance, output)?;
    }
    let removed = client.delete(&Client::instance_path(name, "")).await;
    client.with_nearest(name, removed).await?;
    output.say(&format!("removing `{name}`; its name is free again as soon as its host has let go of it"));
    Ok(())
}

async fn act(name: &str, verb: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let answer = client.act(&Client::instance_path(name, &format!("/{verb}"))).await;
    let instance: Instance = client.with_nearest(name, answer).await?;
    if output.json() {
        return output.document(&instance);
    }
    output.say(&format!("asked to {verb} `{name}`: {}", instance.status));
    output.hint(&format!("`berth status {name}` shows how it goes"));
    Ok(())
}

/// Removing cannot be taken back, so it is never done without a yes.
fn confirm(instance: &Instance, output: Output) -> Result<(), CliError> {
    let unasked = CliError::usage(format!("removing `{}` cannot be taken back", instance.name))
        .with_hint("say so with `--yes`");
    let question =
        format!("Remove `{}` ({}, {}) and all it stored?", instance.name, instance.package, instance.status);
    output.confirm(&format!("{question} This cannot be taken back."), unasked)
}

/// A point in time to the second, in UTC.
pub(crate) fn to_the_second(time: Timestamp) -> String {
    Timestamp(time.0 - time.0.rem_euclid(1_000_000)).to_string()
}
