//! `/a/{account}/environments/{name}/cleanup`: what no instance of a machine needs, and removing it.

use std::sync::Arc;

use api::dtma::{CleanupReport, CleanupRequest};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use crate::app::{App, environments};
use crate::web::confirm::Nothing;
use crate::web::environments::path_of;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, status_of};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page_with;
use crate::web::visitor::Turned;
use crate::web::words::bytes;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/{name}/cleanup", get(look).post(clean))
}

#[derive(Template)]
#[template(path = "environment-cleanup.html")]
struct Page {
    shell: Shell,
    name: String,
    path: String,
    /// What was found, or what is gone: kind, name, size.
    things: Vec<(&'static str, String, String)>,
    sum: String,
    troubles: Vec<String>,
    is_done: bool,
    wrong: Option<Notice>,
}

/// A page of what a host answered, or of why it did not.
fn page(
    app: &App,
    member: &Member,
    name: String,
    found: Result<CleanupReport, crate::app::Problem>,
) -> Result<Response, Turned> {
    let (report, wrong) = match found {
        Ok(report) => (report, None),
        Err(problem) => (CleanupReport::default(), Some(Notice::wrong(problem)?)),
    };
    let shell = Shell::new(app, member, Section::Environments);
    let things = report.things.into_iter().map(|thing| (thing.kind.word(), thing.name, bytes(thing.bytes)));
    let status = status_of(wrong.as_ref());
    let page = Page {
        path: path_of(&shell, &name),
        shell,
        name,
        things: things.collect(),
        sum: bytes(report.bytes),
        troubles: report.troubles,
        is_done: wrong.is_none() && !report.dry_run,
        wrong,
    };
    Ok(shell_page_with(&page, status))
}

async fn look(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    let found = environments::cleanup(&app, &member.caller, &name, CleanupRequest { dry_run: true }).await;
    page(&app, &member, name, found)
}

async fn clean(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    // What is gone is said once, and loading the page again cleans again, which removes nothing that is needed.
    let done = environments::cleanup(&app, &member.caller, &name, CleanupRequest { dry_run: false }).await;
    page(&app, &member, name, done)
}
