//! Entries of the older catalogs as entries of Berth's. They are named `imported/…`, so that none takes a name that Berth's own catalog
//! has or will have.

use std::collections::{BTreeMap, BTreeSet};

use domain::catalog::{CatalogEntry, Input, InputFormat, InputTarget, Listing, Transport};
use domain::container::Container;
use domain::ids::CatalogEntryId;
use domain::names::slug;
use domain::package::Package;
use domain::spec::Launch;
use serde_json::Value;
use store::older::OlderEntry;

use super::docker::no_variable;
use super::plan::Planner;
use super::report::Verdict;
use super::words;
use crate::app::catalog::IMPORTED;

const KIND: &str = "catalog entry";

/// Plans all of them; what instances may refer to is noted.
pub(super) fn plan(planner: &mut Planner<'_>) {
    let known: BTreeMap<_, _> = planner.known.entries.iter().map(|entry| (entry.id, entry)).collect();
    let mut taken: BTreeSet<String> = known.values().map(|entry| entry.name.clone()).collect();
    let older = planner.older;
    for row in &older.entries {
        let id = CatalogEntryId(row.id);
        let told = Some(row.id.to_string());
        if id == CatalogEntryId::GENERIC_MCP {
            let note = "Berth has it, under the same id".to_owned();
            planner.say(Verdict::There, KIND, told, &row.name, None, vec![note]);
            continue;
        }
        if !row.is_public {
            let note = "not everybody could see it, and Berth's catalog is everybody's".to_owned();
            planner.say(Verdict::LeftOut, KIND, told, &row.name, None, vec![note]);
            continue;
        }
        if planner.entries.contains(&id) {
            let note = format!("another row of the older database has its id ({})", row.table);
            planner.say(Verdict::LeftOut, KIND, told, &row.name, None, vec![note]);
            continue;
        }
        let there = known.get(&id);
        let name = there.map_or_else(|| free(&row.name, &mut taken), |entry| entry.name.clone());
        let entry = entry_of(row, name);
        planner.entries.insert(id);
        match there {
            None => {
                let notes = entry.listing.unavailable.clone().map(|why| format!("cannot be deployed: {why}"));
                planner.say(Verdict::Create, KIND, told, &entry.name, None, notes.into_iter().collect());
                let at = row.created_at.unwrap_or(planner.scope.now);
                planner.plan.entries.push((entry, at));
            }
            Some(there) => {
                let fields = [
                    ("title", entry.title == there.title),
                    ("description", entry.description == there.description),
                    ("package", entry.package == there.package),
                    ("launch", entry.launch == there.launch),
                    ("inputs", entry.inputs == there.inputs),
                    ("standing", entry.listing.status == there.listing.status),
                ];
                planner.compare(KIND, told, &entry.name, None, &fields);
            }
        }
    }
}

fn free(text: &str, taken: &mut BTreeSet<String>) -> String {
    let base = format!("{IMPORTED}/{}", slug(text));
    let numbered = (2_u32..).map(|number| format!("{base}-{number}"));
    let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
    let name = name.unwrap_or(base);
    taken.insert(name.clone());
    name
}

/// Whether an entry is an MCP server.
pub(super) fn is_mcp(row: &OlderEntry) -> bool {
    row.is_mcp.unwrap_or_else(|| {
        row.category.as_deref() == Some("mcp") || row.template["transport"].as_str().is_some()
    })
}

/// How messages reach a server, by the older word; `None` for WebSocket and what is no word, which MCP does not have.
pub(super) fn transport(word: Option<&str>) -> Option<Transport> {
    match word {
        None | Some("stdio") => Some(Transport::Stdio),
        Some("http" | "streamable-http" | "streamable_http") => Some(Transport::Http),
        Some("sse") => Some(Transport::Sse),
        Some(_) => None,
    }
}

