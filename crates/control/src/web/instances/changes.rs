//! `/a/{account}/instances/{name}/changes`: what it was, what it may become, and the forms that make it something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::catalog::CatalogEntry;
use api::changes::{Change, ChangeRequest, NEWEST, RollbackRequest};
use api::instances::Instance;
use api::users::Role;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::change::ChangeState;
use domain::image::{parts, shortened};
use domain::package::Package;
use domain::secret::{Secret, Secrets};
use domain::spec::Limits;
use domain::time::Timestamp;
use serde::Deserialize;
use store::instances::InstanceRow;

use crate::app::{App, Outcome, Problem, catalog, changes};
use crate::web::difference::{Line, lines, visible};
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

/// Before the name of a setting, and of a secret.
const SET: &str = "set.";
const SECRET: &str = "secret.";
/// So many tools that differ are shown with what differs.
const SHOWN: usize = 20;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/instances/{name}/changes", get(show).post(begin))
        .page("/a/{account}/instances/{name}/changes/{number}", post(decide))
}

#[derive(Template)]
#[template(path = "instance-changes.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    path: String,
    /// The change that is open, or the last one.
    newest: Option<Shown>,
    history: Vec<Past>,
    /// Whether a change is under way, beside which there can be no other.
    is_open: bool,
    /// Whether it is known how it was asked for.
    is_known: bool,
    /// What it is tried beside, of a candidate.
    candidate_of: Option<String>,
    runs: String,
    /// What its versions are called, and what is taken when none is typed.
    versions: (&'static str, &'static str),
    /// The version that the catalog has, when another one runs.
    listed: Option<String>,
    fields: Vec<Field>,
    more: String,
    version: String,
    memory: String,
    review: bool,
}

/// A change with what differs about its tools.
struct Shown {
    number: u64,
    state: ChangeState,
    words: &'static str,
    message: String,
    changed: String,
    package: String,
    candidate: Option<String>,
    summary: String,
    added: Vec<String>,
    removed: Vec<String>,
    differs: Vec<(String, Vec<Line>)>,
    further: usize,
    at: Timestamp,
}

/// A change in the list.
struct Past {
    number: u64,
    words: &'static str,
    package: String,
    changed: String,
    message: String,
    at: Timestamp,
    can_return: bool,
}

/// A setting or a secret that it can have.
struct Field {
    name: String,
    value: String,
    is_secret: bool,
    /// Of a secret: whether it has one.
    is_given: bool,
    description: String,
}

/// Names and values in the order of the page. What was typed may be a secret, so nothing here shows it.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
struct Form(Vec<(String, Secret)>);

impl Form {
    /// The values of a field that the page has several times.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| value.expose())
    }

    /// A field with one value, without spaces around it; empty when there is none.
    fn one<'a>(&'a self, name: &'a str) -> &'a str {
        self.all(name).next().unwrap_or_default().trim()
    }

    fn with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.expose())))
    }

    /// What was meant.
    ///
    /// # Errors
    /// 422 with the field of the request that cannot be.
    fn request(&self, now: &InstanceRow) -> Outcome<ChangeRequest> {
        let mut request =
            ChangeRequest { review: !self.one("review").is_empty(), ..ChangeRequest::default() };
        if self.one("do") == "upgrade" {
            let version = Some(self.one("version")).filter(|version| !version.is_empty());
            request.version = Some(version.unwrap_or(NEWEST).to_owned());
            return Ok(request);
        }
        for (name, value) in self.with(SET) {
            // Browsers send the ends of lines as CRLF.
            let value = value.replace("\r\n", "\n");
            match now.settings.get(name) {
                Some(_) if value.is_empty() => request.unset.push(name.to_owned()),
                Some(before) if *before == value => {}
                None if value.is_empty() => {}
                _ => drop(request.settings.insert(name.to_owned(), value)),
            }
        }
        for line in self.one("more").lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once('=').ok_or_else(|| {
                Problem::invalid("settings", format!("`{line}` is no setting"))
                    .hint("write one on each line, as `NAME=value`")
            })?;
            request.settings.insert(name.trim().to_owned(), value.trim().to_owned());
        }
        let typed = self.with(SECRET).filter(|(_, value)| !value.is_empty());
        let typed: Secrets =
            typed.map(|(name, value)| (name.to_owned(), Secret::new(value.replace("\r\n", "\n")))).collect();
        request.secrets.values = typed;
        request.unset.extend(self.all("forget").map(str::to_owned));
        let memory = self.one("memory_mib");
        if !memory.is_empty() {
            let memory = memory.parse().map_err(|_| {
                Problem::invalid("limits.memory_mib", "it is a whole number, or nothing for what it is now")
            })?;
            request.limits = Limits { memory_mib: Some(memory), ..Limits::default() };
        }
        Ok(request)
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(page(&app, &member, &name, &Form::default(), None).await?)
}

