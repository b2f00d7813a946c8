//! `berth audit`: who did what, and when; with `--calls`, who called what.

use std::time::{Duration, SystemTime};

use api::audit::{AuditLine, AuditQuery, CallLine, CallQuery};
use comfy_table::Cell;
use domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::instances::to_the_second;
use crate::args::AuditArgs;
use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// How many lines are shown when nobody says since when.
const SHOWN: u32 = 50;
/// How many are asked for at a time.
const PAGE: u32 = 1000;

/// Shows the newest lines; with `--since`, all since then, page by page.
pub(crate) async fn run(args: AuditArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let since = args.since.map(|seconds| (SystemTime::now() - Duration::from_secs(seconds)).into());
    if args.calls {
        let of_all = CallQuery {
            since,
            instance: args.object,
            method: args.action,
            name: args.tool,
            by: args.by,
            result: args.result,
            after: None,
            limit: None,
        };
        let path = |after: Option<&CallLine>, limit| {
            let query = CallQuery { after: after.map(|line| line.id), limit: Some(limit), ..of_all.clone() };
            calls_path(&query)
        };
        let head = ["WHEN", "WHO", "INSTANCE", "METHOD", "NAME", "RESULT", "STATUS", "TOOK"];
        return show(client, output, since, &path, head, call).await;
    }
    let of_all = AuditQuery { since, action: args.action, object: args.object, after: None, limit: None };
    let path = |after: Option<&AuditLine>, limit| {
        let query = AuditQuery { after: after.map(|line| line.id), limit: Some(limit), ..of_all.clone() };
        changes_path(&query)
    };
    show(client, output, since, &path, ["WHEN", "WHO", "ACTION", "WHAT", "DETAIL"], change).await
}

async fn show<T: Serialize + DeserializeOwned, const N: usize>(
    client: &Client,
    output: Output,
    since: Option<Timestamp>,
    path: &dyn Fn(Option<&T>, u32) -> String,
    head: [&'static str; N],
    row: fn(&T) -> [Cell; N],
) -> Result<(), CliError> {
    let limit = if since.is_some() { PAGE } else { SHOWN };
    let (mut rows, mut last) = (Vec::new(), None);
    loop {
        let mut page: Vec<T> = client.get(&path(last.as_ref(), limit)).await?;
        if output.json() {
            // JSON Lines, so that a year of it can be written while it is read.
            for line in &page {
                output.line(line)?;
            }
        } else {
            rows.extend(page.iter().map(row));
        }
        let is_last = since.is_none() || page.len() < PAGE as usize;
        last = page.pop();
        if is_last {
            break;
        }
    }
    if output.json() {
        return Ok(());
    }
    if rows.is_empty() {
        output.say("nothing of that kind was done");
        return Ok(());
    }
    output.table(head, rows)
}

fn change(line: &AuditLine) -> [Cell; 5] {
    let detail = if line.detail == serde_json::json!({}) { String::new() } else { line.detail.to_string() };
    [
        Cell::new(to_the_second(line.at)),
        Cell::new(line.actor_name.as_deref().unwrap_or(&line.actor)),
        Cell::new(&line.action),
        Cell::new(line.object_name.as_deref().or(line.object_id.as_deref()).unwrap_or("-")),
        Cell::new(detail),
    ]
}

fn call(line: &CallLine) -> [Cell; 8] {
    [
        Cell::new(to_the_second(line.at)),
        Cell::new(line.actor_name.as_deref().unwrap_or(&line.actor)),
        Cell::new(&line.instance),
        Cell::new(&line.method),
        Cell::new(line.name.as_deref().unwrap_or("-")),
        Cell::new(line.result.word()),
        Cell::new(line.status),
        Cell::new(format!("{}.{} ms", line.took_us / 1000, line.took_us % 1000 / 100)),
    ]
}

fn changes_path(query: &AuditQuery) -> String {
    with_query(
        "/audit",
        [
            ("since", query.since.map(|at| at.0.to_string())),
            ("action", query.action.clone()),
            ("object", query.object.clone()),
            ("after", query.after.map(|id| id.to_string())),
            ("limit", query.limit.map(|limit| limit.to_string())),
        ],
    )
}

fn calls_path(query: &CallQuery) -> String {
    with_query(
        "/audit/calls",
        [
            ("since", query.since.map(|at| at.0.to_string())),
            ("instance", query.instance.clone()),
            ("method", query.method.clone()),
            ("name", query.name.clone()),
            ("by", query.by.clone()),
            ("result", query.result.map(|result| result.word().to_owned())),
            ("after", query.after.map(|id| id.to_string())),
            ("limit", query.limit.map(|limit| limit.to_string())),
        ],
    )
}

fn with_query<const N: usize>(path: &str, parts: [(&str, Option<String>); N]) -> String {
    let given = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", path_part(&value?))));
    format!("{path}?{}", given.collect::<Vec<_>>().join("&"))
}
