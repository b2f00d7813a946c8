//! `berth secret set|own|list|remove`: the account's secrets.

use api::secrets::{SecretKept, SecretRequest, SecretUse, StoredSecret};
use comfy_table::Cell;
use domain::names::InstanceName;
use domain::vault::SecretName;

use crate::args::SecretCommand;
use crate::client::{Client, path_part};
use crate::error::{CliError, io_failure};
use crate::output::Output;

/// Does one of them.
pub(crate) async fn run(command: SecretCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        SecretCommand::Set { name, file, stdin: _, no_restart } => {
            let text = match &file {
                Some(file) => {
                    std::fs::read_to_string(file).map_err(|e| io_failure("read the secret from", file, e))?
                }
                None => std::io::read_to_string(std::io::stdin())
                    .map_err(|e| CliError::because("cannot read the secret from standard input", e))?,
            };
            let value = super::deploy::without_line_end(text);
            set(&name, &SecretRequest { value, restart: !no_restart }, client, output).await
        }
        SecretCommand::Own { instance, values, forget } => {
            super::own_values::run(&instance, values, forget, client, output).await
        }
        SecretCommand::List => list(client, output).await,
        SecretCommand::Remove { name } => {
            client.delete(&path(&name)).await?;
            output.say(&format!("removed the secret `{name}`"));
            Ok(())
        }
    }
}

async fn set(
    name: &SecretName,
    request: &SecretRequest,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let kept: SecretKept = client.put(&path(name), request).await?;
    if output.json() {
        return output.document(&kept);
    }
    output.say(&format!("kept version {} of `{name}`", kept.secret.version));
    if !kept.renewed.is_empty() {
        output.say(&format!("it goes to {}: those that run are restarted", listed(&kept.renewed)));
    }
    if !kept.left.is_empty() {
        output.say(&format!(
            "{} go on with an older version until they are started, restarted or moved",
            listed(&kept.left)
        ));
    }
    if kept.secret.used_by.is_empty() {
        output.hint(&format!("`berth deploy SERVER --secret KEY=secret:{name}` uses it"));
    }
    Ok(())
}

fn listed(names: &[InstanceName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let secrets: Vec<StoredSecret> = client.get("/secrets").await?;
    if output.json() {
        return output.document(&secrets);
    }
    let rows = secrets
        .iter()
        .map(|secret| {
            let by = secret
                .versions
                .first()
                .map(|newest| newest.created_by_name.as_deref().unwrap_or(&newest.created_by));
            [
                Cell::new(&secret.name),
                Cell::new(secret.version),
                Cell::new(super::instances::to_the_second(secret.updated_at)),
                Cell::new(by.unwrap_or("-")),
                Cell::new(users(secret)),
            ]
        })
        .collect();
    output.table(["NAME", "VERSION", "GIVEN", "BY", "USED BY"], rows)
}

fn users(secret: &StoredSecret) -> String {
    let one = |used: &SecretUse| match used.version {
        Some(version) if version != secret.version => {
            format!("{} as {} (version {version})", used.instance, used.variable)
        }
        _ => format!("{} as {}", used.instance, used.variable),
    };
    secret.used_by.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn path(name: &SecretName) -> String {
    format!("/secrets/{}", path_part(name.as_str()))
}
