//! Toolbelts: one address over what several instances of the account have. Here is what people say of them; what members have is seen by
//! the toolbelt that runs.

mod features;
mod members;

use std::collections::HashMap;

use api::errors::ErrorCode;
use api::toolbelts::{ChangeToolbeltRequest, CreateToolbeltRequest, Member, Toolbelt};
use api::users::Role;
use domain::ids::{AccountId, AgentId, InstanceId, ToolbeltId};
use domain::names::InstanceName;
use domain::status::InstanceStatus;
use domain::toolbelts::{Kind, Mode, OnChange};
use serde_json::json;
use store::agents::AgentRow;
use store::toolbelts::{FeatureCount, ItemRow, Settings, ToolbeltRow};
use store::{StoreError, Tx};

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, agents};
use crate::auth::Caller;
use crate::belts::MemberState;
use crate::directory::now;

pub(crate) use features::{approve, features, set_feature};
pub(crate) use members::{add_member, member, remove_member, set_active};

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;

/// The account's toolbelts, by name.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Toolbelt>> {
    let known = Known::read(app, caller.account).await?;
    let mut all = Vec::new();
    for row in store::toolbelts::list(&app.store, caller.account).await? {
        let items = store::toolbelts::items(&app.store, row.id).await?;
        all.push(known.render(app, caller, row, &items));
    }
    Ok(all)
}

/// One toolbelt.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Toolbelt> {
    let row = find(app, caller, name).await?;
    let states = app.belts.look(caller, row.id, false).await;
    let items = store::toolbelts::items(&app.store, row.id).await?;
    Ok(Known::read(app, caller.account).await?.with(states).render(app, caller, row, &items))
}

/// Makes a toolbelt that has no members yet.
///
/// # Errors
/// 403 below a member; 409 when a toolbelt or an instance has the name; 422 with field.
pub(crate) async fn create(app: &App, caller: &Caller, request: &CreateToolbeltRequest) -> Outcome<Toolbelt> {
    caller.require(Role::Member)?;
    let at = now();
    let row = ToolbeltRow {
        id: ToolbeltId::generate(),
        account: caller.account,
        name: name_of(&request.name)?,
        agent: None,
        description: description(request.description.as_deref())?,
        mode: request.mode.unwrap_or(Mode::List),
        on_change: request.on_change.unwrap_or(OnChange::Keep),
        generation: 1,
        created_at: at,
        updated_at: at,
    };
    let mut tx = app.store.begin().await?;
    match insert(&mut tx, &row, caller.actor()).await {
        Err(Problem::Refused(detail)) if detail.code == ErrorCode::Conflict => {
            drop(tx);
            return Err(taken(app, caller, &row.name).await?);
        }
        other => other?,
    }
    tx.commit().await?;
    app.belt_changed(&row).await?;
    rendered(app, caller, row).await
}

/// Writes a toolbelt's row and its audit line.
///
/// # Errors
/// 409 when the name is taken.
pub(crate) async fn insert(tx: &mut Tx, row: &ToolbeltRow, actor: String) -> Outcome<()> {
    store::toolbelts::insert(tx, row).await?;
    let detail = json!({ "mode": row.mode, "on_change": row.on_change, "agent": row.agent });
    audit::note(tx, row.account, actor, row.created_at, act("toolbelt.create", row, detail)).await
}

/// Changes what people set of a toolbelt.
///
/// # Errors
/// 403 below a member, and for an agent's toolbelt as [`agents::require_own`]; 404; 422 with field.
pub(crate) async fn update(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ChangeToolbeltRequest,
) -> Outcome<Toolbelt> {
    let before = find_to_change(app, caller, name).await?;
    let settings = Settings {
        description: match &request.description {
            None => before.description.clone(),
            Some(text) => description(Some(text))?,
        },
        mode: request.mode.unwrap_or(before.mode),
        on_change: request.on_change.unwrap_or(before.on_change),
    };
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = store::toolbelts::set(&mut tx, caller.account, before.id, &settings, at).await?;
    let detail = json!({ "mode": row.mode, "on_change": row.on_change });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("toolbelt.set", &row, detail)).await?;
    tx.commit().await?;
    app.belt_changed(&row).await?;
    rendered(app, caller, row).await
}

/// Removes a toolbelt; its members stay as they are.
///
/// # Errors
/// 403 below a member, 404, 409 for an agent's, which goes with the agent.
pub(crate) async fn delete(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    caller.require(Role::Member)?;
    let row = find(app, caller, name).await?;
    if let Some(agent) = row.agent {
        let agent = agents::by_id(app, caller, agent).await?;
        let message =
            format!("`{}` is the toolbelt of the agent `{}`, which cannot be without", row.name, agent.name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .hint(format!("`berth agent delete {}` removes both", agent.name)));
    }
    let mut tx = app.store.begin().await?;
    let row = store::toolbelts::remove(&mut tx, caller.account, row.id).await?;
    let act = act("toolbelt.delete", &row, json!({}));
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    app.belt_changed(&row).await
}

