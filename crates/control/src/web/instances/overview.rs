//! `/a/{account}/instances/{name}`: how an instance is, why, and what to do about it; while it is on its way, each step of it.

use std::sync::Arc;

use api::instances::Instance;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use domain::package::Package;
use domain::spec::DesiredState;
use domain::status::InstanceStatus;
use store::instances::InstanceRow;

use crate::app::App;
use crate::web::instances::{Frame, Tab, logs};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;
use crate::web::words::{ago, bytes, moment};

/// Lines of the log that are shown while it is on its way.
const LAST_LINES: u32 = 15;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}", get(show))
}

#[derive(Template)]
#[template(path = "instance-overview.html")]
struct Overview {
    shell: Shell,
    frame: Frame,
    instance: Instance,
    /// What is to be known of its state beside the word; with what to do.
    message: Option<String>,
    steps: Vec<Step>,
    failed: bool,
    log: Option<String>,
    since: Option<String>,
    created: String,
    cpu: Option<String>,
    memory: Option<String>,
    ports: Vec<String>,
    blocked: Vec<String>,
}

/// One thing that has to happen before an instance runs.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    words: &'static str,
    state: StepState,
    note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepState {
    Done,
    Now,
    Failed,
    Todo,
}

impl StepState {
    fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Failed => "failed",
            Self::Todo => "todo",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "under way",
            Self::Failed => "failed",
            Self::Todo => "not begun",
        }
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, row, instance) = Frame::find(&app, &member, &name, Tab::Overview).await?;
    let steps = steps(&row, &instance);
    // One that was not taken yet has none; why it cannot be read is no part of how it is.
    let log = if steps.is_empty() {
        None
    } else {
        logs::last(&app, &member, &name, LAST_LINES).await.ok().filter(|log| !log.trim().is_empty())
    };
    let metrics = instance.metrics.as_ref();
    Ok(shell_page(&Overview {
        shell: Shell::new(&app, &member, Section::Instances),
        frame,
        message: instance.message.clone(),
        failed: steps.iter().any(|step| step.state == StepState::Failed),
        steps,
        log,
        since: instance.since.map(ago),
        created: moment(instance.created_at),
        cpu: metrics.and_then(|metrics| metrics.cpu_millicores).map(cores),
        memory: metrics.map(|metrics| bytes(metrics.memory_bytes)),
        ports: instance
            .container
            .iter()
            .flat_map(|container| &container.ports)
            .map(ToString::to_string)
            .collect(),
        blocked: instance.blocked.iter().map(ToString::to_string).collect(),
        instance,
    }))
}

/// Thousandths of a core as people read them.
pub(crate) fn cores(millicores: u64) -> String {
    format!("{}.{:02} cores", millicores / 1000, millicores % 1000 / 10)
}

/// What has happened and what is to come; nothing when it runs, or is as somebody wants it.
fn steps(row: &InstanceRow, instance: &Instance) -> Vec<Step> {
    let is_remote = matches!(row.spec.package, Package::Remote { .. });
    let is_tool = instance.container.is_some();
    let mut all = vec!["Its host takes it"];
    if !is_remote {
        all.push("Install");
    }
    all.push(if is_remote { "Reach it" } else { "Start" });
    all.push(if is_tool { "Be healthy" } else { "Answer the first MCP request" });
    let last = all.len() - 1;
    let (at, state) = match row.status {
        InstanceStatus::PendingDeploy => (0, StepState::Now),
        InstanceStatus::Installing => (1, StepState::Now),
        InstanceStatus::ErrorInstall => (1, StepState::Failed),
        InstanceStatus::Starting if row.desired == DesiredState::Running => (last, StepState::Now),
        InstanceStatus::ErrorRuntime => (last, StepState::Failed),
        InstanceStatus::Starting
        | InstanceStatus::Running
        | InstanceStatus::Asleep
        | InstanceStatus::Stopping
        | InstanceStatus::Stopped
        | InstanceStatus::Deleting => return Vec::new(),
    };
    let note = match &instance.progress {
        Some(progress) => match progress.percent {
            Some(percent) => format!("{}, {percent} %", progress.step),
            None => progress.step.clone(),
        },
        None => String::new(),
    };
    all.into_iter()
        .enumerate()
        .map(|(i, words)| Step {
            words,
            state: match i.cmp(&at) {
                std::cmp::Ordering::Less => StepState::Done,
                std::cmp::Ordering::Equal => state,
                std::cmp::Ordering::Greater => StepState::Todo,
            },
            note: if i == at { note.clone() } else { String::new() },
        })
        .collect()
}