async fn begin(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let begun = async {
        let row = crate::app::instances::find(&app, &member.caller, &name).await?;
        let request = form.request(&row)?;
        changes::begin(&app, &member.caller, &name, &request).await
    };
    match begun.await {
        Ok(_) => Ok(see(&format!("/a/{}/instances/{name}/changes", member.caller.account_name))),
        Err(problem) => {
            let notice = Notice::of(problem)?;
            Ok(page(&app, &member, &name, &form, Some(notice)).await?)
        }
    }
}

async fn decide(
    State(app): State<Arc<App>>,
    Path((_, name, number)): Path<(String, String, u64)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let caller = &member.caller;
    caller.require(Role::Member)?;
    let decided = match form.one("do") {
        "switch" => changes::switch(&app, caller, &name, number).await,
        "drop" => changes::give_up(&app, caller, &name, number).await,
        "return" => {
            let request = RollbackRequest { to: Some(number), review: false };
            changes::roll_back(&app, caller, &name, &request).await
        }
        _ => Err(Problem::invalid("do", "it is `switch`, `drop` or `return`")),
    };
    match decided {
        Ok(_) => Ok(see(&format!("/a/{}/instances/{name}/changes", caller.account_name))),
        Err(problem) => {
            let notice = Notice::of(problem)?;
            Ok(page(&app, &member, &name, &Form::default(), Some(notice)).await?)
        }
    }
}

async fn page(
    app: &App,
    member: &Member,
    name: &str,
    form: &Form,
    notice: Option<(StatusCode, Notice)>,
) -> Outcome<Response> {
    let (frame, row, instance) = Frame::find(app, member, name, Tab::Changes).await?;
    let all = changes::of(app, &row).await?;
    let shell = Shell::new(app, member, Section::Instances);
    let (status, notice) = match notice {
        Some((status, notice)) => (status, Some(notice)),
        None => (StatusCode::OK, None),
    };
    let index = catalog::index(app).await?;
    let entry = index.entries().find(|entry| entry.id == row.catalog_entry).map(AsRef::as_ref);
    let limits = &row.spec.limits;
    let memory = limits.memory_mib.map(|mib| mib.to_string()).unwrap_or_default();
    let page = Page {
        path: format!("{}/instances/{name}/changes", shell.base()),
        shell,
        frame,
        notice,
        is_open: all.first().is_some_and(|change| change.state.is_open()),
        is_known: !all.is_empty(),
        candidate_of: instance.candidate_of.as_ref().map(ToString::to_string),
        runs: shortened(&instance.package),
        versions: match row.spec.package {
            Package::Oci { .. } => ("Tag or digest", "what its tag is now"),
            _ => ("Exact version", "the newest"),
        },
        listed: entry.and_then(|entry| listed(entry, &row)),
        fields: fields(entry, &instance, form),
        more: form.one("more").to_owned(),
        version: form.one("version").to_owned(),
        memory: Some(form.one("memory_mib").to_owned()).filter(|typed| !typed.is_empty()).unwrap_or(memory),
        review: !form.one("review").is_empty(),
        newest: all.first().filter(|change| 1 < change.number).cloned().map(shown),
        history: all.into_iter().map(past).collect(),
    };
    Ok(shell_page_with(&page, status))
}

