//! `/a/{account}/instances/{name}/logs`: what its server says, as it comes; searched; as a file.

use std::sync::Arc;
use std::time::Duration;

use api::errors::ErrorCode;
use api::instances::LogQuery;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, instances};
use crate::web::instances::{Frame, Tab};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::{Turned, escaped};

/// How many lines a page has when nobody says.
const USUAL: u32 = 200;
/// The choices.
const CHOICES: [u32; 4] = [100, 200, 1000, 5000];
/// Lines of the file.
const FILE: u32 = 100_000;
/// The most of a log that a page shows, in bytes.
const MOST: usize = 4 << 20;
/// How long a page waits for a host.
const PATIENCE: Duration = Duration::from_secs(3);
/// A log is a text, whatever is in it.
const TEXT: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/instances/{name}/logs", get(show))
        .page("/a/{account}/instances/{name}/logs/stream", get(stream))
        .page("/a/{account}/instances/{name}/logs/file", get(file))
}

/// What is asked for. An empty text is as none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    lines: String,
    q: String,
}

#[derive(Template)]
#[template(path = "instance-logs.html")]
struct Logs {
    shell: Shell,
    frame: Frame,
    q: String,
    lines: u32,
    choices: [u32; 4],
    /// The lines, or why there are none.
    log: Result<String, (String, Option<String>)>,
    /// How many lines have what was searched for.
    found: Option<usize>,
    /// What gives new lines as they come; not while one searches.
    stream: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, ..) = Frame::find(&app, &member, &name, Tab::Logs).await?;
    let shell = Shell::new(&app, &member, Section::Instances);
    let lines = wanted.lines.parse().ok().filter(|lines| CHOICES.contains(lines)).unwrap_or(USUAL);
    let q = wanted.q.trim().to_owned();
    let log = last(&app, &member, &name, lines).await.map_err(|problem| {
        let detail = problem.into_detail();
        (detail.message, detail.hint)
    });
    let (log, found) = if q.is_empty() {
        (log, None)
    } else {
        let needle = q.to_lowercase();
        let log = log.map(|log| {
            let lines = log.split_inclusive('\n').filter(|line| line.to_lowercase().contains(&needle));
            lines.collect::<String>()
        });
        let count = log.as_ref().map_or(0, |log| log.lines().count());
        (log, Some(count))
    };
    let stream = (q.is_empty() && log.is_ok())
        .then(|| format!("{}/instances/{}/logs/stream?lines={lines}", shell.base(), escaped(&frame.name)));
    Ok(shell_page(&Logs { shell, frame, q, lines, choices: CHOICES, log, found, stream }))
}

/// The last lines of an instance's log, for a page that is not to wait for long.
///
/// # Errors
/// What its host says; 503 when it says nothing.
pub(crate) async fn last(app: &App, member: &Member, name: &str, lines: u32) -> Outcome<String> {
    let query = LogQuery { tail: Some(lines), follow: false };
    let read = async {
        let body = instances::logs(app, &member.caller, name, query).await?;
        let too_long = || {
            Problem::refused(ErrorCode::TooLarge, "these lines are too long for a page")
                .hint("take fewer, or the file")
        };
        let whole = Limited::new(body, MOST).collect().await.map_err(|_| too_long())?;
        Ok(String::from_utf8_lossy(&whole.to_bytes()).into_owned())
    };
    let silent = || {
        Problem::refused(ErrorCode::Unavailable, "its host does not answer")
            .hint("load the page again, or look at its environment")
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| Err(silent()))
}

/// The last lines, and further ones as they come.
async fn stream(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    let tail = wanted.lines.parse().ok().or(Some(USUAL));
    let body = instances::logs(&app, &member.caller, &name, LogQuery { tail, follow: true }).await?;
    let mut response = axum::body::Body::new(body).into_response();
    response
        .headers_mut()
        .extend(TEXT.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
    // nginx collects answers unless it is told not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    // What is compressed is collected too.
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
    Ok(response)
}

/// All that its host has, as a file.
async fn file(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let row = instances::find(&app, &member.caller, &name).await?;
    let body =
        instances::logs(&app, &member.caller, &name, LogQuery { tail: Some(FILE), follow: false }).await?;
    let mut response = axum::body::Body::new(body).into_response();
    response
        .headers_mut()
        .extend(TEXT.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
    // A name of an instance has nothing that a header could not hold.
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{}.log\"", row.name));
    let disposition = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}
