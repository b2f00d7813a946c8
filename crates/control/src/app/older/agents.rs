//! Agents as the older front end knows them: by ids, of what they have and what they may.

use api::agents::{CredentialRequest, PermissionRequest, ServerAccessRequest};
use api::errors::ErrorCode;
use domain::catalog::{InputTarget, is_variable};
use domain::ids::{AgentId, InstanceId};
use domain::secret::{Secret, Secrets};
use domain::toolbelts::{AccessLevel, CredentialStatus};
use serde_json::{Map, Value};
use store::agents::{AgentRow, CredentialRow, PermissionRow, ServerAccessRow, ToolboxAccessRow};
use store::environments::EnvironmentRow;
use store::toolbelts::{ItemRow, ToolbeltRow};

use super::toolboxes;
use crate::app::instances::row_by_id;
use crate::app::{App, Outcome, Problem, agents, catalog, toolbelts};
use crate::auth::Caller;

/// An agent and its toolbelt.
#[derive(Debug)]
pub(crate) struct Belted {
    pub(crate) agent: AgentRow,
    pub(crate) belt: ToolbeltRow,
}

impl Belted {
    /// Its name, or its id, for what takes either.
    fn named(&self) -> String {
        self.agent.id.to_string()
    }
}

/// An agent of the account's.
///
/// # Errors
/// 404.
pub(crate) async fn find(app: &App, caller: &Caller, id: &str) -> Outcome<Belted> {
    let agent = agents::find(app, caller, id).await?;
    Ok(Belted { belt: agents::toolbelt(app, &agent).await?, agent })
}

/// The toolboxes of an agent, as far as they are there.
///
/// # Errors
/// 404.
pub(crate) async fn toolboxes_of(
    app: &App,
    caller: &Caller,
    agent: &str,
) -> Outcome<Vec<(ToolboxAccessRow, EnvironmentRow)>> {
    let of = find(app, caller, agent).await?;
    let mut all = Vec::new();
    for row in store::agents::toolboxes(&app.store, of.agent.id).await? {
        if let Some(environment) = store::environments::by_id(&app.store, row.environment).await? {
            all.push((row, environment));
        }
    }
    Ok(all)
}

/// Grants an agent a toolbox.
///
/// # Errors
/// 400, 403, 404.
pub(crate) async fn grant_toolbox(
    app: &App,
    caller: &Caller,
    agent: &str,
    toolbox: &str,
) -> Outcome<(ToolboxAccessRow, EnvironmentRow)> {
    let environment = toolboxes::find(app, caller, toolbox).await?;
    agents::grant_environment(app, caller, agent, environment.name.as_str()).await?;
    let all = toolboxes_of(app, caller, agent).await?;
    let found = all.into_iter().find(|(row, _)| row.environment == environment.id);
    found.ok_or_else(|| Problem::not_found("toolbox", toolbox))
}

/// Takes a toolbox from an agent, by the id of what granted it.
///
/// # Errors
/// 403, 404.
pub(crate) async fn revoke_toolbox(
    app: &App,
    caller: &Caller,
    agent: &str,
    access: &str,
) -> Outcome<(ToolboxAccessRow, EnvironmentRow)> {
    let all = toolboxes_of(app, caller, agent).await?;
    let found = all.into_iter().find(|(row, _)| row.id.to_string() == access);
    let found = found.ok_or_else(|| none("access to a toolbox", access))?;
    agents::revoke_environment(app, caller, agent, found.1.name.as_str()).await?;
    Ok(found)
}

/// What is in an agent's toolbelt.
///
/// # Errors
/// 404.
pub(crate) async fn items(app: &App, of: &Belted) -> Outcome<Vec<ItemRow>> {
    Ok(store::toolbelts::items(&app.store, of.belt.id).await?)
}

/// One item of an agent's toolbelt, by its own id.
///
/// # Errors
/// 404.
pub(crate) async fn item(app: &App, of: &Belted, id: &str) -> Outcome<ItemRow> {
    let found = items(app, of).await?.into_iter().find(|item| item.id.to_string() == id);
    found.ok_or_else(|| none("item of the agent's toolbelt", id))
}

/// Puts an instance into an agent's toolbelt.
///
/// # Errors
/// 400, 403 also when the agent has no access to its toolbox, 404, 409 when it is there already.
pub(crate) async fn add_item(
    app: &App,
    caller: &Caller,
    of: &Belted,
    instance: &str,
    is_active: bool,
) -> Outcome<ItemRow> {
    let row = row_by_id(app, caller, instance).await?;
    let belt = of.belt.id.to_string();
    let member = toolbelts::add_member(app, caller, &belt, &row.id.to_string()).await?;
    if !is_active {
        toolbelts::set_active(app, caller, &belt, row.name.as_str(), false).await?;
    }
    item(app, of, &member.id.to_string()).await
}

