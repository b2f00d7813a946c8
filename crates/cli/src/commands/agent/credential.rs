//! `berth agent credential add|list|remove`: what an agent brings to its members.

use api::agents::{Credential, CredentialRequest};
use comfy_table::Cell;
use domain::secret::Secrets;
use domain::toolbelts::CredentialStatus;

use super::path;
use crate::args::CredentialCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(super) async fn run(command: CredentialCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        CredentialCommand::Add { agent, instance, values: typed, credential_type, account } => {
            let mut values = Secrets::new();
            for (key, text) in typed {
                let value = crate::commands::deploy::secret_value(&key, text)?;
                if values.insert(key.clone(), value).is_some() {
                    return Err(CliError::usage(format!("`{key}` is given twice")));
                }
            }
            let request = CredentialRequest {
                instance,
                credential_type,
                values,
                account_identifier: account,
                status: CredentialStatus::Active,
            };
            let kept: Credential = client.post(&path(&agent, "/credentials"), &request).await?;
            if output.json() {
                return output.document(&kept);
            }
            let names = kept.names.join(", ");
            output.say(&format!(
                "kept {names}; calls of `{}` by `{agent}` have it within ten seconds",
                kept.instance
            ));
            if !kept.is_used {
                output.hint(&format!(
                    "its server is not given it: deploy `{}` with `--each-caller {}`, and have it shown in the toolbelt",
                    kept.instance,
                    kept.names.first().map_or("KEY", String::as_str)
                ));
            }
            Ok(())
        }
        CredentialCommand::List { agent } => {
            let all: Vec<Credential> = client.get(&path(&agent, "/credentials")).await?;
            if output.json() { output.document(&all) } else { table(&all, output) }
        }
        CredentialCommand::Remove { agent, id } => {
            client.delete(&path(&agent, &format!("/credentials/{}", path_part(&id)))).await?;
            output.say(&format!("removed it: calls by `{agent}` go without within ten seconds"));
            Ok(())
        }
    }
}

/// Credentials, for people.
pub(super) fn table(all: &[Credential], output: Output) -> Result<(), CliError> {
    let row = |one: &Credential| {
        [
            Cell::new(&one.instance),
            Cell::new(one.names.join(", ")),
            Cell::new(&one.credential_type),
            Cell::new(one.account_identifier.as_deref().unwrap_or("-")),
            Cell::new(one.status),
            Cell::new(if one.is_used { "yes" } else { "no" }),
            Cell::new(one.id),
        ]
    };
    output.table(
        ["INSTANCE", "VALUES OF", "TYPE", "ACCOUNT", "STATUS", "USED", "ID"],
        all.iter().map(row).collect(),
    )
}
