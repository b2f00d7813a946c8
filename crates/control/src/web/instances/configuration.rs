//! `/a/{account}/instances/{name}/configuration`: what it was deployed with, and what of it can be changed while it runs.

use std::sync::Arc;

use api::instances::Instance;
use api::moves::FailoverRequest;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use domain::catalog::Transport;
use domain::lease::Failover;
use domain::time::span;
use serde::Deserialize;
use store::instances::InstanceRow;

use crate::app::{App, moves};
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}/configuration", get(show).post(change))
}

#[derive(Template)]
#[template(path = "instance-configuration.html")]
struct Configuration {
    shell: Shell,
    frame: Frame,
    settings: Vec<(String, String)>,
    secrets: Vec<String>,
    facts: Vec<(&'static str, String)>,
    limits: Vec<(&'static str, String)>,
    failover: Option<Failover>,
    stays: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, row, instance) = Frame::find(&app, &member, &name, Tab::Configuration).await?;
    Ok(shell_page(&Configuration {
        shell: Shell::new(&app, &member, Section::Instances),
        frame,
        settings: row.settings.clone().into_iter().collect(),
        secrets: row.secret_names.clone(),
        facts: facts(&row, &instance),
        limits: limits(&row),
        failover: instance.failover,
        stays: instance.stays,
    }))
}

fn facts(row: &InstanceRow, instance: &Instance) -> Vec<(&'static str, String)> {
    let launch = &row.spec.launch;
    let mut all = vec![("Package", row.spec.package.to_string())];
    let mut add = |label, text: Option<String>| all.extend(text.map(|text| (label, text)));
    add("Executable", launch.executable.clone());
    add("Arguments", (!launch.args.is_empty()).then(|| launch.args.join(" ")));
    add("Constraints", (!launch.constraints.is_empty()).then(|| launch.constraints.join(", ")));
    if instance.container.is_none() {
        let transport = match launch.transport {
            Transport::Stdio => "standard input and output",
            Transport::Http => "Streamable HTTP",
            Transport::Sse => "HTTP+SSE of 2024-11-05",
        };
        add("Messages reach it by", Some(transport.to_owned()));
        let mode = launch.mode.map_or_else(|| "per-principal".to_owned(), |mode| mode.to_string());
        add("Processes are", Some(mode));
        add("Sessions", launch.strict_sessions.then(|| "end with the process that served them".to_owned()));
    }
    add("Sleeps", launch.sleep_after_seconds.map(|seconds| format!("after {} without use", span(seconds))));
    add("Path", launch.path.clone());
    add("Port", launch.port.map(|port| port.to_string()));
    let confined = instance.confinement.as_ref();
    let profile = launch.profile.or(confined.and_then(|confined| confined.profile));
    add("Profile", profile.map(|profile| profile.to_string()));
    let egress = launch.egress.clone().or_else(|| confined.and_then(|confined| confined.egress.clone()));
    add("May reach", egress.map(|egress| egress.to_string()));
    if let Some(container) = &instance.container {
        let ports: Vec<String> = container.ports.iter().map(ToString::to_string).collect();
        let volumes: Vec<String> = container.volumes.iter().map(ToString::to_string).collect();
        add("Publishes", (!ports.is_empty()).then(|| ports.join(", ")));
        add("Keeps", (!volumes.is_empty()).then(|| volumes.join(", ")));
        add("Works when", container.health.as_ref().map(ToString::to_string));
    }
    all
}

fn limits(row: &InstanceRow) -> Vec<(&'static str, String)> {
    let limits = &row.spec.limits;
    let cores = limits.cpu_millicores.map(|cores| format!("{}.{:03} cores", cores / 1000, cores % 1000));
    [
        ("Memory", limits.memory_mib.map(|mib| format!("{mib} MiB"))),
        ("Processor", cores),
        ("Processes and threads", limits.processes.map(|count| count.to_string())),
        ("Open files of each process", limits.open_files.map(|count| count.to_string())),
        ("Time to start", limits.startup_seconds.map(|seconds| format!("{seconds} s"))),
    ]
    .into_iter()
    .filter_map(|(label, text)| Some((label, text?)))
    .collect()
}

#[derive(Debug, Deserialize)]
struct Change {
    /// There when its box is ticked.
    failover: Option<String>,
}

async fn change(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Change>,
) -> Result<Response, Turned> {
    let failover = form.failover.map(|_| Failover::default());
    moves::set_failover(&app, &member.caller, &name, &FailoverRequest { failover }).await?;
    Ok(see(&format!("/a/{}/instances/{name}/configuration", member.caller.account_name)))
}
