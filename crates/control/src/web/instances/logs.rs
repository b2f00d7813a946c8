//! `/a/{account}/instances/{name}/logs`: what its server says, as it comes; searched; as a file.

use std::sync::Arc;

use api::instances::LogQuery;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;

use crate::app::{App, Outcome, instances};
use crate::web::instances::{Frame, Tab};
use crate::web::log::{self, Log, Wanted};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::{Turned, escaped};

/// How many lines a page may have.
const CHOICES: &[u32] = &[100, 200, 1000, 5000];
/// Lines of the file.
const FILE: u32 = 100_000;
/// What is said of an empty one.
const SILENT: &str =
    "Its server has said nothing yet. What it writes to standard error comes here by itself.";

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/instances/{name}/logs", get(show))
        .page("/a/{account}/instances/{name}/logs/stream", get(stream))
        .page("/a/{account}/instances/{name}/logs/file", get(file))
}

#[derive(Template)]
#[template(path = "instance-logs.html")]
struct Logs {
    shell: Shell,
    frame: Frame,
    log: Log,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, ..) = Frame::find(&app, &member, &name, Tab::Logs).await?;
    let shell = Shell::new(&app, &member, Section::Instances);
    let read = last(&app, &member, &name, wanted.page(CHOICES)).await;
    let path = format!("{}/instances/{}/logs", shell.base(), escaped(&frame.name));
    let log = Log::of((path, &frame.name, SILENT), CHOICES, &wanted, read);
    Ok(shell_page(&Logs { shell, frame, log }))
}

/// The last lines of an instance's log, for a page that is not to wait for long.
///
/// # Errors
/// What its host says; 503 when it says nothing.
pub(crate) async fn last(app: &App, member: &Member, name: &str, lines: u32) -> Outcome<String> {
    let query = LogQuery { tail: Some(lines), follow: false };
    log::read(Box::pin(instances::logs(app, &member.caller, name, query))).await
}

/// The last lines, and further ones as they come.
async fn stream(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    let query = LogQuery { tail: wanted.stream(), follow: true };
    Ok(log::stream(instances::logs(&app, &member.caller, &name, query).await?))
}

/// All that its host has, as a file.
async fn file(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let row = instances::find(&app, &member.caller, &name).await?;
    let query = LogQuery { tail: Some(FILE), follow: false };
    Ok(log::file(row.name.as_str(), instances::logs(&app, &member.caller, &name, query).await?))
}
