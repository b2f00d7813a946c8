//! A log as pages show it: its last lines, further ones as they come, searched, and as a file. Whose it is, the pages know.

use std::time::Duration;

use api::errors::ErrorCode;
use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hop::pool::PooledBody;
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;

use crate::app::{Outcome, Problem};

/// How many lines a page has when nobody says.
const USUAL: u32 = 200;
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

/// The lines that a host gives.
pub(crate) type Lines = PooledBody<Full<Bytes>>;

/// What is asked for. An empty text is as none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    lines: String,
    q: String,
}

impl Wanted {
    /// How many of the last lines a page is to show, of those that it offers.
    pub(crate) fn page(&self, choices: &[u32]) -> u32 {
        self.lines.parse().ok().filter(|lines| choices.contains(lines)).unwrap_or(USUAL)
    }

    /// How many of the last lines a stream begins with.
    pub(crate) fn stream(&self) -> Option<u32> {
        self.lines.parse().ok().or(Some(USUAL))
    }
}

/// The part of a page that is a log.
#[derive(Debug, Template)]
#[template(path = "log.html")]
pub(crate) struct Log {
    /// Where its page is.
    path: String,
    /// Whose it is.
    of: String,
    /// What is said of one that is empty.
    silent: &'static str,
    q: String,
    lines: u32,
    choices: &'static [u32],
    /// The lines, or why there are none.
    text: Result<String, (String, Option<String>)>,
    /// How many lines have what was searched for.
    found: Option<usize>,
    /// What gives new lines as they come; not while one searches.
    stream: Option<String>,
}

impl Log {
    /// Of what was asked for, from what was read of it with as many lines as [`Wanted::page`] says.
    pub(crate) fn of(
        (path, of, silent): (String, &str, &'static str),
        choices: &'static [u32],
        wanted: &Wanted,
        read: Outcome<String>,
    ) -> Self {
        let (lines, q) = (wanted.page(choices), wanted.q.trim().to_owned());
        let text = read.map_err(|problem| {
            let detail = problem.into_detail();
            (detail.message, detail.hint)
        });
        let (text, found) = if q.is_empty() {
            (text, None)
        } else {
            let needle = q.to_lowercase();
            let text = text.map(|text| {
                let lines = text.split_inclusive('\n').filter(|line| line.to_lowercase().contains(&needle));
                lines.collect::<String>()
            });
            let count = text.as_ref().map_or(0, |text| text.lines().count());
            (text, Some(count))
        };
        let stream = (q.is_empty() && text.is_ok()).then(|| format!("{path}/stream?lines={lines}"));
        Self { path, of: of.to_owned(), silent, q, lines, choices, text, found, stream }
    }
}

/// What is read, for a page that is not to wait for long.
///
/// # Errors
/// What its host says; 503 when it says nothing.
pub(crate) async fn read(asked: impl Future<Output = Outcome<Lines>>) -> Outcome<String> {
    let read = async {
        let too_long = || {
            Problem::refused(ErrorCode::TooLarge, "these lines are too long for a page")
                .hint("take fewer, or the file")
        };
        let whole = Limited::new(asked.await?, MOST).collect().await.map_err(|_| too_long())?;
        Ok(String::from_utf8_lossy(&whole.to_bytes()).into_owned())
    };
    let silent = || {
        Problem::refused(ErrorCode::Unavailable, "its host does not answer")
            .hint("load the page again, or look at its environment")
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| Err(silent()))
}

/// Lines as they come.
pub(crate) fn stream(lines: Lines) -> Response {
    let mut response = text(lines);
    // nginx collects answers unless it is told not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    // What is compressed is collected too.
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
    response
}

/// Lines as a file of that name, with `.log` behind it. A name of ours has nothing that a header could not hold.
pub(crate) fn file(name: &str, lines: Lines) -> Response {
    let mut response = text(lines);
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}.log\""));
    let disposition = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    response
}

fn text(lines: Lines) -> Response {
    let mut response = Body::new(lines).into_response();
    response
        .headers_mut()
        .extend(TEXT.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
    response
}
