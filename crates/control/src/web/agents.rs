//! `/a/{account}/agents`: programs of users that call with tokens of their own, and a page for each thing that can be done with one.

mod credentials;
mod frame;
mod machines;
mod member;
mod overview;
mod settings;
mod tokens;

use std::sync::Arc;

use api::agents::{Agent, CreateAgentRequest};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::toolbelts::AccessLevel;
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, agents};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, typed};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    let parts =
        [overview::pages, machines::pages, member::pages, credentials::pages, tokens::pages, settings::pages];
    let pages = pages.page("/a/{account}/agents", get(show).post(create));
    parts.into_iter().fold(pages, |pages, more| more(pages))
}

/// How long something may be good: days, and words.
const LIVES: [(&str, &str); 5] =
    [("", "until it is taken back"), ("1", "a day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days")];

#[derive(Template)]
#[template(path = "agents.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    agents: Vec<Agent>,
    typed: Form,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    name: String,
    description: String,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    Ok(render(&app, &member, StatusCode::OK, None, Form::default()).await?)
}

async fn render(
    app: &App,
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Form,
) -> Outcome<Response> {
    let agents = agents::list(app, &member.caller).await?;
    let shell = Shell::new(app, member, Section::Agents);
    Ok(shell_page_with(&Page { shell, notice, agents, typed }, status))
}

async fn create(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let request =
        CreateAgentRequest { name: form.name.trim().to_owned(), description: typed(&form.description) };
    match agents::create(&app, &member.caller, &request).await {
        Ok(made) => Ok(see(&format!("/a/{}/agents/{}", member.caller.account_name, made.name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), form).await?)
        }
    }
}

/// The days of a form, in seconds; nothing for what has no end.
fn seconds(days: &str) -> Outcome<Option<u64>> {
    let Some(days) = typed(days) else { return Ok(None) };
    let days: u64 = days.parse().map_err(|_| Problem::invalid("days", "a life is a number of days"))?;
    Ok(Some(days.saturating_mul(24 * 3600)))
}

/// How much of a server, as people say it.
fn level_words(level: AccessLevel, tools: Option<&[String]>) -> String {
    match level {
        AccessLevel::FullAccess => "everything".to_owned(),
        AccessLevel::ReadOnly => "what says of itself that it only reads".to_owned(),
        AccessLevel::Custom => format!("these tools: {}", tools.unwrap_or_default().join(", ")),
    }
}
