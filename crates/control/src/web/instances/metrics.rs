//! `/a/{account}/instances/{name}/metrics`: what it used and how it was called, as charts and as a table.

use std::sync::Arc;

use api::metrics::{MetricsHistory, MetricsPoint, MetricsRange};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::{App, metrics};
use crate::web::instances::chart::{Chart, Series, Span, Unit, chart, clock};
use crate::web::instances::{Frame, Tab};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;
use crate::web::words::bytes;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}/metrics", get(show))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    range: String,
}

#[derive(Template)]
#[template(path = "instance-metrics.html")]
struct Metrics {
    shell: Shell,
    frame: Frame,
    range: &'static str,
    ranges: [(&'static str, &'static str); 3],
    figures: Vec<(String, &'static str)>,
    charts: Vec<Chart>,
    rows: Vec<[String; 9]>,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, row, _) = Frame::find(&app, &member, &name, Tab::Metrics).await?;
    let range = MetricsRange::of_word(&wanted.range).unwrap_or_default();
    let history = metrics::history(&app, row.id, range).await?;
    let is_tool = frame.is_tool;
    Ok(shell_page(&Metrics {
        shell: Shell::new(&app, &member, Section::Instances),
        frame,
        range: range.word(),
        ranges: [("1h", "Last hour"), ("24h", "Last day"), ("30d", "Last 30 days")],
        figures: figures(&history.total, is_tool),
        charts: charts(&history, is_tool),
        rows: rows(&history),
    }))
}

const BYTES: Unit = Unit { base: 1024, write: bytes };
const COUNT: Unit = Unit { base: 1000, write: |count| count.to_string() };
const TIME: Unit = Unit { base: 1000, write: took };
const CORES: Unit =
    Unit { base: 1000, write: |millicores| format!("{}.{:03}", millicores / 1000, millicores % 1000) };

/// A duration of microseconds as people read it.
fn took(micros: u64) -> String {
    match micros {
        ..1000 => format!("{micros} µs"),
        1000..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

fn figures(total: &MetricsPoint, is_tool: bool) -> Vec<(String, &'static str)> {
    let time = |micros: Option<u64>| micros.map_or_else(|| "–".to_owned(), took);
    let mut all = Vec::new();
    if !is_tool {
        all.extend([
            (total.calls.to_string(), "calls"),
            (total.errors.to_string(), "with an error"),
            (total.refused.to_string(), "refused"),
            (time(total.p50_us), "half took at most"),
            (time(total.p95_us), "95 % took at most"),
        ]);
    }
    all.push((total.memory_bytes_max.map_or_else(|| "–".to_owned(), bytes), "of memory at most"));
    all
}

fn charts(history: &MetricsHistory, is_tool: bool) -> Vec<Chart> {
    let span = Span { from: history.from, until: history.until, step_seconds: history.step_seconds };
    let series = |label: &'static str, figure: fn(&MetricsPoint) -> Option<u64>| Series {
        label,
        points: history.points.iter().filter_map(|point| Some((point.at, figure(point)?))).collect(),
    };
    let mut all = Vec::new();
    if !is_tool {
        let calls = [
            series("calls", |point| Some(point.calls)),
            series("errors", |point| Some(point.errors)),
            series("refused", |point| Some(point.refused)),
        ];
        all.push(chart("calls", "Calls", span, &calls, COUNT));
        let times = [
            series("half", |point| point.p50_us),
            series("95 %", |point| point.p95_us),
            series("99 %", |point| point.p99_us),
        ];
        all.push(chart("times", "How long calls took at most", span, &times, TIME));
    }
    let memory = [series("mean", |point| point.memory_bytes), series("most", |point| point.memory_bytes_max)];
    all.push(chart("memory", "Memory", span, &memory, BYTES));
    let cpu =
        [series("mean", |point| point.cpu_millicores), series("most", |point| point.cpu_millicores_max)];
    all.push(chart("cpu", "Processor, in cores", span, &cpu, CORES));
    all
}

/// The points as a table, newest first.
fn rows(history: &MetricsHistory) -> Vec<[String; 9]> {
    let is_long = history.range == MetricsRange::Month;
    let or_none = |figure: Option<u64>, write: fn(u64) -> String| figure.map(write).unwrap_or_default();
    history
        .points
        .iter()
        .rev()
        .map(|point| {
            let hour = clock(point.at, false);
            [
                if is_long { format!("{} {hour}", clock(point.at, true)) } else { hour },
                point.calls.to_string(),
                point.errors.to_string(),
                point.refused.to_string(),
                or_none(point.p50_us, took),
                or_none(point.p95_us, took),
                or_none(point.p99_us, took),
                or_none(point.memory_bytes, bytes),
                or_none(point.cpu_millicores, CORES.write),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (micros, words) in
            [(0, "0 µs"), (999, "999 µs"), (1500, "1.5 ms"), (12_345, "12 ms"), (1_250_000, "1.2 s")]
        {
            assert_eq!(took(micros), words);
        }
    }
}
