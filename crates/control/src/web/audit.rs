//! `/a/{account}/audit`: who did what, and who called what; to read, to search, to take along as JSON Lines.

use std::sync::Arc;

use api::audit::{AuditLine, AuditQuery, CallLine, CallOutcome, CallQuery};
use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use domain::time::Timestamp;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, to_vec};

use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem, audit, calls};
use crate::auth::Caller;
use crate::web::member::Member;
use crate::web::notice::typed;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::{Turned, escaped};
use crate::web::words::moment;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/audit", get(changes))
        .page("/a/{account}/audit/calls", get(called))
        .page("/a/{account}/audit/changes.jsonl", get(export_changes))
        .page("/a/{account}/audit/calls.jsonl", get(export_calls))
}

/// How many lines a page has.
const PAGE: usize = 100;
/// How many are read at once for a file.
const PIECE: u32 = 1000;

/// The filters of both lists; what is empty is none.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    action: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    instance: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    result: String,
    #[serde(default)]
    after: String,
}

impl Wanted {
    fn changes(&self) -> Outcome<AuditQuery> {
        Ok(AuditQuery {
            since: None,
            action: typed(&self.action),
            object: typed(&self.object),
            after: self.after()?,
            limit: None,
        })
    }

    fn calls(&self) -> Outcome<CallQuery> {
        let result = typed(&self.result).map(|word| {
            CallOutcome::of_word(&word).ok_or_else(|| Problem::invalid("result", "there is no such result"))
        });
        Ok(CallQuery {
            since: None,
            instance: typed(&self.instance),
            method: None,
            name: typed(&self.name),
            by: typed(&self.by),
            result: result.transpose()?,
            after: self.after()?,
            limit: None,
        })
    }

    fn after<T: std::str::FromStr>(&self) -> Outcome<Option<T>> {
        let after = typed(&self.after)
            .map(|text| text.parse().map_err(|_| Problem::invalid("after", "that is no line's id")));
        after.transpose()
    }

