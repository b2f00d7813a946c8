//! `berth session list|end`: the browsers in which one is signed in.

use api::sessions::{Session, SignInMethod};
use comfy_table::Cell;

use crate::args::SessionCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the two.
pub(crate) async fn run(command: SessionCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        SessionCommand::List => list(client, output).await,
        SessionCommand::End { id } => {
            client.delete(&format!("/sessions/{}", path_part(&id))).await?;
            output.say("ended the session: its browser has to sign in again");
            Ok(())
        }
    }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let sessions: Vec<Session> = client.get("/sessions").await?;
    if output.json() {
        return output.document(&sessions);
    }
    let rows = sessions
        .iter()
        .map(|session| {
            [
                Cell::new(session.user_agent.as_deref().unwrap_or("-")),
                Cell::new(session.address.as_deref().unwrap_or("-")),
                Cell::new(method(session.method)),
                Cell::new(super::instances::to_the_second(session.last_seen_at)),
                Cell::new(super::instances::to_the_second(session.expires_at)),
                Cell::new(session.id),
            ]
        })
        .collect();
    output.table(["BROWSER", "FROM", "SIGNED IN BY", "LAST USED", "ENDS", "ID"], rows)
}

fn method(method: SignInMethod) -> &'static str {
    match method {
        SignInMethod::Password => "password",
        SignInMethod::Link => "one-time link",
        SignInMethod::Invitation => "invitation",
        SignInMethod::Oidc => "identity provider",
    }
}
