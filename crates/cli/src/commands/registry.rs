//! `berth registry login|list|logout`: what opens registries of container images.

use api::registries::{Registry, RegistryLoginRequest};
use comfy_table::Cell;
use domain::secret::Secret;

use crate::args::RegistryCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(crate) async fn run(command: RegistryCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        RegistryCommand::Login { host, username, password_stdin: _ } => {
            login(&host, username, client, output).await
        }
        RegistryCommand::List => list(client, output).await,
        RegistryCommand::Logout { host } => {
            client.delete(&path(&host)).await?;
            output.say(&format!("forgot the login of `{host}`"));
            output
                .hint("what was deployed with it keeps running; revoke the password at the registry as well");
            Ok(())
        }
    }
}

async fn login(host: &str, username: String, client: &Client, output: Output) -> Result<(), CliError> {
    let text = std::io::read_to_string(std::io::stdin())
        .map_err(|e| CliError::because("cannot read the password from standard input", e))?;
    // The line end that `echo` and editors put after it is not part of it.
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = Secret::new(password.strip_suffix('\r').unwrap_or(password));
    let kept: Registry = client.put(&path(host), &RegistryLoginRequest { username, password }).await?;
    if output.json() {
        return output.document(&kept);
    }
    output.say(&format!("kept the login of `{}` at {}", kept.username, kept.host));
    output.hint(
        "it is tried when the next image is pulled; `berth restart NAME` tries again what waits for it",
    );
    Ok(())
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let registries: Vec<Registry> = client.get("/registries").await?;
    if output.json() {
        return output.document(&registries);
    }
    let rows = registries
        .iter()
        .map(|registry| {
            [
                Cell::new(&registry.host),
                Cell::new(&registry.username),
                Cell::new(super::instances::to_the_second(registry.updated_at)),
            ]
        })
        .collect();
    output.table(["REGISTRY", "USER", "GIVEN"], rows)
}

fn path(host: &str) -> String {
    format!("/registries/{}", path_part(host))
}
