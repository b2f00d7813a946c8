//! Older agents as Berth's: each with a toolbelt of its own, what is in that, and what it may call.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::{
    AccountId, AgentCredentialId, AgentId, CapabilityPermissionId, InstanceId, ServerAccessId, ToolbeltId,
    ToolbeltItemId, ToolboxAccessId, UserId,
};
use domain::names::InstanceName;
use domain::secret::{Secret, Secrets};
use domain::toolbelts::{AccessLevel, CredentialStatus, Mode, OnChange};
use serde_json::Value;
use store::agents::{AgentRow, CredentialRow, PermissionRow, ServerAccessRow, ToolboxAccessRow};
use store::older::{OlderAccess, OlderAgent, OlderCredential, OlderItem, OlderPermission, OlderToolbox};
use store::toolbelts::{ItemRow, ToolbeltRow};
use uuid::Uuid;

use super::entries::secrets_of;
use super::instances::variable_of;
use super::names::{derived, free, was};
use super::plan::{PlacedAgent, PlacedItem, Planner};
use super::report::Verdict;
use crate::app::Outcome;

const AGENT: &str = "agent";
const TOOLBOX: &str = "access to an environment";
const ITEM: &str = "toolbelt item";
const PERMISSION: &str = "permission";
const CREDENTIAL: &str = "credential";
const ACCESS: &str = "access to a server";
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;
/// The longest of a credential's texts, in characters.
const MAX_TEXT: usize = 100;

/// Plans agents, the environments that they may have instances of, and the instances that they have.
///
/// # Errors
/// What cannot happen to a name.
pub(super) fn plan(planner: &mut Planner<'_>) -> Outcome<()> {
    let older = planner.older;
    let mut names: BTreeMap<AccountId, BTreeSet<String>> = BTreeMap::new();
    for row in &planner.known.agents {
        names.entry(row.account).or_default().insert(row.name.to_string());
    }
    for row in &older.agents {
        agent(planner, row, &mut names)?;
    }
    let mut seen = BTreeSet::new();
    for row in &older.toolboxes {
        if seen.insert((row.agent, row.environment)) {
            toolbox(planner, row);
        }
    }
    let mut seen = BTreeSet::new();
    for row in &older.items {
        if seen.insert((row.agent, row.instance)) {
            item(planner, row);
        }
    }
    Ok(())
}

/// Plans what agents bring and what they may call, of all that they have by now.
pub(super) fn plan_rights(planner: &mut Planner<'_>) {
    let older = planner.older;
    for row in &older.permissions {
        permission(planner, row);
    }
    for row in &older.credentials {
        credential(planner, row);
    }
    let mut seen = BTreeSet::new();
    // What an agent's own rows say comes before what follows from others.
    let (said, follows): (Vec<_>, Vec<_>) = older.access.iter().partition(|row| row.id.is_some());
    for row in said.into_iter().chain(follows) {
        if seen.insert((row.agent, row.instance)) {
            access(planner, row);
        }
    }
}

fn agent(
    planner: &mut Planner<'_>,
    row: &OlderAgent,
    names: &mut BTreeMap<AccountId, BTreeSet<String>>,
) -> Outcome<()> {
    let told = Some(row.id.to_string());
    let shown = row.name.clone().unwrap_or_else(|| "without a name".to_owned());
    let (place, user) = match planner.whose(row.user) {
        Ok(whose) => whose,
        Err(why) => {
            planner.say(Verdict::LeftOut, AGENT, told, &shown, None, vec![why]);
            return Ok(());
        }
    };
    let (id, account) = (AgentId(row.id), planner.account_id(place));
    let description: Option<String> =
        row.description.as_ref().map(|text| text.chars().take(MAX_DESCRIPTION).collect());
    let own_belt = ToolbeltId(derived("toolbelt", &row.id.to_string()));
    if let Some(here) = planner.known.agents.iter().find(|known| known.id == id) {
        if here.account != account {
            let note = "it is another account's here".to_owned();
            planner.say(Verdict::Differs, AGENT, told, here.name.as_str(), Some(place), vec![note]);
            return Ok(());
        }
        let belt =
            planner.known.belts.iter().find(|belt| belt.agent == Some(id)).map_or(own_belt, |belt| belt.id);
        let fields = [("description", here.description == description)];
        planner.compare(AGENT, told, here.name.as_str(), Some(place), &fields);
        planner.agents.insert(row.id, PlacedAgent { tenant: place, row: here.clone(), belt });
        return Ok(());
    }
    if planner.agents.contains_key(&row.id) {
        return Ok(());
    }
    let name: InstanceName = free(row.name.as_deref(), AGENT, names.entry(account).or_default())?;
    let address: InstanceName =
        free(Some(name.as_str()), AGENT, planner.addresses.entry(account).or_default())?;
    let mut notes: Vec<String> = was(row.name.as_deref(), name.as_str()).into_iter().collect();
    if address != name {
        notes.push(format!("its toolbelt is `{address}`"));
    }
    let at = row.created_at.unwrap_or(planner.scope.now);
    let updated_at = row.updated_at.unwrap_or(at);
    let kept = AgentRow {
        id,
        account,
        name: name.clone(),
        description,
        created_by: user,
        created_at: at,
        updated_at,
    };
    let belt = ToolbeltRow {
        id: own_belt,
        account,
        name: address,
        agent: Some(id),
        description: None,
        mode: Mode::List,
        on_change: OnChange::Keep,
        generation: 1,
        created_at: at,
        updated_at,
    };
    planner.say(Verdict::Create, AGENT, told, name.as_str(), Some(place), notes);
    planner.agents.insert(row.id, PlacedAgent { tenant: place, row: kept.clone(), belt: belt.id });
    planner.tenant(place).agents.push((kept, belt));
    Ok(())
}

