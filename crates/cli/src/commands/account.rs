//! `berth account list|create`: the tenants of an installation.

use api::accounts::{Account, CreateAccountRequest};
use comfy_table::Cell;

use super::member::role_word;
use crate::args::AccountCommand;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Does one of the two.
pub(crate) async fn run(command: AccountCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        AccountCommand::List => list(client, output).await,
        AccountCommand::Create { name } => {
            let made: Account = client.post("/accounts", &CreateAccountRequest { name }).await?;
            if output.json() {
                return output.document(&made);
            }
            output.say(&format!("made the account `{}`, whose owner you are", made.name));
            output.hint(&format!(
                "`berth token create NAME --account {}` makes a token of yours for it",
                made.name
            ));
            Ok(())
        }
    }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let accounts: Vec<Account> = client.get("/accounts").await?;
    if output.json() {
        return output.document(&accounts);
    }
    let rows = accounts
        .iter()
        .map(|account| {
            [
                Cell::new(&account.name),
                Cell::new(account.role.map_or("-", role_word)),
                Cell::new(super::instances::to_the_second(account.created_at)),
            ]
        })
        .collect();
    output.table(["ACCOUNT", "YOUR ROLE", "MADE"], rows)
}
