//! `/a/{account}/toolbelts/{name}`: its address and its members.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::errors::ErrorCode;
use api::toolbelts::Toolbelt;
use api::users::Role;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::status::InstanceStatus;
use domain::toolbelts::{Mode, OnChange};
use serde::Deserialize;

use super::count;
use super::frame::{Frame, Tab};
use crate::app::{App, Outcome, Problem, agents, instances, toolbelts};
use crate::web::confirm::{Nothing, confirm};
use crate::web::difference::visible;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, sentence};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::words::Badge;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/toolbelts/{name}", get(show))
        .page("/a/{account}/toolbelts/{name}/members", post(add))
        .page("/a/{account}/toolbelts/{name}/members/{instance}/show", post(set_active))
        .page("/a/{account}/toolbelts/{name}/members/{instance}/remove", get(ask).post(remove))
}

#[derive(Template)]
#[template(path = "toolbelt-members.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    url: String,
    description: Option<String>,
    is_searched: bool,
    is_withheld: bool,
    members: Vec<Row>,
    /// Instances that could become members.
    candidates: Vec<String>,
    typed: String,
}

struct Row {
    name: String,
    badge: Badge,
    is_active: bool,
    trouble: Option<String>,
    /// How much it has, such as `3 tools`.
    counts: Vec<String>,
    changed: u64,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, StatusCode::OK, None, String::new()).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    status: StatusCode,
    notice: Option<Notice>,
    typed: String,
) -> Outcome<Response> {
    let (frame, belt) = Frame::find(app, member, name, Tab::Members).await?;
    let candidates = if frame.may_change { candidates(app, member, &belt).await? } else { Vec::new() };
    let page = Page {
        shell: Shell::new(app, member, Section::Toolbelts),
        frame,
        notice,
        url: belt.url,
        description: belt.description,
        is_searched: belt.mode == Mode::Search,
        is_withheld: belt.on_change == OnChange::Withhold,
        members: belt.members.into_iter().map(row).collect(),
        candidates,
        typed,
    };
    Ok(shell_page_with(&page, status))
}

fn row(member: api::toolbelts::Member) -> Row {
    let counts = [(member.tools, "tool"), (member.prompts, "prompt"), (member.resources, "resource")];
    Row {
        name: member.instance.to_string(),
        badge: member.status.into(),
        is_active: member.is_active,
        trouble: member.trouble.map(|trouble| visible(&sentence(&trouble))),
        counts: counts.into_iter().filter(|(all, _)| 0 < *all).map(|(all, one)| count(all, one)).collect(),
        changed: member.changed,
    }
}

/// Instances that speak MCP and are no members yet; for an agent's toolbelt those of machines that it may use.
async fn candidates(app: &App, member: &Member, belt: &Toolbelt) -> Outcome<Vec<String>> {
    let inside: BTreeSet<&str> = belt.members.iter().map(|member| member.instance.as_str()).collect();
    let granted: Option<BTreeSet<String>> = match &belt.agent {
        Some(agent) => {
            let all = agents::toolboxes(app, &member.caller, agent.as_str()).await?;
            Some(all.into_iter().map(|granted| granted.environment.to_string()).collect())
        }
        None => None,
    };
    let mut all = instances::list(app, &member.caller).await?;
    all.retain(|instance| {
        instance.container.is_none()
            && instance.status != InstanceStatus::Deleting
            && !inside.contains(instance.name.as_str())
            && granted.as_ref().is_none_or(|granted| granted.contains(instance.environment.as_str()))
    });
    Ok(all.into_iter().map(|instance| instance.name.to_string()).collect())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Added {
    instance: String,
}

async fn add(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Added>,
) -> Result<Response, Turned> {
    match toolbelts::add_member(&app, &member.caller, &name, &form.instance).await {
        Ok(_) => Ok(see(&path(&member, &name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, &name, status, Some(notice), form.instance).await?)
        }
    }
}

#[derive(Debug, Deserialize)]
struct Shown {
    /// `yes`, or something else.
    show: String,
}

async fn set_active(
    State(app): State<Arc<App>>,
    Path((_, name, instance)): Path<(String, String, String)>,
    PostedBy { member, form }: PostedBy<Shown>,
) -> Result<Response, Turned> {
    toolbelts::set_active(&app, &member.caller, &name, &instance, form.show == "yes").await?;
    Ok(see(&path(&member, &name)))
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name, instance)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    member.caller.require(Role::Member)?;
    let (frame, belt) = Frame::find(&app, &member, &name, Tab::Members).await?;
    let found = belt.members.iter().find(|member| member.instance.as_str() == instance);
    let found = found.ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, format!("`{instance}` is no member of `{}`", frame.name))
    })?;
    let has = row(found.clone()).counts.join(", ");
    let has = if has.is_empty() { "what it has".to_owned() } else { has };
    let mut words = vec![
        format!(
            "Whoever uses {} no longer finds {has} of {instance} there. The instance itself goes on.",
            frame.name
        ),
        "Names, descriptions and approvals that were given here go with it: when it is added again, what it has then is taken as approved."
            .to_owned(),
    ];
    if let Some(agent) = &frame.agent {
        words.push(format!(
            "What the agent {agent} was allowed of its tools one by one, and the credentials that it brings to it, go too."
        ));
    }
    let title = format!("Take {instance} out of {}?", frame.name);
    let back = format!("toolbelts/{}", frame.name);
    Ok(confirm(Shell::new(&app, &member, Section::Toolbelts), &title, &words, ("Take it out", &back)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((_, name, instance)): Path<(String, String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    toolbelts::remove_member(&app, &member.caller, &name, &instance).await?;
    Ok(see(&path(&member, &name)))
}

fn path(member: &Member, name: &str) -> String {
    format!("/a/{}/toolbelts/{name}", member.caller.account_name)
}