/// The version, of an image the tag, that its catalog entry has, when another one runs.
fn listed(entry: &CatalogEntry, row: &InstanceRow) -> Option<String> {
    let (listed, runs) = match (entry.package.as_ref()?, &row.spec.package) {
        (Package::Oci { image: listed }, Package::Oci { image: runs }) => {
            (parts(listed).tag, parts(runs).tag)
        }
        (listed, _) => (listed.version(), row.version.as_deref()),
    };
    listed.filter(|_| runs.is_some() && listed != runs).map(str::to_owned)
}

/// What it has, and what its catalog entry takes besides.
fn fields(entry: Option<&CatalogEntry>, instance: &Instance, form: &Form) -> Vec<Field> {
    let mut all: BTreeMap<String, Field> = BTreeMap::new();
    let own = instance.secret_names.iter().map(|name| (name, true));
    for (name, is_secret) in instance.settings.keys().map(|name| (name, false)).chain(own) {
        let field = Field {
            name: name.clone(),
            value: instance.settings.get(name).cloned().unwrap_or_default(),
            is_secret,
            is_given: true,
            description: String::new(),
        };
        all.insert(name.clone(), field);
    }
    for input in entry.iter().flat_map(|entry| &entry.inputs) {
        if instance.each_caller.contains(&input.name) {
            continue;
        }
        let field = all.entry(input.name.clone()).or_insert_with(|| Field {
            name: input.name.clone(),
            value: String::new(),
            is_secret: input.secret,
            is_given: false,
            description: String::new(),
        });
        field.description.clone_from(&input.description);
    }
    for (name, value) in form.with(SET) {
        if let Some(field) = all.get_mut(name) {
            value.clone_into(&mut field.value);
        }
    }
    all.into_values().collect()
}

fn words(state: ChangeState) -> &'static str {
    match state {
        ChangeState::Trying => "is tried beside it",
        ChangeState::Ready => "works, and waits for you",
        ChangeState::Switching => "takes its place",
        ChangeState::Current => "is what it is",
        ChangeState::Replaced => "is what it was",
        ChangeState::Failed => "did not work",
        ChangeState::RolledBack => "was taken back",
        ChangeState::Dropped => "was given up",
    }
}

fn different(change: &Change) -> String {
    match change.back_to {
        Some(number) => format!("back to {number}"),
        None => change.changed.join(", "),
    }
}

fn shown(change: Change) -> Shown {
    let different = different(&change);
    let tools = change.tools.unwrap_or_default();
    Shown {
        number: change.number,
        state: change.state,
        words: words(change.state),
        message: change.message.unwrap_or_default(),
        changed: different,
        package: shortened(&change.package),
        candidate: change.candidate.map(|name| name.to_string()),
        summary: if tools == domain::change::ToolChanges::default() {
            String::new()
        } else {
            tools.to_string()
        },
        added: tools.added.iter().map(|name| visible(name)).collect(),
        removed: tools.removed.iter().map(|name| visible(name)).collect(),
        further: tools.changed.len().saturating_sub(SHOWN),
        differs: tools
            .changed
            .iter()
            .take(SHOWN)
            .map(|tool| (visible(&tool.name), lines(&tool.before, &tool.after)))
            .collect(),
        at: change.created_at,
    }
}

fn past(change: Change) -> Past {
    Past {
        number: change.number,
        words: words(change.state),
        changed: different(&change),
        package: shortened(&change.package),
        message: change.message.unwrap_or_default(),
        at: change.created_at,
        can_return: change.state == ChangeState::Replaced,
    }
}
