//! Agents: programs of users. Each has a toolbelt of its own, tokens, and may call what it was granted of the toolbelt's members, where the
//! account's rules let its maker.

mod credentials;
mod grants;
mod tokens;

use api::agents::{Agent, ChangeAgentRequest, CreateAgentRequest};
use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::{AgentId, ToolbeltId};
use domain::names::InstanceName;
use domain::toolbelts::{Mode, OnChange};
use serde_json::json;
use store::StoreError;
use store::agents::AgentRow;
use store::toolbelts::ToolbeltRow;

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, toolbelts};
use crate::auth::Caller;
use crate::directory::now;

pub(crate) use credentials::{add_credential, credentials, known_to, remove_credential, secrets_of_caller};
pub(crate) use grants::{
    forget_permission, grant_environment, grant_server, permissions, revoke_environment, revoke_server,
    servers, set_permission, toolboxes,
};
pub(crate) use tokens::{create_token, revoke_token, tokens};

/// How often a free name for a toolbelt is looked for while others take them.
const NAME_TRIES: usize = 5;

/// The account's agents, by name.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Agent>> {
    let belts = store::toolbelts::list(&app.store, caller.account).await?;
    let of = |id: AgentId| belts.iter().find(|belt| belt.agent == Some(id));
    let rows = store::agents::list(&app.store, caller.account).await?;
    // One without a toolbelt is being made or removed.
    Ok(rows.into_iter().filter_map(|row| of(row.id).map(|belt| render(app, caller, row, belt))).collect())
}

/// One agent.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Agent> {
    let row = find(app, caller, name).await?;
    let belt = toolbelt(app, &row).await?;
    Ok(render(app, caller, row, &belt))
}

/// Makes an agent and its toolbelt. It may call nothing yet.
///
/// # Errors
/// 403 below a member; 409 when an agent has the name; 422 with field.
pub(crate) async fn create(app: &App, caller: &Caller, request: &CreateAgentRequest) -> Outcome<Agent> {
    caller.require(Role::Member)?;
    let at = now();
    let row = AgentRow {
        id: AgentId::generate(),
        account: caller.account,
        name: toolbelts::name_of(&request.name)?,
        description: toolbelts::description(request.description.as_deref())?,
        created_by: Some(caller.user),
        created_at: at,
        updated_at: at,
    };
    for _ in 0..NAME_TRIES {
        let belt = ToolbeltRow {
            id: ToolbeltId::generate(),
            account: caller.account,
            name: store::instances::next_free_name(&app.store, caller.account, &row.name).await?,
            agent: Some(row.id),
            description: None,
            mode: Mode::List,
            on_change: OnChange::Keep,
            generation: 1,
            created_at: at,
            updated_at: at,
        };
        let mut tx = app.store.begin().await?;
        store::agents::insert(&mut tx, &row).await.map_err(|error| taken(error, &row.name))?;
        match toolbelts::insert(&mut tx, &belt, caller.actor()).await {
            Err(Problem::Refused(detail)) if detail.code == ErrorCode::Conflict => continue,
            other => other?,
        }
        let act = act("agent.create", &row, json!({ "toolbelt": belt.name }));
        audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
        tx.commit().await?;
        app.belt_changed(&belt).await?;
        app.agent_changed(&row);
        return Ok(render(app, caller, row, &belt));
    }
    Err(Problem::refused(ErrorCode::Conflict, "no free name for its toolbelt was found").field("name"))
}

/// Gives an agent another name or description. Its toolbelt keeps its own, since that is an address.
///
/// # Errors
/// 403 as [`require_own`], 404, 409 when another agent has the name, 422 with field.
pub(crate) async fn update(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ChangeAgentRequest,
) -> Outcome<Agent> {
    let before = find_own(app, caller, name).await?;
    let name = match &request.name {
        Some(text) => toolbelts::name_of(text)?,
        None => before.name.clone(),
    };
    let description = match &request.description {
        Some(text) => toolbelts::description(Some(text))?,
        None => before.description.clone(),
    };
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = store::agents::update(&mut tx, caller.account, before.id, (&name, description.as_deref()), at)
        .await
        .map_err(|error| taken(error, &name))?;
    let act = act("agent.update", &row, json!({ "from": before.name }));
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.agent_changed(&row);
    let belt = toolbelt(app, &row).await?;
    Ok(render(app, caller, row, &belt))
}

