//! `/a/{account}/marketplace`: what can be deployed, to be searched; and a page of each entry.

use std::sync::Arc;

use api::catalog::{CatalogEntry, CatalogQuery, Input, InputFormat, InputTarget, Kind, Standing};
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use domain::package::{Package, PackageKind};
use domain::server_json::Document;
use domain::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::app::{App, catalog};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

/// Entries of a page.
const PAGE: u32 = 48;
/// Colours of monograms in the stylesheet.
const COLOURS: u32 = 6;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/marketplace", get(list)).page("/a/{account}/marketplace/{*name}", get(show))
}

/// What is asked for, as it was typed. What is no word of a field chooses nothing.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
struct Wanted {
    q: String,
    category: String,
    sort: String,
    kind: String,
    package: String,
    transport: String,
    secrets: String,
    verified: String,
    offline: String,
    all: String,
    page: String,
}

fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(Value::String(text.to_owned())).ok()
}

impl Wanted {
    /// How many filters are set; an order other than the usual one counts as one.
    fn filters(&self) -> usize {
        let all = [
            &self.category,
            &self.sort,
            &self.kind,
            &self.package,
            &self.transport,
            &self.secrets,
            &self.verified,
            &self.offline,
            &self.all,
        ];
        all.into_iter().filter(|value| !value.is_empty()).count()
    }

    fn page(&self) -> u32 {
        self.page.parse().unwrap_or(1).clamp(1, 100_000)
    }

    fn query(&self) -> CatalogQuery {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        CatalogQuery {
            search: text(&self.q),
            category: text(&self.category),
            kind: word(&self.kind),
            transport: word(&self.transport),
            package: word(&self.package),
            secrets: match self.secrets.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
            offline: (!self.offline.is_empty()).then_some(true),
            verified: (!self.verified.is_empty()).then_some(true),
            deployable: self.all.is_empty().then_some(true),
            sort: word(&self.sort),
            limit: Some(PAGE),
            offset: Some((self.page() - 1) * PAGE),
        }
    }

    /// The query of another page of the same.
    fn of_page(&self, page: u32) -> String {
        let page = page.to_string();
        let pairs = [
            ("q", &self.q),
            ("category", &self.category),
            ("sort", &self.sort),
            ("kind", &self.kind),
            ("package", &self.package),
            ("transport", &self.transport),
            ("secrets", &self.secrets),
            ("verified", &self.verified),
            ("offline", &self.offline),
            ("all", &self.all),
            ("page", &page),
        ];
        let given: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        serde_urlencoded::to_string(given).unwrap_or_default()
    }
}

/// One of the choices of a field: its word, what people read, whether it is chosen.
type Choice = (String, String, bool);

#[derive(Template)]
#[template(path = "marketplace.html")]
struct Marketplace {
    shell: Shell,
    wanted: Wanted,
    categories: Vec<Choice>,
    sorts: Vec<Choice>,
    kinds: Vec<Choice>,
    packages: Vec<Choice>,
    transports: Vec<Choice>,
    secrets: Vec<Choice>,
    cards: Vec<Card>,
    total: usize,
    /// Queries of the page before and the one after.
    before: Option<String>,
    after: Option<String>,
    /// Whether the catalog is only what is part of Berth.
    is_small: bool,
}

/// An entry in few words.
pub(super) struct Card {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) publisher: String,
    pub(super) version: Option<String>,
    pub(super) monogram: Monogram,
    pub(super) is_verified: bool,
    pub(super) is_deprecated: bool,
    pub(super) unavailable: Option<String>,
    /// What it is and what it needs.
    pub(super) tags: Vec<String>,
}

/// The picture of what has none: its first letter, in a colour of its own. Pictures of others are never loaded.
pub(super) struct Monogram {
    pub(super) letter: char,
    pub(super) colour: u32,
}

impl Monogram {
    fn of(title: &str, name: &str) -> Self {
        let letter = title.chars().find(|c| c.is_alphanumeric()).unwrap_or('?');
        let sum = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        Self { letter: letter.to_uppercase().next().unwrap_or(letter), colour: sum % COLOURS }
    }
}