fn toolbox(planner: &mut Planner<'_>, row: &OlderToolbox) {
    let told = row.id.map(|id| id.to_string());
    let agent = planner.agents.get(&row.agent).cloned();
    let environment = planner.environments.get(&row.environment).cloned();
    let (Some(agent), Some((_, environment))) = (agent, environment) else {
        let (shown, why) =
            unplaced(row.agent, "the agent or the environment is not taken over, or not there");
        return planner.say(Verdict::LeftOut, TOOLBOX, told, &shown, None, vec![why]);
    };
    let shown = format!("{}: {}", agent.row.name, environment.name);
    if agent.row.account != environment.account {
        return planner.say(Verdict::LeftOut, TOOLBOX, told, &shown, Some(agent.tenant), vec![crossing()]);
    }
    let mut here = planner.known.toolboxes.iter();
    if here.any(|known| known.agent == agent.row.id && known.environment == environment.id) {
        return planner.say(Verdict::There, TOOLBOX, told, &shown, Some(agent.tenant), vec![]);
    }
    let id =
        row.id.unwrap_or_else(|| derived("toolbox access", &format!("{} {}", row.agent, row.environment)));
    let kept = ToolboxAccessRow {
        id: ToolboxAccessId(id),
        agent: agent.row.id,
        environment: environment.id,
        environment_name: environment.name,
        granted_at: row.granted_at.unwrap_or(agent.row.created_at),
    };
    planner.say(Verdict::Create, TOOLBOX, told, &shown, Some(agent.tenant), vec![]);
    planner.tenant(agent.tenant).toolboxes.push(kept);
}

/// Plans that an agent has an instance; also of what was an agent's own server elsewhere.
pub(super) fn item(planner: &mut Planner<'_>, row: &OlderItem) {
    let told = row.id.map(|id| id.to_string());
    let agent = planner.agents.get(&row.agent).cloned();
    let instance = planner.instances.get(&row.instance).cloned();
    let (Some(agent), Some(instance)) = (agent, instance) else {
        let (shown, why) = unplaced(row.agent, "the agent or the instance is not taken over, or not there");
        return planner.say(Verdict::LeftOut, ITEM, told, &shown, None, vec![why]);
    };
    let shown = format!("{}: {}", agent.row.name, instance.name);
    if agent.row.account != instance.account {
        return planner.say(Verdict::LeftOut, ITEM, told, &shown, Some(agent.tenant), vec![crossing()]);
    }
    let here = planner.known.items.iter();
    let here = here.clone().find(|known| known.toolbelt == agent.belt && known.instance == instance.id);
    let id = row.id.unwrap_or_else(|| derived("toolbelt item", &format!("{} {}", row.agent, row.instance)));
    let placed = PlacedItem {
        tenant: agent.tenant,
        id: here.map_or(ToolbeltItemId(id), |known| known.id),
        instance: instance.id,
        label: shown.clone(),
    };
    planner.items.insert(id, placed);
    if let Some(here) = here {
        let fields = [("state", here.is_active == row.is_active)];
        return planner.compare(ITEM, told, &shown, Some(agent.tenant), &fields);
    }
    let mut notes = Vec::new();
    if instance.spec.launch.container.is_some() {
        notes.push("it is a container tool, of which nothing shows in a toolbelt".to_owned());
    }
    let created_at = row.created_at.unwrap_or(agent.row.created_at);
    let kept = ItemRow {
        id: ToolbeltItemId(id),
        toolbelt: agent.belt,
        instance: instance.id,
        instance_name: instance.name,
        environment: instance.environment,
        is_active: row.is_active,
        created_at,
        updated_at: row.updated_at.unwrap_or(created_at),
    };
    planner.say(Verdict::Create, ITEM, told, &shown, Some(agent.tenant), notes);
    planner.tenant(agent.tenant).items.push(kept);
}

