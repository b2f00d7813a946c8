//! What agents were granted: environments, servers as a whole, and tools one by one. What nothing grants is denied.

use api::agents::{
    Permission, PermissionRequest, ServerAccess, ServerAccessRequest, ToolboxAccess, ToolboxRevoked,
};
use domain::ids::{CapabilityPermissionId, ServerAccessId, ToolboxAccessId};
use domain::names::InstanceName;
use domain::rules::MAX_PATTERN;
use domain::scopes::Scope;
use domain::time::Timestamp;
use domain::toolbelts::AccessLevel;
use serde_json::json;
use store::StoreError;
use store::agents::{AgentRow, PermissionRow, ServerAccessRow, ToolboxAccessRow};
use store::toolbelts::ItemRow;

use super::{act, find, find_own, toolbelt};
use crate::app::tokens::end_of;
use crate::app::{App, Outcome, Problem, audit, environments, instances, toolbelts};
use crate::auth::Caller;
use crate::directory::now;

/// What the tools that were granted or denied of one instance may take together, in bytes: they go along with each call as a header, beside
/// the account's rules (`app::rules::MAX_TOGETHER`).
const MAX_TOGETHER: usize = 4 << 10;

/// The environments of which an agent may have instances in its toolbelt, by name.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn toolboxes(app: &App, caller: &Caller, agent: &str) -> Outcome<Vec<ToolboxAccess>> {
    let agent = find(app, caller, agent).await?;
    let rows = store::agents::toolboxes(&app.store, agent.id).await?;
    Ok(rows.into_iter().map(render_toolbox).collect())
}

/// Lets an agent have instances of an environment in its toolbelt. Doing it again is no error.
///
/// # Errors
/// 403 as for every change, 404 with the nearest name.
pub(crate) async fn grant_environment(
    app: &App,
    caller: &Caller,
    agent: &str,
    environment: &str,
) -> Outcome<ToolboxAccess> {
    let agent = find_own(app, caller, agent).await?;
    caller.require_scope(&Scope::Admin)?;
    let environment = environments::find(app, caller, environment).await?;
    let at = now();
    let row = ToolboxAccessRow {
        id: ToolboxAccessId::generate(),
        agent: agent.id,
        environment: environment.id,
        environment_name: environment.name.clone(),
        granted_at: at,
    };
    let mut tx = app.store.begin().await?;
    let row = store::agents::grant_toolbox(&mut tx, &row).await?;
    let act = act("agent.grant_environment", &agent, json!({ "environment": environment.name }));
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    Ok(render_toolbox(row))
}

/// Takes an environment from an agent. The members of its toolbelt that run there are inactive from then on.
///
/// # Errors
/// 403 as for every change; 404 with the nearest name, and when it was not granted.
pub(crate) async fn revoke_environment(
    app: &App,
    caller: &Caller,
    agent: &str,
    environment: &str,
) -> Outcome<ToolboxRevoked> {
    let agent = find_own(app, caller, agent).await?;
    caller.require_scope(&Scope::Admin)?;
    let environment = environments::find(app, caller, environment).await?;
    let belt = toolbelt(app, &agent).await?;
    let at = now();
    let mut tx = app.store.begin().await?;
    let hidden = match store::agents::revoke_toolbox(&mut tx, agent.id, environment.id, at).await {
        Err(StoreError::NotFound { .. }) => {
            let message = format!("the agent `{}` has no access to `{}`", agent.name, environment.name);
            return Err(Problem::refused(api::errors::ErrorCode::NotFound, message)
                .hint(format!("`berth agent show {}` shows what it was granted", agent.name)));
        }
        other => other?,
    };
    let act = act("agent.revoke_environment", &agent, json!({ "environment": environment.name }));
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.belt_changed(&belt).await?;
    app.agent_changed(&agent);
    let mut items = store::toolbelts::items(&app.store, belt.id).await?;
    items.retain(|item| hidden.contains(&item.id));
    Ok(ToolboxRevoked { inactive: items.into_iter().map(|item| item.instance_name).collect() })
}

/// What an agent was granted of instances as a whole, by their names.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn servers(app: &App, caller: &Caller, agent: &str) -> Outcome<Vec<ServerAccess>> {
    let agent = find(app, caller, agent).await?;
    let items = members(app, &agent).await?;
    let rows = store::agents::servers(&app.store, agent.id).await?;
    Ok(rows.into_iter().map(|row| render_server(row, &items)).collect())
}

