//! `berth member list|role|remove`: who is in the account.

use api::members::{ChangeMemberRequest, Member};
use api::users::Role;
use comfy_table::Cell;

use crate::args::MemberCommand;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Does one of the three.
pub(crate) async fn run(command: MemberCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        MemberCommand::List => list(client, output).await,
        MemberCommand::Role { name, role } => {
            let role = role.role();
            let changed: Member = client.patch(&path(&name), &ChangeMemberRequest { role }).await?;
            if output.json() {
                return output.document(&changed);
            }
            output.say(&format!("`{}` is {} from now on", changed.name, role_word(changed.role)));
            Ok(())
        }
        MemberCommand::Remove { name } => {
            client.delete(&path(&name)).await?;
            output.say(&format!("`{name}` is in this account no more, and neither are their API tokens"));
            Ok(())
        }
    }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let members: Vec<Member> = client.get("/members").await?;
    if output.json() {
        return output.document(&members);
    }
    let rows = members
        .iter()
        .map(|member| {
            [
                Cell::new(&member.name),
                Cell::new(role_word(member.role)),
                Cell::new(member.email.as_deref().unwrap_or("-")),
                Cell::new(super::instances::to_the_second(member.joined_at)),
            ]
        })
        .collect();
    output.table(["NAME", "ROLE", "E-MAIL", "SINCE"], rows)
}

/// A role as it is typed.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

fn path(name: &str) -> String {
    format!("/members/{}", path_part(name))
}
