//! `/a/{account}/agents/{name}`: its toolbelt, the machines that it may use, and what it may call of each member.

use std::sync::Arc;

use api::agents::{Agent, Permission, ServerAccess, ToolboxAccess};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::frame::{Frame, Tab};
use super::level_words;
use crate::app::{App, Outcome, agents, environments, toolbelts};
use crate::web::difference::visible;
use crate::web::member::Member;
use crate::web::notice::{Notice, sentence};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page_with;
use crate::web::visitor::Turned;
use crate::web::words::{Badge, moment};

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/agents/{name}", get(show))
}

#[derive(Template)]
#[template(path = "agent-access.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    agent: Agent,
    machines: Vec<ToolboxAccess>,
    /// Machines that it may not use.
    others: Vec<String>,
    members: Vec<Row>,
    /// Granted, and no members.
    strangers: Vec<Row>,
    has_tokens: bool,
}

struct Row {
    name: String,
    badge: Option<Badge>,
    is_active: bool,
    trouble: Option<String>,
    /// How much of it as a whole.
    access: Access,
    allowed: Vec<String>,
    denied: Vec<String>,
    /// What it brings, by name.
    brings: Vec<String>,
}

impl Row {
    fn may_nothing(&self) -> bool {
        !self.access.is_good && self.allowed.is_empty()
    }
}

/// How much of a server as a whole.
pub(super) struct Access {
    pub(super) is_good: bool,
    pub(super) words: String,
    /// Until when.
    pub(super) end: Option<String>,
}

/// What a grant says, or that there is none.
pub(super) fn access_of(grant: Option<&ServerAccess>) -> Access {
    let Some(grant) = grant else {
        return Access { is_good: false, words: "nothing".to_owned(), end: None };
    };
    let words = visible(&level_words(grant.level, grant.allowed_tools.as_deref()));
    Access { is_good: grant.is_active, words, end: grant.expires_at.map(moment) }
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, StatusCode::OK, None).await?)
}

pub(super) async fn render(
    app: &App,
    member: &Member,
    name: &str,
    status: StatusCode,
    notice: Option<Notice>,
) -> Outcome<Response> {
    let caller = &member.caller;
    let (frame, agent) = Frame::find(app, member, name, Tab::Access).await?;
    let belt = toolbelts::show(app, caller, agent.toolbelt.as_str()).await?;
    let machines = agents::toolboxes(app, caller, name).await?;
    let mut others = environments::list(app, caller).await?;
    others.retain(|one| machines.iter().all(|granted| granted.environment != one.name));
    let grants = agents::servers(app, caller, name).await?;
    let permissions = agents::permissions(app, caller, name).await?;
    let credentials = agents::credentials(app, caller, name).await?;
    let tokens = agents::tokens(app, caller, name).await?;
    let members: Vec<Row> = belt
        .members
        .iter()
        .map(|of| Row {
            badge: Some(of.status.into()),
            is_active: of.is_active,
            trouble: of.trouble.as_ref().map(|trouble| visible(&sentence(trouble))),
            access: access_of(grants.iter().find(|grant| grant.instance == of.instance)),
            allowed: tools(&permissions, of.instance.as_str(), true),
            denied: tools(&permissions, of.instance.as_str(), false),
            brings: credentials
                .iter()
                .filter(|credential| credential.instance == of.instance)
                .flat_map(|credential| &credential.names)
                .map(|name| visible(name))
                .collect(),
            name: of.instance.to_string(),
        })
        .collect();
    let is_member = |grant: &&ServerAccess| belt.members.iter().any(|of| of.instance == grant.instance);
    let strangers = grants.iter().filter(|grant| !is_member(grant)).map(|grant| Row {
        name: grant.instance.to_string(),
        badge: None,
        is_active: false,
        trouble: None,
        access: access_of(Some(grant)),
        allowed: Vec::new(),
        denied: Vec::new(),
        brings: Vec::new(),
    });
    let page = Page {
        shell: Shell::new(app, member, Section::Agents),
        frame,
        notice,
        agent,
        machines,
        others: others.into_iter().map(|one| one.name.to_string()).collect(),
        strangers: strangers.collect(),
        members,
        has_tokens: tokens.iter().any(|token| token.revoked_at.is_none()),
    };
    Ok(shell_page_with(&page, status))
}

fn tools(permissions: &[Permission], instance: &str, is_allowed: bool) -> Vec<String> {
    let of =
        permissions.iter().filter(|one| one.instance.as_str() == instance && one.is_allowed == is_allowed);
    of.map(|one| visible(&one.tool)).collect()
}
