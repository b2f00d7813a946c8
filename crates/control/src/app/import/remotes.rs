//! MCP servers elsewhere that older agents were connected to: each is an instance without a process, in the agent's toolbelt.

use std::collections::BTreeMap;

use domain::catalog::{Transport, is_header, is_own_header};
use domain::ids::{CatalogEntryId, InstanceId};
use domain::names::InstanceName;
use domain::package::Package;
use domain::secret::{Secret, Secrets};
use domain::spec::{DesiredState, Launch, Limits};
use domain::status::InstanceStatus;
use store::environments::EnvironmentRow;
use store::instances::{InstanceRow, Moving, SpecColumn};
use store::older::{Address, OlderAccess, OlderItem, OlderRemote};
use uuid::Uuid;

use super::agents;
use super::names::{derived, free, was};
use super::plan::{PlacedAgent, Planner};
use super::report::Verdict;
use crate::app::Outcome;
use crate::reach::is_local;

/// Members of `auth_config` that are a bearer token.
const BEARER: [&str; 5] = ["access_token", "token", "api_key", "apiKey", "bearer_token"];

/// The id that a remote server has here: it had a number there, or one that is its connection's.
pub(super) fn id_of(row: &OlderRemote) -> Uuid {
    derived(row.table, &row.key_of_row)
}