/// Takes an item out of an agent's toolbelt.
///
/// # Errors
/// 403, 404.
pub(crate) async fn remove_item(app: &App, caller: &Caller, of: &Belted, id: &str) -> Outcome<ItemRow> {
    let item = item(app, of, id).await?;
    toolbelts::remove_member(app, caller, &of.belt.id.to_string(), item.instance_name.as_str()).await?;
    Ok(item)
}

/// What an agent brings to an item.
#[derive(Debug)]
pub(crate) struct Brought {
    pub(crate) kind: String,
    pub(crate) value: Value,
    pub(crate) status: CredentialStatus,
    pub(crate) account: Option<String>,
}

/// What an agent brings to an item, without the values.
///
/// # Errors
/// 404.
pub(crate) async fn credentials(app: &App, of: &Belted, id: &str) -> Outcome<Vec<CredentialRow>> {
    let item = item(app, of, id).await?;
    Ok(store::agents::credentials(&app.store, item.id).await?)
}

/// Keeps what an agent brings to an item.
///
/// # Errors
/// 403, 404, 422 with field.
pub(crate) async fn add_credential(
    app: &App,
    caller: &Caller,
    of: &Belted,
    id: &str,
    brought: Brought,
) -> Outcome<CredentialRow> {
    let item = item(app, of, id).await?;
    let values = values(app, &item, &brought).await?;
    let request = CredentialRequest {
        instance: item.id.to_string(),
        credential_type: brought.kind,
        values,
        account_identifier: brought.account,
        status: brought.status,
    };
    let kept = agents::add_credential(app, caller, &of.named(), &request).await?;
    let rows = store::agents::credentials(&app.store, item.id).await?;
    rows.into_iter().find(|row| row.id == kept.id).ok_or_else(|| none("credential", &kept.id.to_string()))
}

/// Removes what an agent brings to an item.
///
/// # Errors
/// 403, 404.
pub(crate) async fn remove_credential(
    app: &App,
    caller: &Caller,
    of: &Belted,
    (id, credential): (&str, &str),
) -> Outcome<CredentialRow> {
    let all = credentials(app, of, id).await?;
    let found = all.into_iter().find(|row| row.id.to_string() == credential);
    let found = found.ok_or_else(|| none("credential of the item", credential))?;
    agents::remove_credential(app, caller, &of.named(), credential).await?;
    Ok(found)
}

/// A text as the value of the one name that can be meant, or an object of names and values.
async fn values(app: &App, item: &ItemRow, brought: &Brought) -> Outcome<Secrets> {
    const FIELD: &str = "credential_value";
    let text = match &brought.value {
        Value::Object(object) => return of_object(object),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(object)) => return of_object(&object),
            _ => text,
        },
        _ => return Err(Problem::invalid(FIELD, "it is a text, or an object of names and texts")),
    };
    let names = names(app, item.instance).await?;
    let is_kind = |name: &&String| name.eq_ignore_ascii_case(&brought.kind);
    let name = match (names.iter().find(is_kind), &names[..]) {
        (Some(name), _) | (None, [name]) => name.clone(),
        (None, []) if is_variable(&brought.kind) => brought.kind.to_ascii_uppercase(),
        (None, []) => {
            return Err(Problem::invalid("credential_type", "no variable can have that name")
                .hint("give `credential_value` as an object of variables and their values"));
        }
        (None, several) => {
            let message = format!("`{}` takes several: {}", item.instance_name, several.join(", "));
            return Err(Problem::invalid(FIELD, message).hint("give an object of names and values"));
        }
    };
    Ok([(name, Secret::new(text.clone()))].into())
}

fn of_object(object: &Map<String, Value>) -> Outcome<Secrets> {
    let pair = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), Secret::new(text.clone()))),
        _ => Err(Problem::invalid(format!("credential_value.{name}"), "a value is a text")),
    };
    object.iter().map(pair).collect()
}

/// What can be brought to an instance: what each caller brings, or the variables of its entry's secrets.
async fn names(app: &App, instance: InstanceId) -> Outcome<Vec<String>> {
    let Some(row) = store::instances::by_id(&app.store, instance).await? else { return Ok(Vec::new()) };
    if !row.spec.launch.each_caller.is_empty() {
        return Ok(row.spec.launch.each_caller.into_keys().collect());
    }
    let index = catalog::index(app).await?;
    let entry = index.entries().find(|entry| entry.id == row.catalog_entry);
    let inputs = entry.into_iter().flat_map(|entry| &entry.inputs).filter(|input| input.secret);
    let variable = |target: &InputTarget| match target {
        InputTarget::Env { variable } => Some(variable.clone()),
        _ => None,
    };
    Ok(inputs.filter_map(|input| variable(&input.target)).collect())
}

/// Which tools of an item an agent may call.
///
/// # Errors
/// 404.
pub(crate) async fn permissions(app: &App, of: &Belted, id: &str) -> Outcome<Vec<PermissionRow>> {
    let item = item(app, of, id).await?;
    Ok(store::agents::permissions(&app.store, item.id).await?)
}

