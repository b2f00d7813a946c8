//! `berth audit`: who did what, and when.

use std::time::{Duration, SystemTime};

use api::audit::{AuditLine, AuditQuery};
use comfy_table::Cell;

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
    let limit = if since.is_some() { PAGE } else { SHOWN };
    let mut query =
        AuditQuery { since, action: args.action, object: args.object, after: None, limit: Some(limit) };
    let mut rows = Vec::new();
    loop {
        let page: Vec<AuditLine> = client.get(&path(&query)).await?;
        let is_last = since.is_none() || page.len() < PAGE as usize;
        query.after = page.last().map(|line| line.id);
        if output.json() {
            // JSON Lines, so that a year of it can be written while it is read.
            for line in &page {
                output.line(line)?;
            }
        } else {
            rows.extend(page.iter().map(row));
        }
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
    output.table(["WHEN", "WHO", "ACTION", "WHAT", "DETAIL"], rows)
}

fn row(line: &AuditLine) -> [Cell; 5] {
    let detail = if line.detail == serde_json::json!({}) { String::new() } else { line.detail.to_string() };
    [
        Cell::new(to_the_second(line.at)),
        Cell::new(line.actor_name.as_deref().unwrap_or(&line.actor)),
        Cell::new(&line.action),
        Cell::new(line.object_name.as_deref().or(line.object_id.as_deref()).unwrap_or("-")),
        Cell::new(detail),
    ]
}

fn path(query: &AuditQuery) -> String {
    let given = [
        ("since", query.since.map(|at| at.0.to_string())),
        ("action", query.action.clone()),
        ("object", query.object.clone()),
        ("after", query.after.map(|id| id.to_string())),
        ("limit", query.limit.map(|limit| limit.to_string())),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", path_part(&value?))));
    format!("/audit?{}", given.collect::<Vec<_>>().join("&"))
}
