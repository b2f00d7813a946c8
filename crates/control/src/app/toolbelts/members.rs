//! Members of toolbelts: instances of the account that speak MCP.

use api::errors::ErrorCode;
use api::toolbelts::Member;
use domain::ids::{EnvironmentId, InstanceId, ToolbeltItemId};
use domain::names::InstanceName;
use serde_json::json;
use store::agents::AgentRow;
use store::instances::InstanceRow;
use store::toolbelts::{ItemRow, ToolbeltRow};
use store::{StoreError, Tx};

use super::{Known, act, find_to_change};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, agents, audit, instances};
use crate::auth::Caller;
use crate::directory::now;

/// The most members of a toolbelt: each is asked what it has.
const MAX: usize = 200;

/// Adds an instance to a toolbelt.
///
/// # Errors
/// 403 as for every change, and when an agent was not granted the instance's environment; 404 with the nearest name; 409 when it is a
/// member already; 422 for a toolbelt and for a container tool.
pub(crate) async fn add_member(app: &App, caller: &Caller, name: &str, instance: &str) -> Outcome<Member> {
    let belt = find_to_change(app, caller, name).await?;
    let row = candidate(app, caller, &belt, instance).await?;
    let at = now();
    let item = ItemRow {
        id: ToolbeltItemId::generate(),
        toolbelt: belt.id,
        instance: row.id,
        instance_name: row.name.clone(),
        environment: row.environment,
        is_active: true,
        created_at: at,
        updated_at: at,
    };
    if MAX <= store::toolbelts::items(&app.store, belt.id).await?.len() {
        let message = format!("a toolbelt has at most {MAX} members");
        return Err(Problem::refused(ErrorCode::Conflict, message).hint("make a second toolbelt for others"));
    }
    let agent = agent_of(app, caller, &belt).await?;
    let mut tx = app.store.begin().await?;
    if let Some(agent) = &agent {
        require_access(app, &mut tx, agent, row.environment, &row.name).await?;
    }
    store::toolbelts::add_item(&mut tx, &item).await.map_err(|error| match error {
        StoreError::Taken { .. } => {
            let message = format!("`{}` is a member of `{}` already", row.name, belt.name);
            Problem::refused(ErrorCode::Conflict, message).field("instance")
        }
        error => error.into(),
    })?;
    let detail = json!({ "instance": row.name, "item": item.id });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("toolbelt.add", &belt, detail)).await?;
    tx.commit().await?;
    app.belt_changed(&belt).await?;
    // What it has is named now, so that who is added later gives way.
    let states = app.belts.look(caller, belt.id, true).await;
    Ok(Known::read(app, caller.account).await?.with(states).member(&item))
}

/// Takes an instance out of a toolbelt, with all that was said of what it has there.
///
/// # Errors
/// 403 as for every change, 404 with the nearest name.
pub(crate) async fn remove_member(app: &App, caller: &Caller, name: &str, instance: &str) -> Outcome<()> {
    let belt = find_to_change(app, caller, name).await?;
    let item = member(app, &belt, instance).await?;
    let mut tx = app.store.begin().await?;
    store::toolbelts::remove_item(&mut tx, belt.id, item.id).await?;
    let detail = json!({ "instance": item.instance_name, "item": item.id });
    audit::note(&mut tx, caller.account, caller.actor(), now(), act("toolbelt.remove", &belt, detail))
        .await?;
    tx.commit().await?;
    app.belt_changed(&belt).await
}

