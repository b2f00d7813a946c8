//! `/a/{account}/deploy`: the form of a deployment, of an entry of the catalog or of anything else; what will run, before it does.
//!
//! Secrets that were typed are not written into the page again. They travel in a hidden field, sealed with the master key for the person who
//! typed them, so that a form which is shown again need not be filled in again.

mod fields;
mod review;
mod view;

use std::sync::Arc;

use api::catalog::CatalogEntry;
use api::errors::ErrorCode;
use api::instances::DeployRequest;
use api::users::Role;
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::package::Package;
use domain::secret::Secrets;
use serde::Deserialize;

use self::fields::Fields;
use self::review::Review;
use self::view::{Choice, Row, Setting, Wrong};
use crate::app::{App, Outcome, Problem, catalog, environments, instances, secrets};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

/// Empty rows of secrets that a page has at first, and after more were asked for.
const ROWS: usize = 2;
const MORE_ROWS: usize = 6;
/// Where somebody has it run who says nothing.
const LOCAL: &str = "local";

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/deploy", get(custom).post(post_custom))
        .page("/a/{account}/deploy/{*name}", get(of_entry).post(post_of_entry))
}

/// What a link to the form fills in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    server: String,
    version: String,
}

#[derive(Template)]
#[template(path = "deploy.html")]
struct Deploy {
    shell: Shell,
    notice: Option<Notice>,
    wrong: Wrong,
    /// Where the form is sent.
    action: String,
    /// The entry's title, name and what is installed; nothing for a custom server.
    entry: Option<(String, String, String)>,
    takes_admin: bool,
    fields: Fields,
    settings: Vec<Setting>,
    rows: Vec<Row>,
    kinds: Vec<Choice>,
    transports: Vec<Choice>,
    modes: Vec<Choice>,
    sleeps: Vec<Choice>,
    profiles: Vec<Choice>,
    egress: Vec<Choice>,
    environments: Vec<Choice>,
    /// Of the sealed secrets.
    kept: String,
    review: Option<Review>,
    is_image: bool,
    is_remote: bool,
}

async fn custom(
    State(app): State<Arc<App>>,
    query: Result<Query<Wanted>, QueryRejection>,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    let kind = match wanted.server.split_once(':') {
        Some((kind @ ("npm" | "pypi" | "oci"), _)) => kind,
        Some(_) => "remote",
        None => "npm",
    };
    let fields = Fields::default().with("what", &wanted.server).with("kind", kind);
    Ok(Form { app: &app, member: &member, entry: None, fields, kept: Secrets::default() }
        .page(None, None, ROWS)
        .await?)
}

async fn of_entry(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    query: Result<Query<Wanted>, QueryRejection>,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    let entry = find(&app, &name, &wanted.version).await?;
    let fields = Fields::default().with("version", &wanted.version);
    let form = Form { app: &app, member: &member, entry: Some(entry), fields, kept: Secrets::default() };
    Ok(form.page(None, None, ROWS).await?)
}

async fn post_custom(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Fields>,
) -> Result<Response, Turned> {
    let kept = unsealed(&app, &member, &form);
    Ok(Form { app: &app, member: &member, entry: None, fields: form, kept }.sent().await?)
}

async fn post_of_entry(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Fields>,
) -> Result<Response, Turned> {
    let entry = find(&app, &name, form.one("version")).await?;
    let kept = unsealed(&app, &member, &form);
    Ok(Form { app: &app, member: &member, entry: Some(entry), fields: form, kept }.sent().await?)
}

/// The entry of a name, in a version where there is one of that.
async fn find(app: &App, name: &str, version: &str) -> Outcome<CatalogEntry> {
    let entry = catalog::show(app, name).await?;
    if version.is_empty() {
        return Ok(Arc::unwrap_or_clone(entry));
    }
    let of_version = catalog::candidates(app, name, Some(version)).await.unwrap_or_default();
    Ok(of_version.into_iter().find(|found| found.name == name).unwrap_or_else(|| Arc::unwrap_or_clone(entry)))
}

/// Secrets that this person typed before. Of others, or of another key, there are none.
fn unsealed(app: &App, member: &Member, fields: &Fields) -> Secrets {
    app.keys.unseal_all(member.visitor.user.0, Some(fields.one("kept"))).unwrap_or_default()
}

/// A form, as it is shown and sent.
struct Form<'a> {
    app: &'a App,
    member: &'a Member,
    entry: Option<CatalogEntry>,
    fields: Fields,
    kept: Secrets,
}