fn entry_of(row: &OlderEntry, name: String) -> CatalogEntry {
    let package = row.image.as_deref().map(|image| format!("oci:{image}").parse::<Package>());
    let unavailable = match &package {
        None => Some("the older catalog names no image".to_owned()),
        Some(Err(error)) => Some(error.to_string()),
        Some(Ok(_)) => None,
    };
    let spoken = transport(row.template["transport"].as_str());
    let is_server = is_mcp(row) && spoken.is_some();
    let launch = Launch {
        transport: spoken.filter(|_| is_server).unwrap_or_default(),
        path: row.template["endpoint"]
            .as_str()
            .filter(|path| is_server && path.starts_with('/') && spoken != Some(Transport::Stdio))
            .map(str::to_owned),
        container: (!is_server).then(Container::default),
        ..Launch::default()
    };
    CatalogEntry {
        id: CatalogEntryId(row.id),
        title: row.title.clone().unwrap_or_else(|| row.name.clone()),
        name,
        description: row.description.clone().unwrap_or_default(),
        category: row.category.clone().unwrap_or_else(|| "other".to_owned()),
        transport: launch.transport,
        package: package.and_then(Result::ok),
        launch,
        inputs: inputs_of(row),
        templates: Vec::new(),
        documentation_url: row.documentation_url.clone(),
        listing: Listing {
            source: Some(IMPORTED.to_owned()),
            version: row.version.clone(),
            publisher: row.publisher.clone(),
            status: words::standing(row.status.as_deref()),
            published_at: row.created_at,
            repository_url: row.repository_url.clone(),
            icon_url: row.icon_url.clone(),
            verified: row.is_verified,
            unavailable,
            ..Listing::default()
        },
    }
}

/// One secret that an entry takes: its name there, its variable, what it is.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) variable: &'a str,
    pub(super) kind: Option<&'a str>,
    description: Option<&'a str>,
    required: bool,
}

/// The secrets of `required_secrets_schema`.
pub(super) fn secrets_of(row: &OlderEntry) -> impl Iterator<Item = Wanted<'_>> {
    row.secrets.as_array().into_iter().flatten().filter_map(|item| {
        let name = item["name"].as_str().or(item["env_var_name"].as_str())?;
        Some(Wanted {
            name,
            variable: item["env_var_name"].as_str().unwrap_or(name),
            kind: item["type"].as_str(),
            description: item["description"].as_str(),
            required: item["required"].as_bool().unwrap_or(false),
        })
    })
}

fn inputs_of(row: &OlderEntry) -> Vec<Input> {
    let mut inputs: Vec<Input> = Vec::new();
    let secrets = secrets_of(row).map(|wanted| Input {
        name: wanted.variable.to_owned(),
        description: wanted.description.unwrap_or(wanted.name).to_owned(),
        target: InputTarget::Env { variable: wanted.variable.to_owned() },
        format: InputFormat::String,
        required: wanted.required,
        secret: true,
        default: None,
        placeholder: None,
        choices: Vec::new(),
    });
    let required: Vec<&str> =
        row.settings["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = row.settings["properties"].as_object().into_iter().flatten();
    let settings = properties.map(|(name, schema)| Input {
        name: name.clone(),
        description: schema["description"].as_str().unwrap_or(name).to_owned(),
        target: InputTarget::Env { variable: name.clone() },
        format: match schema["type"].as_str() {
            Some("number" | "integer") => InputFormat::Number,
            Some("boolean") => InputFormat::Boolean,
            _ => InputFormat::String,
        },
        required: required.contains(&name.as_str()),
        secret: false,
        default: scalar(&schema["default"]),
        placeholder: None,
        choices: schema["enum"].as_array().into_iter().flatten().filter_map(scalar).collect(),
    });
    for input in secrets.chain(settings) {
        if no_variable(&input.name).is_none() && inputs.iter().all(|known| known.name != input.name) {
            inputs.push(input);
        }
    }
    inputs
}

/// A value that can be one of an environment variable.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}
