//! `berth grant list|revoke`: what people allowed OAuth clients.

use api::oauth::Grant;
use comfy_table::Cell;

use crate::args::GrantCommand;
use crate::client::{Client, path_part};
use crate::commands::instances::to_the_second;
use crate::error::CliError;
use crate::output::Output;

/// Does one of the two.
pub(crate) async fn run(command: GrantCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        GrantCommand::List => list(client, output).await,
        GrantCommand::Revoke { which } => revoke(&which, client, output).await,
    }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let grants: Vec<Grant> = client.get("/oauth/grants").await?;
    if output.json() {
        return output.document(&grants);
    }
    let row = |grant: &Grant| {
        let scopes: Vec<String> = grant.scopes.iter().map(ToString::to_string).collect();
        [
            Cell::new(&grant.client_name),
            Cell::new(if grant.sent_to.is_empty() { "itself" } else { &grant.sent_to }),
            Cell::new(&grant.user_name),
            Cell::new(grant.revoked_why.as_deref().unwrap_or("valid")),
            Cell::new(scopes.join(" ")),
            Cell::new(to_the_second(grant.created_at)),
            Cell::new(grant.last_used_at.map_or_else(|| "-".to_owned(), to_the_second)),
            Cell::new(grant.id),
        ]
    };
    output.table(
        ["CLIENT", "SENT BACK TO", "BY", "STATE", "SCOPES", "ALLOWED", "LAST USED", "ID"],
        grants.iter().map(row).collect(),
    )
}

async fn revoke(asked: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let grants: Vec<Grant> = client.get("/oauth/grants").await?;
    let is_it = |grant: &&Grant| {
        grant.revoked_at.is_none() && (grant.id.to_string() == asked || grant.client_name == asked)
    };
    let live: Vec<&Grant> = grants.iter().filter(is_it).collect();
    match live[..] {
        [grant] => {
            client.delete(&format!("/oauth/grants/{}", path_part(&grant.id.to_string()))).await?;
            output.say(&format!("revoked what `{}` was allowed: it has to ask again", grant.client_name));
            Ok(())
        }
        [] => Err(CliError::failed(format!("nothing that is valid was allowed to `{asked}`"))
            .with_hint("`berth grant list` shows what was")),
        _ => Err(CliError::failed(format!("`{asked}` was allowed {} things", live.len()))
            .with_hint("name one by its id: `berth grant list` shows them")),
    }
}
