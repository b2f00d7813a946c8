//! Older instances as Berth's: containers of images, with what was set and what was secret.

use std::collections::{BTreeMap, BTreeSet};

use domain::catalog::Transport;
use domain::container::Container;
use domain::ids::{CatalogEntryId, EnvironmentId, InstanceId};
use domain::names::InstanceName;
use domain::package::Package;
use domain::secret::{Secret, Secrets};
use domain::spec::{DesiredState, Launch, Limits};
use domain::status::InstanceStatus;
use store::instances::{InstanceRow, Moving, SpecColumn};
use store::older::{OlderEntry, OlderInstance, Vault};

use super::docker::{Options, no_variable};
use super::entries::{is_mcp, scalar, secrets_of, transport};
use super::names::{free, was};
use super::plan::Planner;
use super::report::Verdict;
use super::words::{self, InstanceWord};
use crate::app::Outcome;

const KIND: &str = "instance";
/// Members of `config_values` that say what something is and are no settings.
const TOLD: [&str; 6] =
    ["secret_vault_ids", "transport", "endpoint", "capabilities", "docker_image", "image"];
/// What is in the name of a setting that is better sealed.
const SECRETIVE: [&str; 8] =
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL"];
/// The longest name on a host.
const MAX_NAME: usize = 128;

/// What an older instance is here.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) spec: SpecColumn,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) secrets: Secrets,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
    /// Variables whose values could not be opened.
    pub(super) missing: Vec<String>,
}

