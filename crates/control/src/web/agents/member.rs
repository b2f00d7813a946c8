//! `/a/{account}/agents/{name}/members/{instance}`: what an agent may call of one instance, and what it brings to it.

use std::sync::Arc;

use api::agents::{Credential, Permission, PermissionRequest, ServerAccess, ServerAccessRequest};
use api::errors::ErrorCode;
use api::toolbelts::FeatureQuery;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::package::Package;
use domain::toolbelts::{AccessLevel, CredentialStatus, Kind};
use serde::Deserialize;

use super::frame::{Frame, Tab};
use super::overview::{Access, access_of};
use super::{LIVES, seconds};
use crate::app::{App, Outcome, Problem, agents, instances, toolbelts};
use crate::directory::now;
use crate::web::difference::visible;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::words::moment;
use crate::web::{see, shell_page_with};

/// So many of a member's tools are offered by name.
const OFFERED: usize = 500;
/// How much of a server: the word of the form, and words.
const LEVELS: [(&str, &str); 4] = [
    ("none", "nothing, but for the tools that are allowed below"),
    ("read_only", "what says of itself that it only reads, and prompts and resources"),
    ("custom", "these tools"),
    ("full_access", "everything"),
];

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/agents/{name}/members/{instance}", get(show))
        .page("/a/{account}/agents/{name}/members/{instance}/access", post(set_access))
        .page("/a/{account}/agents/{name}/members/{instance}/permissions", post(set_permission))
}

#[derive(Template)]
#[template(path = "agent-member.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    instance: String,
    /// The page's own path.
    path: String,
    /// Whether it is in the agent's toolbelt, and shown there.
    is_member: bool,
    is_active: bool,
    toolbelt: String,
    access: Access,
    permissions: Vec<Rule>,
    tools: Vec<String>,
    credentials: Vec<Kept>,
    /// What callers of the instance bring.
    each: Vec<String>,
    is_remote: bool,
    levels: &'static [(&'static str, &'static str)],
    lives: Vec<(String, String)>,
    typed: Typed,
}

struct Rule {
    is_allowed: bool,
    tool: String,
    /// As the form sends it.
    raw: String,
}

struct Kept {
    id: String,
    kind: String,
    names: Vec<String>,
    whose: Option<String>,
    is_used: bool,
    state: &'static str,
    at: domain::time::Timestamp,
}

/// What the forms of the page have in them.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) level: String,
    pub(super) tools: String,
    pub(super) days: String,
    pub(super) tool: String,
    pub(super) credential_type: String,
    pub(super) account_identifier: String,
    pub(super) value_name: String,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name, instance)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, (&name, &instance), StatusCode::OK, None, Typed::default()).await?)
}

pub(super) async fn render(
    app: &App,
    member: &Member,
    (name, instance): (&str, &str),
    status: StatusCode,
    mut notice: Option<Notice>,
    typed: Typed,
) -> Outcome<Response> {
    if let Some(notice) = &mut notice {
        notice.field = notice.field.take().map(field_of);
    }
    let caller = &member.caller;
    let (frame, agent) = Frame::find(app, member, name, Tab::Access).await?;
    let belt = toolbelts::show(app, caller, agent.toolbelt.as_str()).await?;
    let of_belt = belt.members.iter().find(|of| of.instance.as_str() == instance);
    let grants = agents::servers(app, caller, name).await?;
    let grant = grants.iter().find(|grant| grant.instance.as_str() == instance);
    if of_belt.is_none() && grant.is_none() {
        let message = format!("`{instance}` is no member of the toolbelt `{}`", belt.name);
        return Err(Problem::refused(ErrorCode::NotFound, message).hint("add it to the toolbelt first"));
    }
    let mut permissions = agents::permissions(app, caller, name).await?;
    permissions.retain(|one| one.instance.as_str() == instance);
    let mut credentials = agents::credentials(app, caller, name).await?;
    credentials.retain(|one| one.instance.as_str() == instance);
    let row = instances::find(app, caller, instance).await?;
    let tools = if of_belt.is_some() && frame.may_change {
        let query = FeatureQuery {
            instance: Some(instance.to_owned()),
            kind: Some(Kind::Tool),
            ..FeatureQuery::default()
        };
        toolbelts::features(app, caller, belt.name.as_str(), &query).await?
    } else {
        Vec::new()
    };
    let end = grant.filter(|grant| grant.is_active).and_then(|grant| grant.expires_at);
    let kept = end.map(|end| ("keep".to_owned(), format!("until {}, as it is", moment(end))));
    let lives = LIVES.iter().map(|(days, words)| ((*days).to_owned(), (*words).to_owned()));
    let page = Page {
        shell: Shell::new(app, member, Section::Agents),
        path: format!("{}/members/{}", frame.path, row.name),
        frame,
        notice,
        instance: row.name.to_string(),
        is_member: of_belt.is_some(),
        is_active: of_belt.is_some_and(|of| of.is_active),
        toolbelt: belt.name.to_string(),
        access: access_of(grant),
        permissions: permissions.into_iter().map(rule).collect(),
        tools: tools.into_iter().take(OFFERED).map(|tool| tool.own_name).collect(),
        credentials: credentials.into_iter().map(credential).collect(),
        each: row.spec.launch.each_caller.keys().cloned().collect(),
        is_remote: matches!(row.spec.package, Package::Remote { .. }),
        levels: &LEVELS,
        lives: kept.into_iter().chain(lives).collect(),
        typed: if typed.level.is_empty() { with_grant(typed, grant) } else { typed },
    };
    Ok(shell_page_with(&page, status))
}