impl Card {
    pub(super) fn of(entry: &CatalogEntry) -> Self {
        let listing = &entry.listing;
        let mut tags = vec![runs(entry).to_owned()];
        let secrets = entry.inputs.iter().filter(|input| input.secret).count();
        match secrets {
            0 => {}
            1 => tags.push("1 secret".to_owned()),
            count => tags.push(format!("{count} secrets")),
        }
        if listing.offline {
            tags.push("runs offline".to_owned());
        }
        Self {
            name: entry.name.clone(),
            title: entry.title.clone(),
            description: entry.description.clone(),
            publisher: listing.publisher.clone().unwrap_or_else(|| "Berth".to_owned()),
            version: version(entry),
            monogram: Monogram::of(&entry.title, &entry.name),
            is_verified: entry.is_verified(),
            is_deprecated: listing.status == Standing::Deprecated,
            unavailable: entry.deployable().err().map(str::to_owned),
            tags,
        }
    }
}

fn version(entry: &CatalogEntry) -> Option<String> {
    let of_package = || entry.package.as_ref().and_then(Package::version).map(str::to_owned);
    entry.listing.version.clone().or_else(of_package)
}

/// What it runs as, in a word or two.
fn runs(entry: &CatalogEntry) -> &'static str {
    match entry.package.as_ref().map(Package::kind) {
        _ if entry.kind() == Kind::Tool => "container tool",
        Some(PackageKind::Npm) => "npm",
        Some(PackageKind::Pypi) => "PyPI",
        Some(PackageKind::Oci) => "container image",
        Some(PackageKind::Remote) => "runs elsewhere",
        Some(PackageKind::File) => "file",
        Some(PackageKind::Builtin) => "part of Berth",
        None => "no package",
    }
}

fn choices(chosen: &str, all: &[(&str, &str)]) -> Vec<Choice> {
    all.iter().map(|&(word, words)| (word.to_owned(), words.to_owned(), word == chosen)).collect()
}

async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<Wanted>, QueryRejection>,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    let found = catalog::search(&app, &wanted.query()).await?;
    let index = catalog::index(&app).await?;
    let mut all: Vec<&str> = index.entries().map(|entry| entry.category.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    let category = |name: &str| {
        let count = found.categories.get(name).map(|count| format!(" ({count})")).unwrap_or_default();
        (name.to_owned(), format!("{name}{count}"), name == wanted.category)
    };
    let categories =
        std::iter::once((String::new(), "All categories".to_owned(), wanted.category.is_empty()))
            .chain(all.into_iter().map(category))
            .collect();
    let page = wanted.page();
    let has_more = (page as usize) * (PAGE as usize) < found.total;
    Ok(shell_page(&Marketplace {
        shell: Shell::new(&app, &member, Section::Marketplace),
        categories,
        sorts: choices(&wanted.sort, &[("", "Best first"), ("name", "By name"), ("newest", "Newest first")]),
        kinds: choices(
            &wanted.kind,
            &[("", "Servers and tools"), ("mcp", "MCP servers"), ("tool", "Container tools")],
        ),
        packages: choices(
            &wanted.package,
            &[
                ("", "Any package"),
                ("npm", "npm"),
                ("pypi", "PyPI"),
                ("oci", "Container image"),
                ("remote", "Runs elsewhere"),
            ],
        ),
        transports: choices(
            &wanted.transport,
            &[
                ("", "Any transport"),
                ("stdio", "Standard input and output"),
                ("http", "Streamable HTTP"),
                ("sse", "HTTP+SSE"),
            ],
        ),
        secrets: choices(
            &wanted.secrets,
            &[("", "With or without secrets"), ("no", "Needs no secrets"), ("yes", "Takes secrets")],
        ),
        cards: found.entries.iter().map(|entry| Card::of(entry)).collect(),
        total: found.total,
        before: (1 < page).then(|| wanted.of_page(page - 1)),
        after: has_more.then(|| wanted.of_page(page + 1)),
        is_small: index.entries().all(|entry| entry.listing.source.is_none()),
        wanted,
    }))
}