/// Removes an agent with its toolbelt, tokens, credentials and all that it was granted. Its tokens open nothing from then on.
///
/// # Errors
/// 403 as [`require_own`], 404.
pub(crate) async fn delete(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    let row = find_own(app, caller, name).await?;
    let belt = store::toolbelts::of_agent(&app.store, row.id).await?;
    let mut tx = app.store.begin().await?;
    let row = store::agents::remove(&mut tx, caller.account, row.id).await?;
    let detail = json!({ "toolbelt": belt.as_ref().map(|belt| &belt.name) });
    audit::note(&mut tx, caller.account, caller.actor(), now(), act("agent.delete", &row, detail)).await?;
    tx.commit().await?;
    if let Some(belt) = belt {
        app.belt_changed(&belt).await?;
    }
    app.agent_changed(&row);
    Ok(())
}

/// The account's agent of a name, or of an id.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn find(app: &App, caller: &Caller, name: &str) -> Outcome<AgentRow> {
    if let Ok(name) = name.parse::<InstanceName>()
        && let Some(row) = store::agents::by_name(&app.store, caller.account, &name).await?
    {
        return Ok(row);
    }
    if let Ok(id) = name.parse::<AgentId>()
        && let Some(row) = store::agents::by_id(&app.store, caller.account, id).await?
    {
        return Ok(row);
    }
    let rows = store::agents::list(&app.store, caller.account).await?;
    let problem = Problem::not_found("agent", name);
    Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth agent list` shows those there are"),
    })
}

/// The same, for somebody who is to change it.
///
/// # Errors
/// 403 as [`require_own`], 404.
async fn find_own(app: &App, caller: &Caller, name: &str) -> Outcome<AgentRow> {
    caller.require(Role::Member)?;
    let row = find(app, caller, name).await?;
    require_own(app, caller, &row)?;
    Ok(row)
}

/// The account's agent of an id.
///
/// # Errors
/// 404.
pub(crate) async fn by_id(app: &App, caller: &Caller, id: AgentId) -> Outcome<AgentRow> {
    let row = store::agents::by_id(&app.store, caller.account, id).await?;
    row.ok_or_else(|| Problem::not_found("agent", &id.to_string()))
}

/// Refuses whoever did not make an agent and is no admin: an agent calls in its maker's place, with credentials that others may not use.
///
/// # Errors
/// 403.
pub(crate) fn require_own(app: &App, caller: &Caller, row: &AgentRow) -> Outcome<()> {
    caller.require(Role::Member)?;
    if row.created_by == Some(caller.user) || Role::Admin <= caller.role {
        return Ok(());
    }
    let picture = app.directory.picture();
    let maker = row.created_by.and_then(|user| picture.member(caller.account, user));
    let whose =
        maker.map_or_else(|| "somebody who left".to_owned(), |member| format!("`{}`", member.user_name));
    let message = format!("the agent `{}` was made by {whose}: they and admins change it", row.name);
    Err(Problem::refused(ErrorCode::Forbidden, message)
        .hint("make one of your own: `berth agent create NAME`, or ask an admin of the account"))
}

/// An agent's toolbelt.
///
/// # Errors
/// 404 when it goes just now.
pub(crate) async fn toolbelt(app: &App, row: &AgentRow) -> Outcome<ToolbeltRow> {
    let belt = store::toolbelts::of_agent(&app.store, row.id).await?;
    belt.ok_or_else(|| Problem::not_found("agent", row.name.as_str()))
}

fn taken(error: StoreError, name: &InstanceName) -> Problem {
    match error {
        StoreError::Taken { field: "name", .. } => {
            Problem::refused(ErrorCode::Conflict, format!("an agent `{name}` exists already"))
                .field("name")
                .hint("choose another name")
        }
        error => error.into(),
    }
}

fn act<'a>(action: &'a str, row: &'a AgentRow, detail: serde_json::Value) -> Act<'a> {
    Act { action, kind: "agent", id: row.id.to_string(), name: row.name.as_str(), detail }
}

fn render(app: &App, caller: &Caller, row: AgentRow, belt: &ToolbeltRow) -> Agent {
    let picture = app.directory.picture();
    let maker = row.created_by.and_then(|user| picture.member(row.account, user));
    Agent {
        id: row.id,
        name: row.name,
        description: row.description,
        toolbelt: belt.name.clone(),
        url: toolbelts::url(app, caller, &belt.name),
        created_by_name: maker.map(|member| member.user_name.clone()),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}
