//! `/a/{account}/agents/{name}/settings`: its name and description, and its end.

use std::sync::Arc;

use api::agents::ChangeAgentRequest;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::frame::{Frame, Tab, find_own};
use crate::app::{App, Outcome, agents};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/agents/{name}/settings", get(show).post(change))
        .page("/a/{account}/agents/{name}/remove", get(ask).post(remove))
}

#[derive(Template)]
#[template(path = "agent-settings.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    typed: Form,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    name: String,
    description: String,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, StatusCode::OK, None, None).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Option<Form>,
) -> Outcome<Response> {
    let (frame, agent) = Frame::find(app, member, name, Tab::Settings).await?;
    let now = || Form { name: agent.name.to_string(), description: agent.description.unwrap_or_default() };
    let shell = Shell::new(app, member, Section::Agents);
    Ok(shell_page_with(&Page { shell, frame, notice, typed: typed.unwrap_or_else(now) }, status))
}

async fn change(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let request = ChangeAgentRequest {
        name: Some(form.name.trim().to_owned()),
        description: Some(form.description.replace("\r\n", "\n")),
    };
    match agents::update(&app, &member.caller, &name, &request).await {
        Ok(agent) => Ok(see(&format!("/a/{account}/agents/{}", agent.name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, &name, status, Some(notice), Some(form)).await?)
        }
    }
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let agent = find_own(&app, &member, &name).await?;
    let shown = agents::show(&app, &member.caller, &name).await?;
    let words = [
        format!("Its tokens open nothing any more, and its toolbelt {} goes with its address {}.", shown.toolbelt, shown.url),
        "What it was granted is forgotten, and the credentials that it brings are destroyed. Nobody can bring them back.".to_owned(),
        "The instances in its toolbelt go on as they are.".to_owned(),
    ];
    let title = format!("Remove the agent {}?", agent.name);
    let back = format!("agents/{}/settings", agent.name);
    Ok(confirm(Shell::new(&app, &member, Section::Agents), &title, &words, ("Remove", &back)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    agents::delete(&app, &member.caller, &name).await?;
    Ok(see(&format!("/a/{account}/agents")))
}