/// The account's toolbelt of a name, or of an id.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn find(app: &App, caller: &Caller, name: &str) -> Outcome<ToolbeltRow> {
    if let Ok(name) = name.parse::<InstanceName>()
        && let Some(row) = store::toolbelts::find(&app.store, caller.account, &name).await?
    {
        return Ok(row);
    }
    if let Ok(id) = name.parse::<ToolbeltId>()
        && let Some(row) = store::toolbelts::by_id(&app.store, id).await?
        && row.account == caller.account
    {
        return Ok(row);
    }
    let rows = store::toolbelts::list(&app.store, caller.account).await?;
    let problem = Problem::not_found("toolbelt", name);
    Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth toolbelt list` shows those there are"),
    })
}

/// The same, for somebody who is to change it.
///
/// # Errors
/// 403 below a member, and for an agent's toolbelt as [`agents::require_own`]; 404.
async fn find_to_change(app: &App, caller: &Caller, name: &str) -> Outcome<ToolbeltRow> {
    caller.require(Role::Member)?;
    let row = find(app, caller, name).await?;
    if let Some(agent) = row.agent {
        agents::require_own(app, caller, &agents::by_id(app, caller, agent).await?)?;
    }
    Ok(row)
}

/// A name that is no id, so that both may be written in the same place.
///
/// # Errors
/// 422.
pub(crate) fn name_of(text: &str) -> Outcome<InstanceName> {
    let name = text.parse::<InstanceName>().map_err(|error| Problem::invalid("name", error))?;
    if text.parse::<ToolbeltId>().is_ok() {
        return Err(Problem::invalid("name", format!("`{text}` looks like an id")).hint("choose a name"));
    }
    Ok(name)
}

/// What people say of something; none for an empty text.
///
/// # Errors
/// 422.
pub(crate) fn description(text: Option<&str>) -> Outcome<Option<String>> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if MAX_DESCRIPTION < text.chars().count() {
        let message = format!("a description has at most {MAX_DESCRIPTION} characters");
        return Err(Problem::invalid("description", message));
    }
    if text.contains('\0') {
        return Err(Problem::invalid("description", "a description has no NUL characters"));
    }
    Ok(Some(text.to_owned()))
}

/// 409 that says who has the name.
///
/// # Errors
/// What the store says.
pub(crate) async fn taken(app: &App, caller: &Caller, name: &InstanceName) -> Result<Problem, StoreError> {
    let free = store::instances::next_free_name(&app.store, caller.account, name).await?;
    let is_belt = store::toolbelts::find(&app.store, caller.account, name).await?.is_some();
    let what = if is_belt { "a toolbelt" } else { "an instance" };
    let message = format!("{what} `{name}` exists already, and a name is one address");
    Ok(Problem::refused(ErrorCode::Conflict, message).field("name").hint(format!("`{free}` is free")))
}

pub(crate) fn act<'a>(action: &'a str, row: &'a ToolbeltRow, detail: serde_json::Value) -> Act<'a> {
    Act { action, kind: "toolbelt", id: row.id.to_string(), name: row.name.as_str(), detail }
}

async fn rendered(app: &App, caller: &Caller, row: ToolbeltRow) -> Outcome<Toolbelt> {
    let items = store::toolbelts::items(&app.store, row.id).await?;
    Ok(Known::read(app, caller.account).await?.render(app, caller, row, &items))
}

/// What is shown beside a toolbelt.
struct Known {
    agents: Vec<AgentRow>,
    counts: Vec<FeatureCount>,
    statuses: HashMap<InstanceId, InstanceStatus>,
    troubles: HashMap<InstanceId, String>,
}

impl Known {
    async fn read(app: &App, account: AccountId) -> Outcome<Self> {
        let instances = store::instances::list(&app.store, account).await?;
        Ok(Self {
            agents: store::agents::list(&app.store, account).await?,
            counts: store::toolbelts::feature_counts(&app.store, account).await?,
            statuses: instances.into_iter().map(|row| (row.id, row.status)).collect(),
            troubles: HashMap::new(),
        })
    }

    /// With what the running toolbelt knows of its members.
    fn with(mut self, states: Vec<MemberState>) -> Self {
        let troubles = states.into_iter().filter_map(|state| Some((state.instance, state.trouble?)));
        self.troubles = troubles.collect();
        self
    }

    fn agent(&self, id: AgentId) -> Option<InstanceName> {
        self.agents.iter().find(|agent| agent.id == id).map(|agent| agent.name.clone())
    }

    fn member(&self, item: &ItemRow) -> Member {
        let of_item = || self.counts.iter().filter(|count| count.item == item.id);
        let of = |kinds: &[Kind]| {
            of_item().filter(|count| kinds.contains(&count.kind)).map(|count| count.all).sum()
        };
        Member {
            id: item.id,
            instance: item.instance_name.clone(),
            // Gone between two questions.
            status: self.statuses.get(&item.instance).copied().unwrap_or(InstanceStatus::Deleting),
            is_active: item.is_active,
            // One that is hidden is not asked: what was known of it is old.
            trouble: self.troubles.get(&item.instance).filter(|_| item.is_active).cloned(),
            tools: of(&[Kind::Tool]),
            prompts: of(&[Kind::Prompt]),
            resources: of(&[Kind::Resource, Kind::Template]),
            changed: of_item().map(|count| count.changed).sum(),
            added_at: item.created_at,
        }
    }

    fn render(&self, app: &App, caller: &Caller, row: ToolbeltRow, items: &[ItemRow]) -> Toolbelt {
        Toolbelt {
            url: url(app, caller, &row.name),
            id: row.id,
            agent: row.agent.and_then(|id| self.agent(id)),
            name: row.name,
            description: row.description,
            mode: row.mode,
            on_change: row.on_change,
            generation: row.generation,
            members: items.iter().map(|item| self.member(item)).collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The MCP address of a toolbelt.
pub(crate) fn url(app: &App, caller: &Caller, name: &InstanceName) -> String {
    format!("{}{}{}/{name}", app.public().url, gateway::PREFIX, caller.account_name)
}