/// Plans all of them.
///
/// # Errors
/// What cannot happen to a name.
pub(super) fn plan(planner: &mut Planner<'_>) -> Outcome<()> {
    let older = planner.older;
    for row in &older.remotes {
        one(planner, row)?;
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one row, and all that can be wrong with it, in order")]
fn one(planner: &mut Planner<'_>, row: &OlderRemote) -> Outcome<()> {
    let told = Some(row.key_of_row.clone());
    let Some(agent) = row.agent.and_then(|agent| planner.agents.get(&agent)).cloned() else {
        let why = "its agent is not taken over, or not there".to_owned();
        planner.say(Verdict::LeftOut, row.table, told, &row.name, None, vec![why]);
        return Ok(());
    };
    let place = Some(agent.tenant);
    let url = match &row.address {
        Address::Plain(url) => url,
        Address::Secret => {
            let why = "its address is a secret, and Berth shows addresses: `berth deploy https://…` for who may know it";
            planner.say(Verdict::GiveAgain, row.table, told, &row.name, place, vec![why.to_owned()]);
            return Ok(());
        }
        Address::Missing => {
            planner.say(
                Verdict::LeftOut,
                row.table,
                told,
                &row.name,
                place,
                vec!["it has no address".to_owned()],
            );
            return Ok(());
        }
    };
    let Ok(package @ Package::Remote { .. }) = url.parse::<Package>() else {
        let why = "its address is none of an MCP server over HTTP".to_owned();
        planner.say(Verdict::LeftOut, row.table, told, &row.name, place, vec![why]);
        return Ok(());
    };
    let (secrets, missing) = secrets_of(planner, row);
    if let Some(why) = missing {
        planner.say(
            Verdict::GiveAgain,
            row.table,
            told.clone(),
            &format!("{} Authorization", row.name),
            place,
            vec![why],
        );
    }
    let id = InstanceId(id_of(row));
    if let Some(here) = planner.known.instances.iter().find(|known| known.id == id) {
        if here.account == agent.row.account && !here.deleting {
            let fields = [("address", here.spec.package == package)];
            planner.compare(row.table, told, here.name.as_str(), place, &fields);
            planner.instances.insert(id.0, here.clone());
            give(planner, row, id);
        } else {
            let note =
                if here.deleting { "it is being removed here" } else { "it is another account's here" };
            let note = note.to_owned();
            planner.say(Verdict::Differs, row.table, told, here.name.as_str(), place, vec![note]);
        }
        return Ok(());
    }
    let Some(environment) = host_for(planner, &agent) else {
        let why = "no environment of the account can reach out to it: add one and import again".to_owned();
        planner.say(Verdict::LeftOut, row.table, told, &row.name, place, vec![why]);
        return Ok(());
    };
    let taken = planner.addresses.entry(agent.row.account).or_default();
    let name: InstanceName = free(Some(&row.name), "server", taken)?;
    let notes: Vec<String> = was(Some(&row.name), name.as_str()).into_iter().collect();
    let at = row.created_at.unwrap_or(agent.row.created_at);
    let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let transport = if path.ends_with("/sse") { Transport::Sse } else { Transport::Http };
    let kept = InstanceRow {
        id,
        account: agent.row.account,
        environment: environment.id,
        catalog_entry: CatalogEntryId::GENERIC_MCP,
        instance_name_on_toolbox: id.to_string(),
        name: name.clone(),
        desired: if row.is_active { DesiredState::Running } else { DesiredState::Stopped },
        generation: 1,
        restarts_asked: 0,
        observed_generation: 0,
        status: if row.is_active { InstanceStatus::PendingDeploy } else { InstanceStatus::Stopped },
        message: None,
        spec: SpecColumn {
            package,
            launch: Launch { transport, ..Launch::default() },
            env: BTreeMap::new(),
            limits: Limits::default(),
            moving: Moving::first(None),
            candidate_of: None,
        },
        settings: BTreeMap::new(),
        secret_names: secrets.keys().cloned().collect(),
        secrets_sealed: None,
        version: None,
        digest: None,
        report: None,
        last_heartbeat_from_dtma: None,
        deleting: false,
        created_at: at,
        updated_at: at,
    };
    planner.say(Verdict::Create, row.table, told, name.as_str(), place, notes);
    planner.instances.insert(id.0, kept.clone());
    planner.tenant(agent.tenant).instances.push((kept, secrets));
    give(planner, row, id);
    Ok(())
}

/// The agent has it and may call all of it, as it could there.
fn give(planner: &mut Planner<'_>, row: &OlderRemote, instance: InstanceId) {
    let Some(agent) = row.agent else { return };
    let (created_at, is_active) = (row.created_at, row.is_active);
    let item = OlderItem { id: None, agent, instance: instance.0, is_active, created_at, updated_at: None };
    agents::item(planner, &item);
    let access = OlderAccess {
        id: None,
        agent,
        instance: instance.0,
        granted_by: None,
        level: Some("full_access".to_owned()),
        allowed_tools: serde_json::Value::Null,
        granted_at: created_at,
        expires_at: None,
        is_active,
    };
    agents::access(planner, &access);
}

/// Where its shim runs: on this machine when the account has that, else on the first environment of its own.
fn host_for(planner: &Planner<'_>, agent: &PlacedAgent) -> Option<EnvironmentRow> {
    let account = agent.row.account;
    let mut here: Vec<&EnvironmentRow> =
        planner.known.environments.iter().filter(|row| row.account == account).collect();
    here.sort_by_key(|row| (!is_local(row), row.created_at, row.id));
    let mut imported: Vec<&EnvironmentRow> =
        planner.environments.values().map(|(_, row)| row).filter(|row| row.account == account).collect();
    imported.sort_by_key(|row| (row.created_at, row.id));
    let local = here.iter().copied().find(|row| is_local(row));
    local.or(imported.first().copied()).or(here.first().copied()).cloned()
}

/// Headers that open it, and why one is missing.
fn secrets_of(planner: &Planner<'_>, row: &OlderRemote) -> (Secrets, Option<String>) {
    let bearer =
        |token: &str| Secrets::from([("Authorization".to_owned(), Secret::new(format!("Bearer {token}")))]);
    let vault = &planner.older.vault;
    if let Some(key) = &row.key {
        return match key.parse::<Uuid>().ok().and_then(|id| vault.opened.get(&id)) {
            Some(key) if is_one_line(key.expose()) => (bearer(key.expose()), None),
            Some(_) => (Secrets::new(), Some("its key is more than one line".to_owned())),
            None => (
                Secrets::new(),
                Some(vault.why.clone().unwrap_or_else(|| "it is no id of the vault's".to_owned())),
            ),
        };
    }
    let Some(auth) = row.auth.as_object().filter(|auth| !auth.is_empty()) else {
        return (Secrets::new(), None);
    };
    let token = BEARER.iter().find_map(|name| auth.get(*name)?.as_str()).filter(|token| is_one_line(token));
    if let Some(token) = token {
        return (bearer(token), None);
    }
    let headers = auth.get("headers").and_then(serde_json::Value::as_object).into_iter().flatten();
    let texts = headers.filter_map(|(name, value)| Some((name, value.as_str()?)));
    let all: Secrets = texts
        .filter(|(name, value)| is_header(name) && !is_own_header(name) && is_one_line(value))
        .map(|(name, value)| (name.clone(), Secret::new(value)))
        .collect();
    let says_none = auth.get("type").and_then(serde_json::Value::as_str) == Some("none");
    let why = (all.is_empty() && !says_none)
        .then(|| "its `auth_config` has nothing that is a token or headers".to_owned());
    (all, why)
}

fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|b| b < 0x20 || b == 0x7f)
}