/// Plans all of them.
///
/// # Errors
/// What cannot happen to a name.
pub(super) fn plan(planner: &mut Planner<'_>) -> Outcome<()> {
    let (older, known) = (planner.older, planner.known);
    let mut on_host: BTreeSet<(EnvironmentId, String)> =
        known.instances.iter().map(|row| (row.environment, row.instance_name_on_toolbox.clone())).collect();
    for row in &older.instances {
        one(planner, row, &mut on_host)?;
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one row, and all that can be wrong with it, in order")]
fn one(
    planner: &mut Planner<'_>,
    row: &OlderInstance,
    on_host: &mut BTreeSet<(EnvironmentId, String)>,
) -> Outcome<()> {
    let told = Some(row.id.to_string());
    let older = planner.older;
    let entry = row.entry.and_then(|id| older.entries.iter().find(|entry| entry.id == id));
    let called = row.name.as_deref().or(entry.map(|entry| entry.name.as_str()));
    let shown = called.unwrap_or("without a name").to_owned();
    let leave = |planner: &mut Planner<'_>, place: Option<usize>, why: String| {
        planner.say(Verdict::LeftOut, KIND, Some(row.id.to_string()), &shown, place, vec![why]);
    };
    let Some((place, environment)) = planner.environments.get(&row.environment).cloned() else {
        let why = format!("its environment {} is not taken over, or not there", row.environment);
        leave(planner, None, why);
        return Ok(());
    };
    if planner.instances.contains_key(&row.id) {
        leave(
            planner,
            Some(place),
            format!("another table of the older database has its id ({})", row.table),
        );
        return Ok(());
    }
    let (mut desired, status, mut notes) = match words::instance(row.status.as_deref()) {
        InstanceWord::Wanted(desired, status) => (desired, status, Vec::new()),
        InstanceWord::Gone => {
            let word = row.status.as_deref().unwrap_or_default();
            leave(planner, Some(place), format!("its owner wanted it gone (`{word}`)"));
            return Ok(());
        }
        InstanceWord::Unknown => {
            let note = "its status is a word that is not known, so it is not started".to_owned();
            (DesiredState::Stopped, InstanceStatus::Stopped, vec![note])
        }
    };
    let mut made = match of_row(row, entry, &older.vault) {
        Ok(made) => made,
        Err(why) => {
            leave(planner, Some(place), why);
            return Ok(());
        }
    };
    let mut status = status;
    if row.enabled == Some(false) {
        (desired, status) = (DesiredState::Stopped, InstanceStatus::Stopped);
    }
    for variable in &made.missing {
        let why = older.vault.why.clone().unwrap_or_else(|| "it is in no vault".to_owned());
        let name = format!("{shown} {variable}");
        planner.say(Verdict::GiveAgain, "secret", told.clone(), &name, Some(place), vec![why]);
    }

    let id = InstanceId(row.id);
    if let Some(here) = planner.known.instances.iter().find(|known| known.id == id) {
        if here.account != environment.account {
            let note = "it is another account's here".to_owned();
            planner.say(Verdict::Differs, KIND, told, here.name.as_str(), Some(place), vec![note]);
            return Ok(());
        }
        if here.deleting {
            let note = "it is being removed here".to_owned();
            planner.say(Verdict::Differs, KIND, told, here.name.as_str(), Some(place), vec![note]);
            return Ok(());
        }
        let fields = [
            ("environment", here.environment == environment.id),
            ("package", here.spec.package == made.spec.package),
            ("launch", here.spec.launch == made.spec.launch),
            ("settings", here.settings == made.settings),
            ("secrets", !made.missing.is_empty() || planner.known.secrets.get(&id) == Some(&made.secrets)),
        ];
        planner.compare(KIND, told, here.name.as_str(), Some(place), &fields);
        planner.instances.insert(row.id, here.clone());
        return Ok(());
    }

    let name: InstanceName = free(called, "tool", planner.addresses.entry(environment.account).or_default())?;
    notes.extend(was(called, name.as_str()));
    notes.append(&mut made.notes);
    let on_toolbox = name_on_host(row, &name, environment.id, on_host, &mut notes);
    let entry = entry.map(|entry| CatalogEntryId(entry.id)).filter(|id| planner.entries.contains(id));
    let at = row.created_at.unwrap_or(planner.scope.now);
    let is_error = matches!(status, InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime);
    let says = row.error.clone().unwrap_or_else(|| "it did not run on the older platform".to_owned());
    let kept = InstanceRow {
        id,
        account: environment.account,
        environment: environment.id,
        catalog_entry: entry.unwrap_or(CatalogEntryId::GENERIC_MCP),
        name: name.clone(),
        instance_name_on_toolbox: on_toolbox,
        desired,
        generation: 1,
        restarts_asked: 0,
        observed_generation: 0,
        status,
        message: is_error.then_some(says),
        spec: made.spec,
        settings: made.settings,
        secret_names: made.secrets.keys().cloned().collect(),
        secrets_sealed: None,
        version: None,
        digest: None,
        report: None,
        last_heartbeat_from_dtma: None,
        deleting: false,
        created_at: at,
        updated_at: row.updated_at.unwrap_or(at),
    };
    planner.say(Verdict::Create, KIND, told, name.as_str(), Some(place), notes);
    planner.instances.insert(row.id, kept.clone());
    planner.tenant(place).instances.push((kept, made.secrets));
    Ok(())
}

/// Its name on the host stays, since its host looks for it by that; of two with one name the second gets its own.
fn name_on_host(
    row: &OlderInstance,
    name: &InstanceName,
    environment: EnvironmentId,
    taken: &mut BTreeSet<(EnvironmentId, String)>,
    notes: &mut Vec<String>,
) -> String {
    let older = row.name.as_deref().filter(|older| older.len() <= MAX_NAME);
    let kept = older.unwrap_or(name.as_str()).to_owned();
    if taken.insert((environment, kept.clone())) {
        return kept;
    }
    notes.push("another instance of its host has the same name there".to_owned());
    // Names here are unique in the account, and so on the host, unless somebody chose that very name there.
    if taken.insert((environment, name.to_string())) { name.to_string() } else { row.id.to_string() }
}

/// What a row is here.
///
/// # Errors
/// Why it cannot be anything, in words that follow its name.
pub(super) fn of_row(row: &OlderInstance, entry: Option<&OlderEntry>, vault: &Vault) -> Result<Made, String> {
    let mut options = Options::read(&row.options, &row.ports);
    let config = |key: &str| row.config[key].as_str();
    let image = options.image.as_deref().or(row.image.as_deref());
    let image = image.or_else(|| config("docker_image")).or_else(|| config("image"));
    let image = image.or_else(|| entry.and_then(|entry| entry.image.as_deref()));
    let image = image.ok_or("neither it nor its catalog entry names an image")?;
    let package: Package = format!("oci:{image}").parse().map_err(|error| format!("{error}"))?;
    let mut notes = std::mem::take(&mut options.notes);
    let launch = launch_of(row, entry, &mut options, &mut notes);
    let mut made = Made {
        spec: SpecColumn {
            package,
            launch,
            env: BTreeMap::new(),
            limits: Limits { ..options.limits },
            moving: Moving::first(None),
            candidate_of: None,
        },
        settings: BTreeMap::new(),
        secrets: options.env,
        notes,
        missing: Vec::new(),
    };
    fill_config(row, entry, &mut made);
    fill_vault(row, entry, vault, &mut made);
    made.spec.env = made.settings.clone();
    Ok(made)
}

fn launch_of(
    row: &OlderInstance,
    entry: Option<&OlderEntry>,
    options: &mut Options,
    notes: &mut Vec<String>,
) -> Launch {
    let is_server = match row.kind.as_deref() {
        Some("mcp_server") => true,
        Some("standard_tool") => false,
        _ => row.transport.is_some() || entry.is_some_and(is_mcp),
    };
    let word = row.transport.as_deref().or_else(|| row.config["transport"].as_str());
    let word = word.or_else(|| entry.and_then(|entry| entry.template["transport"].as_str()));
    let ports = std::mem::take(&mut options.ports);
    match (is_server, transport(word)) {
        (true, Some(transport)) => {
            if !ports.is_empty() {
                notes.push("its ports are published no more: its callers come to its MCP address".to_owned());
            }
            let over_http = transport != Transport::Stdio;
            let path = row.endpoint.clone().filter(|path| over_http && path.starts_with('/'));
            let port = ports.first().map(|port| port.container).filter(|_| over_http);
            Launch { transport, path, port, ..Launch::default() }
        }
        (is_server, _) => {
            if is_server {
                let word = word.unwrap_or_default();
                notes.push(format!("`{word}` is no transport of MCP, so it is a container tool"));
            }
            Launch { container: Some(Container { ports, ..Container::default() }), ..Launch::default() }
        }
    }
}

/// Plain settings are environment variables; what is one of the entry's secrets, or is called like one, is sealed.
fn fill_config(row: &OlderInstance, entry: Option<&OlderEntry>, made: &mut Made) {
    for (key, value) in row.config.as_object().into_iter().flatten() {
        if TOLD.contains(&key.as_str()) || value.is_null() {
            continue;
        }
        let Some(value) = scalar(value) else {
            made.notes.push(format!("the setting `{key}` is no text and is left out"));
            continue;
        };
        let wanted = entry.and_then(|entry| secrets_of(entry).find(|wanted| wanted.name == key));
        let variable = wanted.as_ref().map_or(key.as_str(), |wanted| wanted.variable);
        if let Some(why) = no_variable(variable) {
            made.notes.push(format!("the setting `{variable}` {why} and is left out"));
            continue;
        }
        let upper = variable.to_ascii_uppercase();
        if wanted.is_some() || SECRETIVE.iter().any(|part| upper.contains(part)) {
            made.secrets.insert(variable.to_owned(), Secret::new(value));
        } else {
            made.settings.insert(variable.to_owned(), value);
        }
    }
}

fn fill_vault(row: &OlderInstance, entry: Option<&OlderEntry>, vault: &Vault, made: &mut Made) {
    let named = row.secret_ids();
    // An id that is none is a secret all the same.
    for name in row.config["secret_vault_ids"].as_object().into_iter().flat_map(|ids| ids.keys()) {
        let wanted = entry.and_then(|entry| secrets_of(entry).find(|wanted| wanted.name == name));
        let variable = wanted.map_or_else(|| variable_of(name), |wanted| wanted.variable.to_owned());
        if let Some(why) = no_variable(&variable) {
            made.notes.push(format!("the secret `{variable}` {why} and is left out"));
            continue;
        }
        match named.get(name).and_then(|id| vault.opened.get(id)) {
            Some(value) => {
                made.settings.remove(&variable);
                made.secrets.insert(variable, value.clone());
            }
            None => made.missing.push(variable),
        }
    }
}

/// The variable of a name such as `api-key`.
pub(super) fn variable_of(name: &str) -> String {
    let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(part).collect()
}