impl Form<'_> {
    async fn sent(mut self) -> Outcome<Response> {
        // What was typed counts, whatever else is wrong.
        let typed = self.fields.typed_secrets();
        let request = self.fields.request(self.entry.as_ref(), &self.kept);
        self.kept.extend(typed);
        if self.fields.one("do") == "rows" {
            return self.page(None, None, MORE_ROWS).await;
        }
        match self.act(request).await {
            Ok(Done::Deployed(to)) => Ok(see(&to)),
            Ok(Done::Reviewed(review, notice)) => {
                self.page(Some(review), notice.map(|notice| (StatusCode::OK, notice)), ROWS).await
            }
            Err(problem) => {
                let notice = Notice::of(problem)?;
                self.page(None, Some(notice), ROWS).await
            }
        }
    }

    async fn act(&self, request: Result<DeployRequest, Problem>) -> Outcome<Done> {
        let (caller, request) = (&self.member.caller, request?);
        let (_, plan) = instances::planned(self.app, caller, &request).await?;
        if let Package::Remote { .. } = plan.package {
            caller.require(Role::Admin)?;
        }
        let environment = request.environment.as_deref().unwrap_or(LOCAL);
        let place = if environment == "auto" { "the machine with most room" } else { environment };
        let review = Review::of(&request, &plan, place, caller.account_name.as_str());
        if self.fields.one("do") != "deploy" {
            return Ok(Done::Reviewed(review, None));
        }
        if self.fields.one("reviewed") != review.digest {
            let notice = Notice {
                words: "This is not what you saw before: look at it once more.".to_owned(),
                ..Notice::default()
            };
            return Ok(Done::Reviewed(review, Some(notice)));
        }
        let instance = instances::deploy(self.app, caller, &request).await?;
        Ok(Done::Deployed(format!("/a/{}/instances/{}?deployed", caller.account_name, instance.name)))
    }

    async fn page(
        self,
        review: Option<Review>,
        notice: Option<(StatusCode, Notice)>,
        empty_rows: usize,
    ) -> Outcome<Response> {
        let Self { app, member, entry, fields, kept } = self;
        let caller = &member.caller;
        caller.require(Role::Member)?;
        if let Some(Err(why)) = entry.as_ref().map(CatalogEntry::deployable) {
            return Err(Problem::refused(ErrorCode::Conflict, format!("it cannot be deployed: {why}")));
        }
        let shell = Shell::new(app, member, Section::Marketplace);
        let vault: Vec<String> =
            secrets::list(app, caller).await?.into_iter().map(|secret| secret.name.to_string()).collect();
        let machines = environments::list(app, caller).await?;
        let chosen = match fields.one("environment") {
            "" => LOCAL,
            chosen => chosen,
        };
        let inputs = entry.iter().flat_map(|entry| &entry.inputs).enumerate();
        let settings = inputs.map(|(at, input)| Setting::of(at, input, &fields, &kept, &vault)).collect();
        let (status, notice) = match notice {
            Some((status, notice)) => (status, Some(notice)),
            None => (StatusCode::OK, None),
        };
        let choices = |name: &str, all: &[(&str, &str)]| -> Vec<Choice> {
            let chosen = fields.one(name);
            all.iter().map(|&(word, words)| (word.to_owned(), words.to_owned(), word == chosen)).collect()
        };
        let package = entry.as_ref().and_then(|entry| entry.package.as_ref());
        let is_remote = package.is_some_and(|package| matches!(package, Package::Remote { .. }));
        let path = entry.as_ref().map(|entry| format!("/{}", entry.name)).unwrap_or_default();
        let page = Deploy {
            wrong: Wrong::of(notice.as_ref()),
            notice,
            action: format!("{}/deploy{path}", shell.base()),
            takes_admin: !shell.may_admin() && (is_remote || entry.is_none()),
            settings,
            rows: if entry.is_none() { view::rows(&fields, &kept, &vault, empty_rows) } else { vec![] },
            kinds: choices(
                "kind",
                &[
                    ("npm", "npm package"),
                    ("pypi", "PyPI package"),
                    ("oci", "Container image"),
                    ("remote", "Address of a server that runs elsewhere"),
                ],
            ),
            transports: choices(
                "transport",
                &[
                    ("", "The usual one"),
                    ("stdio", "Standard input and output"),
                    ("http", "Streamable HTTP"),
                    ("sse", "HTTP+SSE of 2024-11-05"),
                ],
            ),
            modes: choices(
                "mode",
                &[
                    ("", "The usual one"),
                    ("shared", "One for all"),
                    ("per-principal", "One for each person or token"),
                    ("per-session", "One for each session"),
                    ("pool", "A pool"),
                ],
            ),
            sleeps: choices("sleep_after_seconds", &sleeps(entry.as_ref())),
            profiles: choices(
                "profile",
                &[("", "The usual one"), ("strict", "Strict"), ("standard", "Standard")],
            ),
            egress: choices(
                "egress",
                &[
                    ("", "What its machine allows by default"),
                    ("open", "The internet"),
                    ("list", "Only what is listed"),
                    ("none", "No network"),
                ],
            ),
            environments: view::environments(&machines, chosen),
            kept: app.keys.seal_all(member.visitor.user.0, &kept)?.unwrap_or_default(),
            review,
            is_image: package.is_none_or(|package| matches!(package, Package::Oci { .. })),
            is_remote,
            entry: entry.as_ref().map(|entry| {
                let package = package.map(ToString::to_string).unwrap_or_default();
                (entry.title.clone(), entry.name.clone(), package)
            }),
            fields,
            shell,
        };
        Ok(shell_page_with(&page, status))
    }
}

/// After what time it sleeps, and its words. An entry that says so itself can be told not to.
fn sleeps(entry: Option<&CatalogEntry>) -> Vec<(&'static str, &'static str)> {
    let usual: &[_] = match entry.and_then(|entry| entry.launch.sleep_after_seconds) {
        Some(_) => &[("", "As the catalog says"), ("0", "Never")],
        None => &[("", "Never")],
    };
    let times = [
        ("300", "After 5 minutes"),
        ("900", "After 15 minutes"),
        ("3600", "After an hour"),
        ("86400", "After a day"),
    ];
    [usual, &times].concat()
}

enum Done {
    Reviewed(Review, Option<Notice>),
    Deployed(String),
}