/// Shows what a member has, or hides it.
///
/// # Errors
/// 403 as for every change, and when an agent was not granted the instance's environment; 404 with the nearest name.
pub(crate) async fn set_active(
    app: &App,
    caller: &Caller,
    name: &str,
    instance: &str,
    is_active: bool,
) -> Outcome<Member> {
    let belt = find_to_change(app, caller, name).await?;
    let item = member(app, &belt, instance).await?;
    let (agent, at) = (agent_of(app, caller, &belt).await?, now());
    let mut tx = app.store.begin().await?;
    if let Some(agent) = agent.filter(|_| is_active) {
        require_access(app, &mut tx, &agent, item.environment, &item.instance_name).await?;
    }
    store::toolbelts::set_active(&mut tx, belt.id, item.id, is_active, at).await?;
    let detail = json!({ "instance": item.instance_name, "is_active": is_active });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("toolbelt.activate", &belt, detail)).await?;
    tx.commit().await?;
    app.belt_changed(&belt).await?;
    let item = ItemRow { is_active, updated_at: at, ..item };
    Ok(Known::read(app, caller.account).await?.member(&item))
}

/// A toolbelt's member, by the instance's name or id, or by its own id.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn member(app: &App, belt: &ToolbeltRow, named: &str) -> Outcome<ItemRow> {
    let items = store::toolbelts::items(&app.store, belt.id).await?;
    let is_it = |item: &&ItemRow| {
        item.instance_name.as_str() == named
            || item.id.to_string() == named
            || item.instance.to_string() == named
    };
    if let Some(item) = items.iter().find(is_it) {
        return Ok(item.clone());
    }
    let message = format!("`{named}` is no member of the toolbelt `{}`", belt.name);
    let problem = Problem::refused(ErrorCode::NotFound, message);
    Err(match nearest(named, items.iter().map(|item| item.instance_name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("`berth toolbelt add {} {named}` would make it one", belt.name)),
    })
}

/// The instance that somebody wants in a toolbelt, by name or id.
async fn candidate(app: &App, caller: &Caller, belt: &ToolbeltRow, named: &str) -> Outcome<InstanceRow> {
    if let Ok(name) = named.parse::<InstanceName>()
        && store::toolbelts::find(&app.store, caller.account, &name).await?.is_some()
    {
        let message = format!("`{named}` is a toolbelt, and a toolbelt has no toolbelts in it");
        return Err(Problem::invalid("instance", message)
            .hint(format!("add its members to `{}` one by one", belt.name)));
    }
    let by_id = match named.parse::<InstanceId>() {
        Ok(id) => store::instances::by_id(&app.store, id).await?.filter(|row| row.account == caller.account),
        Err(_) => None,
    };
    let row = match by_id {
        Some(row) => row,
        None => instances::find(app, caller, named).await?,
    };
    if row.deleting {
        return Err(Problem::refused(ErrorCode::NotFound, format!("`{}` is being removed", row.name)));
    }
    if row.spec.launch.container.is_some() {
        let message =
            format!("`{}` is a container tool and speaks no MCP, so it has nothing for a toolbelt", row.name);
        return Err(Problem::invalid("instance", message).hint("add an MCP server: `berth list` shows them"));
    }
    Ok(row)
}

async fn agent_of(app: &App, caller: &Caller, belt: &ToolbeltRow) -> Outcome<Option<AgentRow>> {
    match belt.agent {
        Some(id) => agents::by_id(app, caller, id).await.map(Some),
        None => Ok(None),
    }
}

/// An agent has instances of those environments in its toolbelt that it was granted.
async fn require_access(
    app: &App,
    tx: &mut Tx,
    agent: &AgentRow,
    environment: EnvironmentId,
    instance: &InstanceName,
) -> Outcome<()> {
    if store::agents::has_toolbox(tx, agent.id, environment).await? {
        return Ok(());
    }
    let picture = app.directory.picture();
    let name = picture.environment(environment).map_or("?", |known| known.name.as_str());
    let message = format!(
        "the agent `{}` has no access to the environment `{name}`, where `{instance}` runs",
        agent.name
    );
    Err(Problem::refused(ErrorCode::Forbidden, message)
        .field("instance")
        .hint(format!("grant it first: `berth agent grant {} --environment {name}`", agent.name)))
}
