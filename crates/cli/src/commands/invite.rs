//! `berth invite create|list|revoke`: one-time links into the account.

use api::invitations::{CreateInvitationRequest, CreatedInvitation, Invitation};
use comfy_table::Cell;

use super::member::role_word;
use crate::args::InviteCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(crate) async fn run(command: InviteCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        InviteCommand::Create { role, name, email, expires } => {
            let role = role.role();
            let request = CreateInvitationRequest { role, name, email, expires_in_seconds: expires };
            let made: CreatedInvitation = client.post("/invitations", &request).await?;
            if output.json() {
                return output.document(&made);
            }
            // The link alone goes to standard output, so that it can be piped to where it belongs.
            output.data(made.url.expose())?;
            output.hint(&format!(
                "whoever opens it first is in, as {}; it is shown only now and good until {}",
                role_word(role),
                super::instances::to_the_second(made.invitation.expires_at)
            ));
            Ok(())
        }
        InviteCommand::List => list(client, output).await,
        InviteCommand::Revoke { which } => revoke(&which, client, output).await,
    }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let invitations: Vec<Invitation> = client.get("/invitations").await?;
    if output.json() {
        return output.document(&invitations);
    }
    let rows = invitations
        .iter()
        .map(|invitation| {
            [
                Cell::new(invitation.name.as_deref().unwrap_or("-")),
                Cell::new(invitation.email.as_deref().unwrap_or("-")),
                Cell::new(role_word(invitation.role)),
                Cell::new(invitation.created_by.as_deref().unwrap_or("-")),
                Cell::new(super::instances::to_the_second(invitation.expires_at)),
                Cell::new(invitation.id),
            ]
        })
        .collect();
    output.table(["NAME", "E-MAIL", "ROLE", "BY", "GOOD UNTIL", "ID"], rows)
}

async fn revoke(asked: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let all: Vec<Invitation> = client.get("/invitations").await?;
    let is = |given: &Option<String>| given.as_deref() == Some(asked);
    let meant: Vec<&Invitation> =
        all.iter().filter(|one| one.id.to_string() == asked || is(&one.name) || is(&one.email)).collect();
    match meant[..] {
        [one] => {
            client.delete(&format!("/invitations/{}", path_part(&one.id.to_string()))).await?;
            output.say("took the invitation back: its link lets nobody in any more");
            Ok(())
        }
        [] => Err(CliError::failed(format!("no invitation has the id, name or address `{asked}`"))
            .with_hint("`berth invite list` shows those that nobody has accepted")),
        _ => Err(CliError::failed(format!("{} invitations are for `{asked}`", meant.len()))
            .with_hint("name it by its id: `berth invite list` shows them")),
    }
}