/// Grants an agent an instance as a whole, in the place of what it was granted of it before.
///
/// # Errors
/// 403 as for every change, 404 with the nearest name, 422 with field.
pub(crate) async fn grant_server(
    app: &App,
    caller: &Caller,
    agent: &str,
    instance: &str,
    request: &ServerAccessRequest,
) -> Outcome<ServerAccess> {
    let agent = find_own(app, caller, agent).await?;
    caller.require_scope(&Scope::Admin)?;
    let instance = instances::find(app, caller, instance).await?;
    let is_custom = request.level == AccessLevel::Custom;
    let tools = request.allowed_tools.clone().unwrap_or_default();
    if is_custom == tools.is_empty() {
        let message = if is_custom {
            "`custom` allows the tools that are named, and none is"
        } else {
            "tools are named with the level `custom` alone"
        };
        return Err(
            Problem::invalid("allowed_tools", message).hint("give `level` as `custom` and `allowed_tools`")
        );
    }
    for tool in &tools {
        check_pattern("allowed_tools", tool)?;
    }
    let items = members(app, &agent).await?;
    let item = items.iter().find(|item| item.instance == instance.id);
    let permissions = match item {
        Some(item) => store::agents::permissions(&app.store, item.id).await?,
        None => Vec::new(),
    };
    check_together("allowed_tools", permissions.iter().map(|row| &row.capability_name).chain(&tools))?;
    let at = now();
    let row = ServerAccessRow {
        id: ServerAccessId::generate(),
        agent: agent.id,
        instance: instance.id,
        instance_name: instance.name.clone(),
        granted_by: Some(caller.user),
        level: request.level,
        allowed_tools: is_custom.then_some(tools),
        granted_at: at,
        expires_at: end_of(request.expires_in_seconds, at)?,
        is_active: true,
        created_at: at,
        updated_at: at,
    };
    let mut tx = app.store.begin().await?;
    store::agents::grant_server(&mut tx, &row).await?;
    let detail = json!({
        "instance": instance.name,
        "level": row.level,
        "allowed_tools": row.allowed_tools,
        "expires_at": row.expires_at,
    });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("agent.grant_server", &agent, detail))
        .await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    // The one that was there before keeps its id.
    let rows = store::agents::servers(&app.store, agent.id).await?;
    let row = rows.into_iter().find(|kept| kept.instance == instance.id).unwrap_or(row);
    Ok(render_server(row, &items))
}

/// Takes back what an agent was granted of an instance as a whole.
///
/// # Errors
/// 403 as for every change; 404 with the nearest name, and when nothing was granted.
pub(crate) async fn revoke_server(app: &App, caller: &Caller, agent: &str, instance: &str) -> Outcome<()> {
    let agent = find_own(app, caller, agent).await?;
    let instance = instances::find(app, caller, instance).await?;
    let mut tx = app.store.begin().await?;
    if !store::agents::revoke_server(&mut tx, agent.id, instance.id).await? {
        let message =
            format!("the agent `{}` was granted nothing of `{}` as a whole", agent.name, instance.name);
        return Err(Problem::refused(api::errors::ErrorCode::NotFound, message)
            .hint(format!("`berth agent show {}` shows what it was granted", agent.name)));
    }
    let act = act("agent.revoke_server", &agent, json!({ "instance": instance.name }));
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    Ok(())
}

/// Which tools of its members an agent may call, by the members' names and theirs.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn permissions(app: &App, caller: &Caller, agent: &str) -> Outcome<Vec<Permission>> {
    let agent = find(app, caller, agent).await?;
    let belt = toolbelt(app, &agent).await?;
    let items = store::toolbelts::items(&app.store, belt.id).await?;
    let rows = store::agents::permissions_of_toolbelt(&app.store, belt.id).await?;
    let of = |row: &PermissionRow| items.iter().find(|item| item.id == row.item);
    let mut all: Vec<Permission> = rows
        .into_iter()
        .filter_map(|row| of(&row).map(|item| render_permission(row.clone(), &item.instance_name)))
        .collect();
    all.sort_by(|a, b| (&a.instance, &a.tool).cmp(&(&b.instance, &b.tool)));
    Ok(all)
}

