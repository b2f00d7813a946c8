//! `berth env …`: the machines.

mod cleanup;

use api::environments::EnvironmentToken;

use crate::args::EnvCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does what was asked.
pub(crate) async fn run(command: EnvCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        EnvCommand::Token { name } => token(&name, client, output).await,
        EnvCommand::Cleanup { name, dry_run, yes } => cleanup::run(&name, dry_run, yes, client, output).await,
    }
}

/// The token alone goes to standard output, so that it can be piped to where it belongs.
async fn token(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let path = format!("/environments/{}/token", path_part(name));
    let shown: EnvironmentToken = client.act(&path).await?;
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
