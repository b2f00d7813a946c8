//! Older environments as Berth's. Their hosts' tokens are taken over, so that their heartbeats count from the first one on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use domain::ids::{AccountId, EnvironmentId};
use domain::secret::Secret;
use domain::status::EnvironmentStatus;
use store::environments::{Droplet, EnvironmentRow};
use store::older::OlderEnvironment;

use super::names::{free, was};
use super::plan::Planner;
use super::report::Verdict;
use super::words;
use crate::app::{Outcome, Problem};
use crate::reach::{Way, dialled_at};

const KIND: &str = "environment";
/// Where every older DTMA listens.
const PORT: u16 = 30000;
/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;

/// What is had once.
struct Taken {
    names: BTreeMap<AccountId, BTreeSet<String>>,
    addresses: BTreeSet<SocketAddr>,
    droplets: BTreeSet<u64>,
    tokens: Vec<Secret>,
}

/// Plans all of them.
///
/// # Errors
/// What cannot happen to a name.
pub(super) fn plan(planner: &mut Planner<'_>) -> Outcome<()> {
    let (older, known) = (planner.older, planner.known);
    let mut had = Taken {
        names: BTreeMap::new(),
        addresses: known.environments.iter().filter_map(dialled_at).collect(),
        droplets: known.environments.iter().filter_map(|row| row.droplet.id).collect(),
        tokens: known.tokens.values().cloned().collect(),
    };
    for row in &known.environments {
        had.names.entry(row.account).or_default().insert(row.name.to_string());
    }
    for row in &older.environments {
        one(planner, row, &mut had)?;
    }
    Ok(())
}

fn one(planner: &mut Planner<'_>, row: &OlderEnvironment, had: &mut Taken) -> Outcome<()> {
    let told = Some(row.id.to_string());
    let called = row.name.as_deref().or(row.droplet_name.as_deref());
    let shown = called.unwrap_or("without a name").to_owned();
    let id = EnvironmentId(row.id);
    let (place, user) = match planner.whose(row.user) {
        Ok(whose) => whose,
        Err(why) => {
            planner.say(Verdict::LeftOut, KIND, told, &shown, None, vec![why]);
            return Ok(());
        }
    };
    let account = planner.account_id(place);
    if let Some(here) = planner.known.environments.iter().find(|known| known.id == id) {
        if here.account != account {
            let note = "it is another account's here, with what is on it".to_owned();
            planner.say(Verdict::Differs, KIND, told, here.name.as_str(), Some(place), vec![note]);
            return Ok(());
        }
        let token = planner.known.tokens.get(&id);
        let fields = [
            ("address", row.address == here.public_ip_address),
            ("droplet", row.droplet.is_none() || row.droplet == here.droplet.id || here.droplet.id.is_none()),
            ("token", row.token.is_none() || row.token.as_ref() == token),
        ];
        planner.compare(KIND, told, here.name.as_str(), Some(place), &fields);
        planner.environments.insert(row.id, (place, here.clone()));
        return Ok(());
    }
    if planner.environments.contains_key(&row.id) {
        return Ok(());
    }

    let name: domain::names::EnvironmentName =
        free(called, "toolbox", had.names.entry(account).or_default())?;
    let mut notes: Vec<String> = was(row.name.as_deref(), name.as_str()).into_iter().collect();
    let has_machine = row.droplet.is_some() || row.address.is_some();
    let (status, note) = words::environment(row.status.as_deref(), has_machine);
    notes.extend(note.map(str::to_owned));
    let way = way_of(planner.scope.insecure_http, row, had, &mut notes);
    let token = token_of(row, had, &mut notes);
    let droplet = row.droplet.filter(|number| had.droplets.insert(*number));
    if droplet != row.droplet {
        notes.push("its droplet is another environment's here".to_owned());
    }
    let at = row.created_at.unwrap_or(planner.scope.now);
    let reach = serde_json::to_value(way).map_err(|error| Problem::Failed(Box::new(error)))?;
    let is_error = matches!(status, EnvironmentStatus::ErrorCreation | EnvironmentStatus::ErrorProvisioning);
    let made = EnvironmentRow {
        user,
        description: row.description.as_ref().map(|text| text.chars().take(MAX_DESCRIPTION).collect()),
        droplet: Droplet {
            id: droplet,
            name: row.droplet_name.clone(),
            region_slug: row.region.clone(),
            size_slug: row.size.clone(),
            image_slug: row.image.clone(),
        },
        public_ip_address: row.address.clone(),
        provisioning_error_message: row.error.clone().or(note.map(str::to_owned)).filter(|_| is_error),
        updated_at: row.updated_at.unwrap_or(at),
        ..EnvironmentRow::new(id, account, name.clone(), status, reach, at)
    };
    planner.say(Verdict::Create, KIND, told, name.as_str(), Some(place), notes);
    planner.environments.insert(row.id, (place, made.clone()));
    planner.tenant(place).environments.push((made, token));
    Ok(())
}

/// How its host is reached. Heartbeats come whatever this is; it decides how specs and calls go there.
fn way_of(insecure_http: bool, row: &OlderEnvironment, had: &mut Taken, notes: &mut Vec<String>) -> Way {
    let Some(text) = row.address.as_deref() else { return Way::Tunnel };
    let Ok(ip) = text.parse::<IpAddr>() else {
        notes.push("its address is none, so its host is to dial".to_owned());
        return Way::Tunnel;
    };
    let dtma = SocketAddr::new(ip, PORT);
    if !had.addresses.insert(dtma) {
        notes.push(format!("{dtma} is another environment's, so its host is to dial"));
        return Way::Tunnel;
    }
    if insecure_http { Way::Direct { dtma, pin: None } } else { Way::Keyless { dtma } }
}

fn token_of(row: &OlderEnvironment, had: &mut Taken, notes: &mut Vec<String>) -> Option<Secret> {
    let Some(token) = &row.token else {
        notes.push("it has no token there: `berth env enrol` makes one".to_owned());
        return None;
    };
    if had.tokens.contains(token) {
        notes.push("its token is another environment's too: `berth env enrol` makes one".to_owned());
        return None;
    }
    had.tokens.push(token.clone());
    Some(token.clone())
}