#[derive(Template)]
#[template(path = "marketplace-entry.html")]
struct Detail {
    shell: Shell,
    card: Card,
    is_withdrawn: bool,
    status_message: Option<String>,
    settings: Vec<Setting>,
    /// What will run, a line each.
    command: Vec<String>,
    takes_admin: bool,
    /// What else of it could be deployed.
    also: Vec<String>,
    versions: Vec<Version>,
    /// Links that lead elsewhere: what they are, and where to.
    links: Vec<(&'static str, String)>,
    source: String,
    category: String,
}

struct Setting {
    name: String,
    description: String,
    kind: &'static str,
    default: String,
    place: String,
}

struct Version {
    number: String,
    published_at: Option<Timestamp>,
    status: Standing,
    is_current: bool,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let entry = catalog::show(&app, &name).await?;
    let shell = Shell::new(&app, &member, Section::Marketplace);
    let known: Vec<Document> = catalog::known_versions(&app, &name).await?;
    let current = entry.listing.version.as_deref();
    let versions = known.into_iter().map(|document| Version {
        is_current: current == Some(document.version.as_str()),
        number: document.version,
        published_at: document.published_at,
        status: document.status,
    });
    let listing = &entry.listing;
    let links = [("Source code", &listing.repository_url), ("Documentation", &entry.documentation_url)];
    let links = links.into_iter().filter_map(|(words, url)| Some((words, url.clone()?)));
    Ok(shell_page(&Detail {
        takes_admin: matches!(entry.package, Some(Package::Remote { .. })) && !shell.may_admin(),
        shell,
        is_withdrawn: listing.status == Standing::Deleted,
        status_message: listing.status_message.clone(),
        settings: entry.inputs.iter().map(setting).collect(),
        command: command(&entry),
        also: listing.also.iter().map(ToString::to_string).collect(),
        versions: versions.collect(),
        links: links.collect(),
        source: listing.source.clone().unwrap_or_else(|| "part of Berth".to_owned()),
        category: entry.category.clone(),
        card: Card::of(&entry),
    }))
}

fn setting(input: &Input) -> Setting {
    Setting {
        name: input.name.clone(),
        description: input.description.clone(),
        kind: match input.format {
            _ if input.secret => "secret",
            InputFormat::String => "text",
            InputFormat::Number => "number",
            InputFormat::Boolean => "yes or no",
            InputFormat::Filepath => "path",
        },
        default: match (&input.default, input.required) {
            (Some(default), _) => default.clone(),
            (None, true) => "required".to_owned(),
            (None, false) => "-".to_owned(),
        },
        place: match &input.target {
            InputTarget::Env { variable } => format!("variable {variable}"),
            InputTarget::Header { header } => format!("header {header}"),
            InputTarget::Argument { flag } => format!("argument {}", flag.as_deref().unwrap_or_default()),
            InputTarget::Address => "address".to_owned(),
            InputTarget::Part => "part of a value".to_owned(),
        },
    }
}

/// What a deployment of it runs, with its settings by name.
fn command(entry: &CatalogEntry) -> Vec<String> {
    let Ok(package) = entry.deployable() else { return vec![] };
    let mut words = match package {
        Package::Remote { url } => vec![url.clone()],
        package => vec![package.to_string()],
    };
    words.extend(entry.launch.args.iter().map(|argument| quoted(argument)));
    for input in &entry.inputs {
        if let InputTarget::Argument { flag } = &input.target {
            words.extend(flag.clone());
            words.push(format!("{{{}}}", input.name));
        }
    }
    for template in &entry.templates {
        if let InputTarget::Argument { flag } = &template.target {
            words.extend(flag.clone());
            words.push(quoted(&template.text));
        }
    }
    let mut lines = vec![words.join(" ")];
    lines.extend(entry.launch.env.iter().map(|(name, value)| format!("{name}={value}")));
    for input in &entry.inputs {
        match &input.target {
            InputTarget::Env { variable } => lines.push(format!("{variable}={{{}}}", input.name)),
            InputTarget::Header { header } => lines.push(format!("{header}: {{{}}}", input.name)),
            _ => {}
        }
    }
    for template in &entry.templates {
        match &template.target {
            InputTarget::Env { variable } => lines.push(format!("{variable}={}", template.text)),
            InputTarget::Header { header } => lines.push(format!("{header}: {}", template.text)),
            _ => {}
        }
    }
    lines
}

/// An argument as a shell would want it, so that one sees where it begins and ends.
pub(super) fn quoted(argument: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@,+%{}".contains(&b);
    if !argument.is_empty() && argument.bytes().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}
