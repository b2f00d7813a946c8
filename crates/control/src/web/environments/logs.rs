//! `/a/{account}/environments/{name}/logs`: what a machine's host agent itself says, as it comes; searched; as a file.

use std::sync::Arc;

use api::instances::LogQuery;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;

use crate::app::environments::find;
use crate::app::{App, console};
use crate::reach::is_local;
use crate::web::environments::path_of;
use crate::web::log::{self, Log, Wanted};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

/// How many lines a page may have; a host agent keeps no more.
const CHOICES: &[u32] = &[100, 200, 1000, 2000];
/// What is said of an empty one.
const SILENT: &str = "It has said nothing since it started. What it says comes here by itself.";

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/environments/{name}/logs", get(show))
        .page("/a/{account}/environments/{name}/logs/stream", get(stream))
        .page("/a/{account}/environments/{name}/logs/file", get(file))
}

#[derive(Template)]
#[template(path = "environment-logs.html")]
struct Page {
    shell: Shell,
    name: String,
    path: String,
    is_here: bool,
    log: Log,
}

async fn show(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Turned> {
    let row = find(&app, &member.caller, &name).await?;
    let shell = Shell::new(&app, &member, Section::Environments);
    let query = LogQuery { tail: Some(wanted.page(CHOICES)), follow: false };
    let read = log::read(Box::pin(console::log(&app, &member.caller, &name, query))).await;
    let (is_here, name) = (is_local(&row), row.name.to_string());
    let path = path_of(&shell, &name);
    let whose = format!("{name}'s host agent");
    let log = Log::of((format!("{path}/logs"), &whose, SILENT), CHOICES, &wanted, read);
    Ok(shell_page(&Page { shell, name, path, is_here, log }))
}

/// The last lines, and further ones as they come.
async fn stream(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Turned> {
    let query = LogQuery { tail: wanted.stream(), follow: true };
    Ok(log::stream(console::log(&app, &member.caller, &name, query).await?))
}

/// All that it keeps, as a file.
async fn file(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    let row = find(&app, &member.caller, &name).await?;
    let query = LogQuery { tail: Some(u32::MAX), follow: false };
    let lines = console::log(&app, &member.caller, &name, query).await?;
    Ok(log::file(&format!("{}-host-agent", row.name), lines))
}
