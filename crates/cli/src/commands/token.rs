//! `berth token create|list|revoke`: API tokens.

use api::tokens::{CreateTokenRequest, CreatedToken, Token};
use comfy_table::Cell;
use domain::scopes::ScopeError;
use domain::time::Timestamp;

use crate::args::TokenCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(crate) async fn run(command: TokenCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        TokenCommand::Create { name, expires, scopes, account } => {
            let scopes = (!scopes.is_empty()).then(|| scopes.try_into()).transpose();
            let scopes = scopes.map_err(|error: ScopeError| CliError::usage(error.to_string()))?;
            let request = CreateTokenRequest { name, expires_in_seconds: expires, scopes, account };
            create(&request, client, output).await
        }
        TokenCommand::List => list(client, output).await,
        TokenCommand::Revoke { which } => revoke(&which, client, output).await,
    }
}

async fn create(request: &CreateTokenRequest, client: &Client, output: Output) -> Result<(), CliError> {
    let created: CreatedToken = client.post("/tokens", request).await?;
    if output.json() {
        return output.document(&created);
    }
    // The token alone goes to standard output, so that it can be piped to where it belongs.
    output.data(created.secret.expose())?;
    output.hint("this is the only time it is shown; use it as BERTH_TOKEN, or as a Bearer token");
    Ok(())
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let tokens: Vec<Token> = client.get("/tokens").await?;
    if output.json() {
        return output.document(&tokens);
    }
    let now = Timestamp::from(std::time::SystemTime::now());
    let rows = tokens
        .iter()
        .map(|token| {
            [
                Cell::new(&token.name),
                Cell::new(&token.prefix),
                Cell::new(state(token, now)),
                Cell::new(scopes(token)),
                Cell::new(moment(Some(token.created_at))),
                Cell::new(moment(token.expires_at)),
                Cell::new(moment(token.last_used_at)),
                Cell::new(token.id),
            ]
        })
        .collect();
    output.table(["NAME", "PREFIX", "STATE", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "ID"], rows)
}

async fn revoke(asked: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let tokens: Vec<Token> = client.get("/tokens").await?;
    let token = one_of(&tokens, asked)?;
    client.delete(&format!("/tokens/{}", path_part(&token.id.to_string()))).await?;
    output.say(&format!("revoked `{}`: it opens nothing any more", token.name));
    Ok(())
}

/// The valid token that is meant by an id, a prefix or a name.
pub(crate) fn one_of<'a>(tokens: &'a [Token], asked: &str) -> Result<&'a Token, CliError> {
    let live: Vec<&Token> = tokens
        .iter()
        .filter(|token| {
            token.revoked_at.is_none()
                && (token.id.to_string() == asked || token.prefix == asked || token.name == asked)
        })
        .collect();
    match live[..] {
        [token] => Ok(token),
        [] => Err(CliError::failed(format!("no valid token has the id, prefix or name `{asked}`"))
            .with_hint("`berth token list` shows them")),
        _ => Err(CliError::failed(format!("{} tokens are named `{asked}`", live.len()))
            .with_hint("name it by its id or prefix: `berth token list` shows them")),
    }
}

fn scopes(token: &Token) -> String {
    let all = token.scopes.as_ref().map(|scopes| scopes.iter().map(ToString::to_string).collect::<Vec<_>>());
    all.map_or_else(|| "all".to_owned(), |all| all.join(" "))
}

fn state(token: &Token, now: Timestamp) -> &'static str {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        _ => "valid",
    }
}

fn moment(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), super::instances::to_the_second)
}