fn permission(planner: &mut Planner<'_>, row: &OlderPermission) {
    let told = Some(row.id.to_string());
    let Some(item) = planner.items.get(&row.item).cloned() else {
        let why = format!("its toolbelt item {} is not taken over, or not there", row.item);
        return planner.say(Verdict::LeftOut, PERMISSION, told, &row.capability, None, vec![why]);
    };
    let shown = format!("{}: {}", item.label, row.capability);
    let mut here = planner.known.permissions.iter();
    if let Some(here) = here.find(|known| known.item == item.id && known.capability_name == row.capability) {
        let fields = [("answer", here.is_allowed == row.is_allowed)];
        return planner.compare(PERMISSION, told, &shown, Some(item.tenant), &fields);
    }
    let created_at = row.created_at.unwrap_or(planner.scope.now);
    let kept = PermissionRow {
        id: CapabilityPermissionId(row.id),
        item: item.id,
        capability_name: row.capability.clone(),
        is_allowed: row.is_allowed,
        created_at,
        updated_at: row.updated_at.unwrap_or(created_at),
    };
    let note = if row.is_allowed { "allowed" } else { "denied" };
    planner.say(Verdict::Create, PERMISSION, told, &shown, Some(item.tenant), vec![note.to_owned()]);
    planner.tenant(item.tenant).permissions.push(kept);
}

fn credential(planner: &mut Planner<'_>, row: &OlderCredential) {
    let told = Some(row.id.to_string());
    let Some(item) = planner.items.get(&row.item).cloned() else {
        let why = format!("its toolbelt item {} is not taken over, or not there", row.item);
        return planner.say(Verdict::LeftOut, CREDENTIAL, told, &row.kind, None, vec![why]);
    };
    let shown = format!("{}: {}", item.label, row.kind);
    let here = planner.known.credentials.iter().find(|known| known.id.0 == row.id);
    let (status, note) = match row.status.as_deref() {
        None => (CredentialStatus::Active, None),
        Some(word) => match CredentialStatus::of_word(word) {
            Some(status) => (status, None),
            None => {
                (CredentialStatus::RequiresReauth, Some("its status is a word that is not known".to_owned()))
            }
        },
    };
    let opened = row.secret.parse::<Uuid>().ok().and_then(|id| planner.older.vault.opened.get(&id));
    let Some(opened) = opened else {
        if here.is_some() {
            return planner.say(Verdict::There, CREDENTIAL, told, &shown, Some(item.tenant), vec![]);
        }
        let why = planner.older.vault.why.clone();
        let why = why.filter(|_| row.secret.parse::<Uuid>().is_ok());
        let why = why.unwrap_or_else(|| "it is no id of the vault's".to_owned());
        return planner.say(Verdict::GiveAgain, CREDENTIAL, told, &shown, Some(item.tenant), vec![why]);
    };
    let values = values_of(planner, row, item.instance, opened);
    if let Some(here) = here {
        let fields = [
            ("status", here.status == status),
            ("value", planner.known.values.get(&here.id) == Some(&values)),
        ];
        return planner.compare(CREDENTIAL, told, &shown, Some(item.tenant), &fields);
    }
    let created_at = row.created_at.unwrap_or(planner.scope.now);
    let kept = CredentialRow {
        id: AgentCredentialId(row.id),
        item: item.id,
        credential_type: row.kind.chars().take(MAX_TEXT).collect(),
        sealed: String::new(),
        account_identifier: row.account_identifier.as_ref().map(|text| text.chars().take(MAX_TEXT).collect()),
        last_validated_at: row.last_validated_at,
        status,
        created_at,
        updated_at: row.updated_at.unwrap_or(created_at),
    };
    planner.say(Verdict::Create, CREDENTIAL, told, &shown, Some(item.tenant), note.into_iter().collect());
    planner.tenant(item.tenant).credentials.push((kept, values));
}

