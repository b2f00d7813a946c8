//! `berth agent …`: programs that call with a toolbelt of their own.

mod credential;
mod grant;
mod token;

use api::agents::{
    Agent, ChangeAgentRequest, CreateAgentRequest, Credential, Permission, ServerAccess, ToolboxAccess,
};
use api::toolbelts::Toolbelt;
use comfy_table::Cell;
use serde::Serialize;

use crate::args::AgentCommand;
use crate::client::{Client, path_part};
use crate::commands::instances::to_the_second;
use crate::error::CliError;
use crate::output::Output;

/// Does one of them.
pub(crate) async fn run(command: AgentCommand, client: &Client, output: Output) -> Result<(), CliError> {
    match command {
        AgentCommand::Create { name, description } => {
            create(&CreateAgentRequest { name, description }, client, output).await
        }
        AgentCommand::List => list(client, output).await,
        AgentCommand::Show { name } => show(&name, client, output).await,
        AgentCommand::Rename { name, to, description } => {
            let request = ChangeAgentRequest { name: to, description };
            let agent: Agent = client.patch(&path(&name, ""), &request).await?;
            if output.json() {
                return output.document(&agent);
            }
            output.say(&format!("the agent is `{}`; its address stays {}", agent.name, agent.url));
            Ok(())
        }
        AgentCommand::Token(command) => token::run(command, client, output).await,
        AgentCommand::Grant(args) => grant::grant(args, client, output).await,
        AgentCommand::Revoke(args) => grant::revoke(args, client, output).await,
        AgentCommand::Credential(command) => credential::run(command, client, output).await,
        AgentCommand::Delete { name, yes } => delete(&name, yes, client, output).await,
    }
}

fn path(name: &str, then: &str) -> String {
    format!("/agents/{}{then}", path_part(name))
}

async fn create(request: &CreateAgentRequest, client: &Client, output: Output) -> Result<(), CliError> {
    let agent: Agent = client.post("/agents", request).await?;
    if output.json() {
        return output.document(&agent);
    }
    output.say(&format!("made the agent `{}` with the toolbelt `{}`", agent.name, agent.toolbelt));
    output.data(&agent.url)?;
    output.hint(&format!(
        "1. `berth agent grant {} --environment local`: it may have instances from there",
        agent.name
    ));
    output.hint(&format!("2. `berth toolbelt add {} INSTANCE`: they are in its toolbelt", agent.toolbelt));
    output.hint(&format!("3. `berth agent grant {} --tool INSTANCE/TOOL`: it may call them", agent.name));
    output.hint(&format!("4. `berth agent token create {}`: it can show who it is", agent.name));
    Ok(())
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let agents: Vec<Agent> = client.get("/agents").await?;
    if output.json() {
        return output.document(&agents);
    }
    if agents.is_empty() {
        output.hint("`berth agent create NAME` makes one");
    }
    let row = |agent: &Agent| {
        [
            Cell::new(&agent.name),
            Cell::new(&agent.toolbelt),
            Cell::new(agent.created_by_name.as_deref().unwrap_or("-")),
            Cell::new(to_the_second(agent.created_at)),
            Cell::new(&agent.url),
        ]
    };
    output.table(["NAME", "TOOLBELT", "BY", "MADE", "URL"], agents.iter().map(row).collect())
}

/// All that is to be known of an agent.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    agent: Agent,
    members: Toolbelt,
    environments: Vec<ToolboxAccess>,
    servers: Vec<ServerAccess>,
    permissions: Vec<Permission>,
    credentials: Vec<Credential>,
}

async fn show(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let agent: Agent = client.get(&path(name, "")).await?;
    let whole = Whole {
        members: client.get(&format!("/toolbelts/{}", path_part(agent.toolbelt.as_str()))).await?,
        environments: client.get(&path(name, "/environments")).await?,
        servers: client.get(&path(name, "/servers")).await?,
        permissions: client.get(&path(name, "/permissions")).await?,
        credentials: client.get(&path(name, "/credentials")).await?,
        agent,
    };
    if output.json() {
        return output.document(&whole);
    }
    let Whole { agent, members, environments, servers, permissions, credentials } = whole;
    let environments: Vec<&str> = environments.iter().map(|access| access.environment.as_str()).collect();
    let mut lines = vec![format!("name          {}", agent.name), format!("url           {}", agent.url)];
    lines.extend(agent.description.as_ref().map(|text| format!("description   {text}")));
    lines.push(format!("made by       {}", agent.created_by_name.as_deref().unwrap_or("somebody who left")));
    lines.push(format!("toolbelt      {}", agent.toolbelt));
    let none = if environments.is_empty() { "none" } else { "" };
    lines.push(format!("environments  {none}{}", environments.join(", ")));
    output.data(&lines.join("\n"))?;
    super::toolbelt::members(&members, output)?;
    let mut rows: Vec<[Cell; 4]> = permissions
        .iter()
        .map(|permission| {
            let how = if permission.is_allowed { "allowed" } else { "denied" };
            let tool = format!("{}/{}", permission.instance, permission.tool);
            [Cell::new(how), Cell::new(tool), Cell::new("-"), Cell::new("")]
        })
        .collect();
    rows.extend(servers.iter().map(|access| {
        let tools =
            access.allowed_tools.as_ref().map(|tools| format!(": {}", tools.join(", "))).unwrap_or_default();
        let end = access.expires_at.map_or_else(|| "-".to_owned(), to_the_second);
        let lacking = match (access.is_active, access.is_member) {
            (false, _) => "is over",
            (true, false) => "is no active member of its toolbelt",
            (true, true) => "",
        };
        let how = format!("{}{tools}", access.level);
        [Cell::new(how), Cell::new(&access.instance), Cell::new(end), Cell::new(lacking)]
    }));
    if rows.is_empty() {
        output.hint(&format!("it may call nothing: `berth agent grant {} --tool INSTANCE/TOOL`", agent.name));
    } else {
        output.data("")?;
        output.table(["MAY", "WHAT", "UNTIL", ""], rows)?;
    }
    if !credentials.is_empty() {
        output.data("")?;
        credential::table(&credentials, output)?;
    }
    Ok(())
}

async fn delete(name: &str, yes: bool, client: &Client, output: Output) -> Result<(), CliError> {
    if !yes {
        let agent: Agent = client.get(&path(name, "")).await?;
        let unasked = CliError::usage(format!("removing the agent `{}` cannot be taken back", agent.name))
            .with_hint("say so with `--yes`");
        let question =
            format!("Remove the agent `{}` with its toolbelt, tokens and credentials?", agent.name);
        output.confirm(&format!("{question} This cannot be taken back."), unasked)?;
    }
    client.delete(&path(name, "")).await?;
    output.say(&format!("removed the agent `{name}`: its tokens open nothing any more"));
    Ok(())
}