    /// The same filters as a query, from a line on.
    fn query(&self, after: Option<String>) -> String {
        let all = [
            ("action", &self.action),
            ("object", &self.object),
            ("instance", &self.instance),
            ("name", &self.name),
            ("by", &self.by),
            ("result", &self.result),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        let after = after.map(|after| format!("after={after}"));
        let pairs: Vec<String> =
            given.map(|(name, value)| format!("{name}={}", escaped(value))).chain(after).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Changes {
    shell: Shell,
    lines: Vec<AuditLine>,
    wanted: Wanted,
    next: Option<String>,
    export: String,
}

impl Changes {
    #[expect(clippy::unused_self, reason = "templates call methods of their own page")]
    fn has_detail(&self, line: &AuditLine) -> bool {
        line.detail.as_object().is_some_and(|all| !all.is_empty())
    }

    /// What else there is, by its words.
    #[expect(clippy::unused_self, reason = "templates call methods of their own page")]
    fn details(&self, line: &AuditLine) -> Vec<(String, String)> {
        let all = line.detail.as_object().into_iter().flatten();
        all.map(|(key, value)| (key.replace('_', " "), words_of(key, value))).collect()
    }
}

#[derive(Template)]
#[template(path = "audit-calls.html")]
struct Calls {
    shell: Shell,
    lines: Vec<CallLine>,
    wanted: Wanted,
    results: [CallOutcome; 5],
    next: Option<String>,
    export: String,
}

/// A value of a line: a text as it is, a moment as one, several with commas, and anything else as JSON.
fn words_of(key: &str, value: &Value) -> String {
    let is_moment = key.ends_with("_at") || key.ends_with("until");
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(micros) if is_moment => {
            micros.as_i64().map_or_else(|| micros.to_string(), |micros| moment(Timestamp(micros)))
        }
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

type Given = Result<Query<Wanted>, axum::extract::rejection::QueryRejection>;

fn given(query: Given) -> Outcome<Wanted> {
    let unreadable = |_| Problem::invalid("query", "these filters cannot be read");
    Ok(query.map_err(unreadable)?.0)
}

async fn changes(State(app): State<Arc<App>>, query: Given, member: Member) -> Result<Response, Turned> {
    let wanted = given(query)?;
    let lines = audit::list(&app, &member.caller, &wanted.changes()?).await?;
    let last = lines.last().filter(|_| lines.len() == PAGE).map(|line| line.id.to_string());
    Ok(shell_page(&Changes {
        shell: Shell::new(&app, &member, Section::Audit),
        next: last.map(|last| wanted.query(Some(last))),
        export: wanted.query(None),
        lines,
        wanted,
    }))
}

async fn called(State(app): State<Arc<App>>, query: Given, member: Member) -> Result<Response, Turned> {
    let wanted = given(query)?;
    let lines = calls::list(&app, &member.caller, &wanted.calls()?).await?;
    let last = lines.last().filter(|_| lines.len() == PAGE).map(|line| line.id.to_string());
    Ok(shell_page(&Calls {
        shell: Shell::new(&app, &member, Section::Audit),
        next: last.map(|last| wanted.query(Some(last))),
        export: wanted.query(None),
        results: CallOutcome::ALL,
        lines,
        wanted,
    }))
}

/// Lines that are read piece by piece.
trait Lines: Send + Sync + 'static {
    type Line: serde::Serialize + Send + Sync + 'static;

    /// The next piece.
    fn read(&self, app: &App, caller: &Caller) -> impl Future<Output = Outcome<Vec<Self::Line>>> + Send;

    /// The same from the line after `last` on.
    fn after(self, last: &Self::Line) -> Self;
}

impl Lines for AuditQuery {
    type Line = AuditLine;

    async fn read(&self, app: &App, caller: &Caller) -> Outcome<Vec<AuditLine>> {
        audit::list(app, caller, self).await
    }

    fn after(self, last: &AuditLine) -> Self {
        Self { after: Some(last.id), ..self }
    }
}

impl Lines for CallQuery {
    type Line = CallLine;

    async fn read(&self, app: &App, caller: &Caller) -> Outcome<Vec<CallLine>> {
        calls::list(app, caller, self).await
    }

    fn after(self, last: &CallLine) -> Self {
        Self { after: Some(last.id), ..self }
    }
}

async fn export_changes(
    State(app): State<Arc<App>>,
    query: Given,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = AuditQuery { limit: Some(PIECE), ..given(query)?.changes()? };
    export("changes.jsonl", app, member.caller, wanted).await
}

async fn export_calls(State(app): State<Arc<App>>, query: Given, member: Member) -> Result<Response, Turned> {
    let wanted = CallQuery { limit: Some(PIECE), ..given(query)?.calls()? };
    export("calls.jsonl", app, member.caller, wanted).await
}

/// All lines as a file. What cannot be read is said with a status, if the file has not begun.
async fn export<L: Lines>(name: &str, app: Arc<App>, caller: Caller, wanted: L) -> Result<Response, Turned> {
    let first = wanted.read(&app, &caller).await?;
    let pieces = stream::unfold((first, wanted), move |(lines, wanted)| {
        let (app, caller) = (Arc::clone(&app), caller.clone());
        async move {
            let wanted = wanted.after(lines.last()?);
            let is_last = lines.len() < PIECE as usize;
            let next = if is_last { Ok(Vec::new()) } else { wanted.read(&app, &caller).await };
            Some((json_lines(&lines, &next), (next.unwrap_or_default(), wanted)))
        }
    });
    Ok(file(name, Body::from_stream(pieces)))
}

/// Lines as they stand in the file; an error where the next ones could not be read, so that a file that is not whole does not look it.
fn json_lines<T: serde::Serialize, N>(lines: &[T], next: &Outcome<N>) -> Result<Bytes, std::io::Error> {
    if let Err(problem) = next {
        tracing::warn!(error = %Chain(problem), "an export of the audit ends early");
        return Err(std::io::Error::other("the rest could not be read"));
    }
    let mut out = Vec::new();
    for line in lines {
        out.extend(to_vec(line)?);
        out.push(b'\n');
    }
    Ok(Bytes::from(out))
}

fn file(name: &str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"berth-{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, body).into_response()
}
