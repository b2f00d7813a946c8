//! `berth agent token create|list|revoke`.

use api::agents::{AgentToken, CreateAgentTokenRequest, CreatedAgentToken};
use comfy_table::Cell;
use domain::time::Timestamp;

use super::path;
use crate::args::AgentTokenCommand;
use crate::client::{Client, path_part};
use crate::commands::instances::to_the_second;
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(super) async fn run(command: AgentTokenCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        AgentTokenCommand::Create { agent, name, expires } => {
            let request = CreateAgentTokenRequest { name, expires_in_seconds: expires };
            let created: CreatedAgentToken = client.post(&path(&agent, "/tokens"), &request).await?;
            if output.json() {
                return output.document(&created);
            }
            // The token alone goes to standard output, so that it can be piped to where it belongs.
            output.data(created.secret.expose())?;
            output.hint(
                "this is the only time it is shown; the agent sends it as a Bearer token to its MCP address",
            );
            Ok(())
        }
        AgentTokenCommand::List { agent } => list(&agent, client, output).await,
        AgentTokenCommand::Revoke { agent, which } => revoke(&agent, &which, client, output).await,
    }
}

async fn list(agent: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let tokens: Vec<AgentToken> = client.get(&path(agent, "/tokens")).await?;
    if output.json() {
        return output.document(&tokens);
    }
    let now = Timestamp::from(std::time::SystemTime::now());
    let moment = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), to_the_second);
    let row = |token: &AgentToken| {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(_), _) => "revoked",
            (None, Some(end)) if end <= now => "expired",
            _ => "valid",
        };
        [
            Cell::new(&token.name),
            Cell::new(&token.prefix),
            Cell::new(state),
            Cell::new(moment(Some(token.created_at))),
            Cell::new(moment(token.expires_at)),
            Cell::new(moment(token.last_used_at)),
            Cell::new(token.id),
        ]
    };
    let head = ["NAME", "PREFIX", "STATE", "CREATED", "EXPIRES", "LAST USED", "ID"];
    output.table(head, tokens.iter().map(row).collect())
}

async fn revoke(agent: &str, asked: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let tokens: Vec<AgentToken> = client.get(&path(agent, "/tokens")).await?;
    let is_meant = |token: &&AgentToken| {
        token.revoked_at.is_none()
            && (token.id.to_string() == asked || token.prefix == asked || token.name == asked)
    };
    let live: Vec<&AgentToken> = tokens.iter().filter(is_meant).collect();
    let hint = format!("`berth agent token list {agent}` shows them");
    let token = match live[..] {
        [token] => token,
        [] => {
            let message = format!("`{agent}` has no valid token with the id, prefix or name `{asked}`");
            return Err(CliError::failed(message).with_hint(hint));
        }
        _ => {
            return Err(CliError::failed(format!("{} tokens are named `{asked}`", live.len()))
                .with_hint(format!("name it by its id or prefix: {hint}")));
        }
    };
    client.delete(&path(agent, &format!("/tokens/{}", path_part(&token.id.to_string())))).await?;
    output.say(&format!("revoked `{}` of `{agent}`: it opens nothing any more", token.name));
    Ok(())
}