/// Allows or denies a tool of an item.
///
/// # Errors
/// 403, 404, 422 with field.
pub(crate) async fn set_permission(
    app: &App,
    caller: &Caller,
    of: &Belted,
    id: &str,
    (tool, is_allowed): (String, bool),
) -> Outcome<PermissionRow> {
    let item = item(app, of, id).await?;
    let request = PermissionRequest { instance: item.id.to_string(), tool, is_allowed };
    let kept = agents::set_permission(app, caller, &of.named(), &request).await?;
    let rows = store::agents::permissions(&app.store, item.id).await?;
    rows.into_iter().find(|row| row.id == kept.id).ok_or_else(|| none("permission", &kept.id.to_string()))
}

/// What an agent was granted of instances as a whole.
///
/// # Errors
/// What the store says.
pub(crate) async fn servers(app: &App, of: &Belted) -> Outcome<Vec<ServerAccessRow>> {
    Ok(store::agents::servers(&app.store, of.agent.id).await?)
}

/// Grants an agent an instance as a whole: its toolbox, a place in the toolbelt, and as much as `request` says.
///
/// # Errors
/// 400, 403, 404, 422 with field.
pub(crate) async fn grant_server(
    app: &App,
    caller: &Caller,
    of: &Belted,
    instance: &str,
    request: &ServerAccessRequest,
) -> Outcome<()> {
    let row = row_by_id(app, caller, instance).await?;
    agents::require_own(app, caller, &of.agent)?;
    let belt = of.belt.id.to_string();
    let items = items(app, of).await?;
    let member = items.iter().find(|item| item.instance == row.id);
    if member.is_none_or(|item| !item.is_active) {
        let environment = toolboxes::find(app, caller, &row.environment.to_string()).await?;
        agents::grant_environment(app, caller, &of.named(), environment.name.as_str()).await?;
    }
    match member {
        None => drop(toolbelts::add_member(app, caller, &belt, row.name.as_str()).await?),
        Some(item) if !item.is_active => {
            drop(toolbelts::set_active(app, caller, &belt, row.name.as_str(), true).await?);
        }
        Some(_) => {}
    }
    agents::grant_server(app, caller, &of.named(), row.name.as_str(), request).await.map(drop)
}

/// Takes back what an agent was granted of an instance as a whole.
///
/// # Errors
/// 400, 403; 404 also when nothing was granted.
pub(crate) async fn revoke_server(app: &App, caller: &Caller, of: &Belted, instance: &str) -> Outcome<()> {
    let row = row_by_id(app, caller, instance).await?;
    agents::revoke_server(app, caller, &of.named(), row.name.as_str()).await
}

/// How much a word grants; absent: everything, as it was.
///
/// # Errors
/// 422.
pub(crate) fn level(word: Option<&str>) -> Outcome<AccessLevel> {
    let Some(word) = word else { return Ok(AccessLevel::FullAccess) };
    AccessLevel::of_word(word).ok_or_else(|| {
        Problem::invalid("permissionScope", format!("`{word}` is no scope"))
            .hint("it is `read_only`, `full_access` or `custom`")
    })
}

/// What an agent brings to an instance of the calling host: nothing of another host's instances, and of inactive items and credentials
/// nothing either.
///
/// # Errors
/// 400 with field, 404.
pub(crate) async fn secrets(
    app: &App,
    environment: &EnvironmentRow,
    body: &Map<String, Value>,
) -> Outcome<Secrets> {
    fn id<T: std::str::FromStr>(body: &Map<String, Value>, field: &'static str) -> Outcome<T> {
        let id = body.get(field).and_then(Value::as_str).and_then(|id| id.parse().ok());
        id.ok_or_else(|| {
            Problem::refused(ErrorCode::BadRequest, format!("{field} must be a UUID")).field(field)
        })
    }
    let agent: AgentId = id(body, "agentId")?;
    let instance: InstanceId = id(body, "accountToolInstanceId")?;
    let refused = |message: &str| Problem::refused(ErrorCode::NotFound, message);
    let row = store::instances::by_id(&app.store, instance).await?;
    if row.is_none_or(|row| row.environment != environment.id || row.deleting) {
        return Err(refused("this environment has no such instance").field("accountToolInstanceId"));
    }
    let belt = match store::agents::by_id(&app.store, environment.account, agent).await? {
        Some(agent) => store::toolbelts::of_agent(&app.store, agent.id).await?,
        None => None,
    };
    let items = match belt {
        Some(belt) => store::toolbelts::items(&app.store, belt.id).await?,
        None => Vec::new(),
    };
    if !items.iter().any(|item| item.instance == instance && item.is_active) {
        return Err(refused("the instance is not in the toolbelt of such an agent").field("agentId"));
    }
    agents::secrets_of_caller(app, agent, instance).await
}

fn none(what: &str, id: &str) -> Problem {
    Problem::refused(ErrorCode::NotFound, format!("there is no {what} `{id}`"))
}
