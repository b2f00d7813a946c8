//! `/a/{account}/agents/{name}/tokens`: what an agent shows with its calls.

use std::sync::Arc;

use api::agents::{Agent, AgentToken, CreateAgentTokenRequest};
use api::errors::ErrorCode;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::frame::{Frame, Tab, find_own};
use super::{LIVES, seconds};
use crate::app::{App, Outcome, Problem, agents};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/agents/{name}/tokens", get(show).post(create))
        .page("/a/{account}/agents/{name}/tokens/{id}/revoke", get(ask).post(revoke))
}

#[derive(Template)]
#[template(path = "agent-tokens.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    agent: Agent,
    tokens: Vec<AgentToken>,
    lives: &'static [(&'static str, &'static str)],
    typed: Form,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    name: String,
    days: String,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let form = Form { days: "90".to_owned(), ..Form::default() };
    Ok(render(&app, &member, &name, StatusCode::OK, None, form).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Form,
) -> Outcome<Response> {
    let (frame, agent) = Frame::find(app, member, name, Tab::Tokens).await?;
    let mut tokens = agents::tokens(app, &member.caller, name).await?;
    tokens.retain(|token| token.revoked_at.is_none());
    let shell = Shell::new(app, member, Section::Agents);
    Ok(shell_page_with(&Page { shell, frame, notice, agent, tokens, lives: &LIVES, typed }, status))
}

async fn create(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let made = async {
        let request =
            CreateAgentTokenRequest { name: form.name.clone(), expires_in_seconds: seconds(&form.days)? };
        agents::create_token(&app, &member.caller, &name, &request).await
    };
    let (status, notice, form) = match made.await {
        Ok(made) => {
            let words = format!("This is the token `{}`. Whoever has it is the agent.", made.token.name);
            (StatusCode::OK, Notice::once(words, made.secret), Form { name: String::new(), ..form })
        }
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            (status, notice, form)
        }
    };
    Ok(render(&app, &member, &name, status, Some(notice), form).await?)
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name, id)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let agent = find_own(&app, &member, &name).await?;
    let all = agents::tokens(&app, &member.caller, &name).await?;
    let found = all.into_iter().find(|token| token.id.to_string() == id);
    let token = found.ok_or_else(|| Problem::refused(ErrorCode::NotFound, "there is no such token"))?;
    let used = token.last_used_at.map_or_else(
        || "It was never used.".to_owned(),
        |at| format!("It was last used {}.", crate::web::words::ago(at)),
    );
    let words = [
        format!(
            "Where {} uses it, its calls are refused from now on. This cannot be undone; another token can be made.",
            agent.name
        ),
        used,
    ];
    let title = format!("Revoke {}?", token.name);
    let back = format!("agents/{}/tokens", agent.name);
    Ok(confirm(Shell::new(&app, &member, Section::Agents), &title, &words, ("Revoke", &back)))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path((account, name, id)): Path<(String, String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    agents::revoke_token(&app, &member.caller, &name, &id).await?;
    Ok(see(&format!("/a/{account}/agents/{name}/tokens")))
}
