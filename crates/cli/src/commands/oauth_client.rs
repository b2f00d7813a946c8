//! `berth client create|list|remove`: OAuth clients that are registered by hand.

use std::path::Path;

use api::oauth::{Client as Registered, CreateClientRequest, CreatedClient};
use comfy_table::Cell;

use crate::args::ClientCommand;
use crate::client::{Client, path_part};
use crate::commands::instances::to_the_second;
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(crate) async fn run(command: ClientCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        ClientCommand::Create { name, redirect_uris, public, jwks } => {
            let jwks = jwks.as_deref().map(read).transpose()?;
            let request = CreateClientRequest { name, redirect_uris, jwks, public };
            create(&request, client, output).await
        }
        ClientCommand::List => list(client, output).await,
        ClientCommand::Remove { which } => remove(&which, client, output).await,
    }
}

fn read(file: &Path) -> Result<serde_json::Value, CliError> {
    let shown = file.display();
    let text =
        std::fs::read(file).map_err(|error| CliError::because(format!("`{shown}` cannot be read"), error))?;
    serde_json::from_slice(&text)
        .map_err(|error| CliError::because(format!("`{shown}` is no JSON Web Key Set"), error))
}

async fn create(request: &CreateClientRequest, client: &Client, output: Output) -> Result<(), CliError> {
    let created: CreatedClient = client.post("/oauth/clients", request).await?;
    if output.json() {
        return output.document(&created);
    }
    output.data(&format!("client_id {}", created.client.id))?;
    if let Some(secret) = &created.client_secret {
        output.data(&format!("client_secret {}", secret.expose()))?;
        output.hint("this is the only time the secret is shown");
    }
    Ok(())
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let clients: Vec<Registered> = client.get("/oauth/clients").await?;
    if output.json() {
        return output.document(&clients);
    }
    let row = |one: &Registered| {
        let sent_to = if one.redirect_uris.is_empty() { "-".to_owned() } else { one.redirect_uris.join(" ") };
        [
            Cell::new(&one.name),
            Cell::new(sent_to),
            Cell::new(to_the_second(one.created_at)),
            Cell::new(one.last_used_at.map_or_else(|| "-".to_owned(), to_the_second)),
            Cell::new(&one.id),
        ]
    };
    output.table(["NAME", "SENT BACK TO", "CREATED", "LAST USED", "ID"], clients.iter().map(row).collect())
}

async fn remove(asked: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let clients: Vec<Registered> = client.get("/oauth/clients").await?;
    let found: Vec<&Registered> = clients.iter().filter(|one| one.id == asked || one.name == asked).collect();
    match found[..] {
        [one] => {
            client.delete(&format!("/oauth/clients/{}", path_part(&one.id))).await?;
            output.say(&format!("removed `{}`: its tokens open nothing any more", one.name));
            Ok(())
        }
        [] => Err(CliError::failed(format!("no client has the id or name `{asked}`"))
            .with_hint("`berth client list` shows them")),
        _ => Err(CliError::failed(format!("{} clients are named `{asked}`", found.len()))
            .with_hint("name it by its id: `berth client list` shows them")),
    }
}