/// The variables of a credential, as the older backend found them: the entry's secret of its type; of an object each member.
fn values_of(planner: &Planner<'_>, row: &OlderCredential, instance: InstanceId, value: &Secret) -> Secrets {
    let made_of =
        planner.older.instances.iter().find(|known| known.id == instance.0).and_then(|row| row.entry);
    let entry = planner.older.entries.iter().find(|entry| Some(entry.id) == made_of);
    if let Ok(Value::Object(members)) = serde_json::from_str::<Value>(value.expose()) {
        let texts = members.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        let all: Secrets = texts.map(|(name, text)| (variable_of(name), Secret::new(text))).collect();
        if !all.is_empty() {
            return all;
        }
    }
    let wanted = || entry.into_iter().flat_map(secrets_of);
    let of_type = wanted().find(|wanted| wanted.kind == Some(&row.kind) || wanted.name == row.kind);
    let only = || wanted().next().filter(|_| wanted().count() == 1);
    let variable = of_type.or_else(only).map_or_else(|| variable_of(&row.kind), |it| it.variable.to_owned());
    Secrets::from([(variable, value.clone())])
}

/// Plans how much of a server an agent may call; also of what was an agent's own server elsewhere.
pub(super) fn access(planner: &mut Planner<'_>, row: &OlderAccess) {
    let told = row.id.map(|id| id.to_string());
    let agent = planner.agents.get(&row.agent).cloned();
    let instance = planner.instances.get(&row.instance).cloned();
    let (Some(agent), Some(instance)) = (agent, instance) else {
        let (shown, why) = unplaced(row.agent, "the agent or the instance is not taken over, or not there");
        return planner.say(Verdict::LeftOut, ACCESS, told, &shown, None, vec![why]);
    };
    let shown = format!("{}: {}", agent.row.name, instance.name);
    let place = Some(agent.tenant);
    if agent.row.account != instance.account {
        return planner.say(Verdict::LeftOut, ACCESS, told, &shown, place, vec![crossing()]);
    }
    let word = row.level.as_deref().unwrap_or("read_only");
    let Some(level) = AccessLevel::of_word(word) else {
        let why = format!("`{word}` is no level of access, and what is not granted is denied");
        return planner.say(Verdict::LeftOut, ACCESS, told, &shown, place, vec![why]);
    };
    let allowed_tools: Option<Vec<String>> = row
        .allowed_tools
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .or((level == AccessLevel::Custom).then(Vec::new));
    let mut here = planner.known.access.iter();
    if let Some(here) = here.find(|known| known.agent == agent.row.id && known.instance == instance.id) {
        let fields = [
            ("level", here.level == level),
            ("list of tools", here.allowed_tools == allowed_tools),
            ("end", here.expires_at == row.expires_at),
            ("state", here.is_active == row.is_active),
        ];
        return planner.compare(ACCESS, told, &shown, place, &fields);
    }
    let granted_at = row.granted_at.unwrap_or(agent.row.created_at);
    let id = row.id.unwrap_or_else(|| derived("server access", &format!("{} {}", row.agent, row.instance)));
    let kept = ServerAccessRow {
        id: ServerAccessId(id),
        agent: agent.row.id,
        instance: instance.id,
        instance_name: instance.name,
        granted_by: row.granted_by.and_then(|user| person(planner, user, agent.tenant)),
        level,
        allowed_tools,
        granted_at,
        expires_at: row.expires_at,
        is_active: row.is_active,
        created_at: granted_at,
        updated_at: granted_at,
    };
    planner.say(Verdict::Create, ACCESS, told, &shown, place, vec![word.to_owned()]);
    planner.tenant(agent.tenant).access.push(kept);
}

/// Somebody who is here already, or with the same account.
fn person(planner: &Planner<'_>, user: Uuid, place: usize) -> Option<UserId> {
    let (tenant, id) = planner.people.get(&user)?.clone().ok()?;
    let id = id?;
    let is_here = planner.known.people.iter().any(|row| row.id == id);
    (is_here || tenant == place).then_some(id)
}

fn unplaced(agent: Uuid, why: &str) -> (String, String) {
    (format!("of agent {agent}"), why.to_owned())
}

fn crossing() -> String {
    "it would reach from one account into another's; `--account` takes all into one".to_owned()
}