/// The field of a form that an act calls otherwise.
fn field_of(name: String) -> String {
    match &*name {
        "allowed_tools" => "tools".to_owned(),
        "expires_in_seconds" => "days".to_owned(),
        _ => match name.strip_prefix("values.") {
            Some(value) => format!("value.{value}"),
            None => name,
        },
    }
}

/// The form of the access shows what is granted, unless it was sent just now.
fn with_grant(typed: Typed, grant: Option<&ServerAccess>) -> Typed {
    let active = grant.filter(|grant| grant.is_active);
    let level = active.map_or("none", |grant| grant.level.word()).to_owned();
    let tools = active.and_then(|grant| grant.allowed_tools.as_ref());
    let days = if active.is_some_and(|grant| grant.expires_at.is_some()) { "keep" } else { "" };
    Typed {
        level,
        tools: tools.map(|tools| tools.join("\n")).unwrap_or_default(),
        days: days.to_owned(),
        ..typed
    }
}

fn rule(permission: Permission) -> Rule {
    Rule { is_allowed: permission.is_allowed, tool: visible(&permission.tool), raw: permission.tool }
}

fn credential(credential: Credential) -> Kept {
    Kept {
        id: credential.id.to_string(),
        kind: visible(&credential.credential_type),
        names: credential.names.iter().map(|name| visible(name)).collect(),
        whose: credential.account_identifier.map(|whose| visible(&whose)),
        is_used: credential.is_used,
        state: match credential.status {
            CredentialStatus::Active => "active",
            CredentialStatus::Revoked => "taken back",
            CredentialStatus::RequiresReauth => "has to be given anew",
            CredentialStatus::Error => "did not work",
        },
        at: credential.created_at,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccessForm {
    level: String,
    /// One a line.
    tools: String,
    days: String,
}

async fn set_access(
    State(app): State<Arc<App>>,
    Path((account, name, instance)): Path<(String, String, String)>,
    PostedBy { member, form }: PostedBy<AccessForm>,
) -> Result<Response, Turned> {
    match change_access(&app, &member, (&name, &instance), &form).await {
        Ok(()) => Ok(see(&format!("/a/{account}/agents/{name}/members/{instance}"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            let AccessForm { level, tools, days } = form;
            let typed = Typed { level, tools, days, ..Typed::default() };
            Ok(render(&app, &member, (&name, &instance), status, Some(notice), typed).await?)
        }
    }
}

async fn change_access(
    app: &App,
    member: &Member,
    (name, instance): (&str, &str),
    form: &AccessForm,
) -> Outcome<()> {
    let caller = &member.caller;
    super::frame::find_own(app, member, name).await?;
    let grants = agents::servers(app, caller, name).await?;
    let before = grants.iter().find(|grant| grant.instance.as_str() == instance);
    if form.level == "none" {
        return match before {
            Some(_) => agents::revoke_server(app, caller, name, instance).await,
            None => Ok(()),
        };
    }
    let level = AccessLevel::of_word(&form.level)
        .ok_or_else(|| Problem::invalid("level", "choose one of those that the form offers"))?;
    let tools: Vec<String> =
        form.tools.lines().map(str::trim).filter(|tool| !tool.is_empty()).map(str::to_owned).collect();
    if level == AccessLevel::Custom && tools.is_empty() {
        return Err(Problem::invalid("tools", "no tool is named").hint("write one a line"));
    }
    let expires_in_seconds = match &*form.days {
        "keep" => {
            let end = before.and_then(|grant| grant.expires_at);
            let end = end.ok_or_else(|| Problem::invalid("days", "there is no end that could be kept"))?;
            Some(u64::try_from(end.micros_since(now()) / 1_000_000).unwrap_or_default().max(1))
        }
        days => seconds(days)?,
    };
    let allowed_tools = (level == AccessLevel::Custom).then_some(tools);
    let request = ServerAccessRequest { level, allowed_tools, expires_in_seconds };
    agents::grant_server(app, caller, name, instance, &request).await?;
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PermissionForm {
    tool: String,
    /// `allow`, `deny` or `forget`.
    effect: String,
}

async fn set_permission(
    State(app): State<Arc<App>>,
    Path((account, name, instance)): Path<(String, String, String)>,
    PostedBy { member, form }: PostedBy<PermissionForm>,
) -> Result<Response, Turned> {
    let set = async {
        super::frame::find_own(&app, &member, &name).await?;
        let is_allowed = match &*form.effect {
            "allow" => true,
            "deny" => false,
            "forget" => {
                return agents::forget_permission(&app, &member.caller, &name, (&instance, &form.tool)).await;
            }
            _ => return Err(Problem::invalid("effect", "choose one of those that the form offers")),
        };
        let request =
            PermissionRequest { instance: instance.clone(), tool: form.tool.trim().to_owned(), is_allowed };
        agents::set_permission(&app, &member.caller, &name, &request).await.map(|_| ())
    };
    match set.await {
        Ok(()) => Ok(see(&format!("/a/{account}/agents/{name}/members/{instance}"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            let typed = Typed { tool: form.tool, ..Typed::default() };
            Ok(render(&app, &member, (&name, &instance), status, Some(notice), typed).await?)
        }
    }
}
