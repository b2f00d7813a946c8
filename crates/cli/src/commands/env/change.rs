//! `berth env rename`, `cordon`, `uncordon` and `label`: what people want of a machine.

use api::environments::{ChangeEnvironmentRequest, Environment};

use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Gives it another name.
pub(super) async fn rename(name: &str, new: String, client: &Client, output: Output) -> Result<(), CliError> {
    let request = ChangeEnvironmentRequest { name: Some(new), ..ChangeEnvironmentRequest::default() };
    let changed = change(name, &request, client, output).await?;
    output.say(&format!("`{name}` is called `{}` now", changed.name));
    Ok(())
}

/// Lets it take no new instances, or take them again.
pub(super) async fn cordon(
    name: &str,
    cordoned: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let request =
        ChangeEnvironmentRequest { cordoned: Some(cordoned), ..ChangeEnvironmentRequest::default() };
    let changed = change(name, &request, client, output).await?;
    output.say(&if cordoned {
        format!("`{}` takes no new instances; the {} that it has go on", changed.name, changed.instances)
    } else {
        format!("`{}` takes new instances", changed.name)
    });
    Ok(())
}

/// Sets labels and takes others away.
pub(super) async fn label(
    name: &str,
    labels: Vec<(String, Option<String>)>,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let request = ChangeEnvironmentRequest {
        labels: labels.into_iter().collect(),
        ..ChangeEnvironmentRequest::default()
    };
    let changed = change(name, &request, client, output).await?;
    let all: Vec<String> = changed.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let all = if all.is_empty() { "no labels".to_owned() } else { all.join(" ") };
    output.say(&format!("`{}` has {all}", changed.name));
    Ok(())
}

async fn change(
    name: &str,
    request: &ChangeEnvironmentRequest,
    client: &Client,
    output: Output,
) -> Result<Environment, CliError> {
    let changed: Environment = client.patch(&path_of(name), request).await?;
    if output.json() {
        output.document(&changed)?;
    }
    Ok(changed)
}