/// Allows or denies a tool of a member, in the place of what was said of it before.
///
/// # Errors
/// 403 as for every change, 404 with the nearest name, 422 with field.
pub(crate) async fn set_permission(
    app: &App,
    caller: &Caller,
    agent: &str,
    request: &PermissionRequest,
) -> Outcome<Permission> {
    let agent = find_own(app, caller, agent).await?;
    caller.require_scope(&Scope::Admin)?;
    check_pattern("tool", &request.tool)?;
    let belt = toolbelt(app, &agent).await?;
    let item = toolbelts::member(app, &belt, &request.instance).await?;
    let mut others = store::agents::permissions(&app.store, item.id).await?;
    others.retain(|row| row.capability_name != request.tool);
    let servers = store::agents::servers(&app.store, agent.id).await?;
    let granted = servers.iter().filter(|row| row.instance == item.instance);
    let named = granted.filter_map(|row| row.allowed_tools.as_ref()).flatten();
    let all = others.iter().map(|row| &row.capability_name).chain(named).chain([&request.tool]);
    check_together("tool", all)?;
    let at = now();
    let row = PermissionRow {
        id: CapabilityPermissionId::generate(),
        item: item.id,
        capability_name: request.tool.clone(),
        is_allowed: request.is_allowed,
        created_at: at,
        updated_at: at,
    };
    let mut tx = app.store.begin().await?;
    let row = store::agents::set_permission(&mut tx, &row).await?;
    let detail =
        json!({ "instance": item.instance_name, "tool": row.capability_name, "is_allowed": row.is_allowed });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("agent.permission", &agent, detail)).await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    Ok(render_permission(row, &item.instance_name))
}

/// Forgets what was said of a tool of a member. What was allowed by it alone is denied from then on.
///
/// # Errors
/// 403 as for every change; 404 with the nearest name, and when nothing was said of it.
pub(crate) async fn forget_permission(
    app: &App,
    caller: &Caller,
    agent: &str,
    (instance, tool): (&str, &str),
) -> Outcome<()> {
    let agent = find_own(app, caller, agent).await?;
    // Forgetting a denial may grant.
    caller.require_scope(&Scope::Admin)?;
    let belt = toolbelt(app, &agent).await?;
    let item = toolbelts::member(app, &belt, instance).await?;
    let mut tx = app.store.begin().await?;
    if !store::agents::remove_permission(&mut tx, item.id, tool).await? {
        let message = format!("nothing is said of `{tool}` of `{}`", item.instance_name);
        return Err(Problem::refused(api::errors::ErrorCode::NotFound, message)
            .field("tool")
            .hint(format!("`berth agent show {}` shows what is said, and how it is written", agent.name)));
    }
    let detail = json!({ "instance": item.instance_name, "tool": tool, "is_allowed": null });
    audit::note(&mut tx, caller.account, caller.actor(), now(), act("agent.permission", &agent, detail))
        .await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    Ok(())
}

async fn members(app: &App, agent: &AgentRow) -> Outcome<Vec<ItemRow>> {
    let belt = toolbelt(app, agent).await?;
    Ok(store::toolbelts::items(&app.store, belt.id).await?)
}

fn check_pattern(field: &str, text: &str) -> Outcome<()> {
    if text.is_empty() || MAX_PATTERN < text.chars().count() || text.chars().any(char::is_control) {
        let message =
            format!("a tool's name has 1 to {MAX_PATTERN} characters, none of them control characters");
        return Err(Problem::invalid(field, message).hint("`*` stands for any characters"));
    }
    Ok(())
}

fn check_together<'a>(field: &str, names: impl Iterator<Item = &'a String>) -> Outcome<()> {
    // Beside the name: quotes and a comma; what is escaped takes more.
    let size: usize = names.map(|name| name.escape_default().count() + 3).sum();
    if size <= MAX_TOGETHER {
        return Ok(());
    }
    let message =
        format!("the tools that are named of one instance have at most {MAX_TOGETHER} bytes together");
    Err(Problem::invalid(field, message)
        .hint("say more with one pattern (`get_*`), or grant the instance as a whole"))
}

fn render_toolbox(row: ToolboxAccessRow) -> ToolboxAccess {
    ToolboxAccess { id: row.id, environment: row.environment_name, granted_at: row.granted_at }
}

fn render_server(row: ServerAccessRow, items: &[ItemRow]) -> ServerAccess {
    let at: Timestamp = now();
    ServerAccess {
        is_active: row.counts_at(at),
        is_member: items.iter().any(|item| item.instance == row.instance && item.is_active),
        id: row.id,
        instance: row.instance_name,
        level: row.level,
        allowed_tools: row.allowed_tools,
        granted_at: row.granted_at,
        expires_at: row.expires_at,
    }
}

fn render_permission(row: PermissionRow, instance: &InstanceName) -> Permission {
    Permission {
        id: row.id,
        instance: instance.clone(),
        tool: row.capability_name,
        is_allowed: row.is_allowed,
        updated_at: row.updated_at,
    }
}
