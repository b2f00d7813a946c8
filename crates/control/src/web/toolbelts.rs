//! `/a/{account}/toolbelts`: one address over what several instances have, and a page for each thing that can be done with one.

mod changes;
mod connect;
mod feature;
mod frame;
mod member;
mod overview;
mod settings;

use std::sync::Arc;

use api::toolbelts::{CreateToolbeltRequest, Toolbelt};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::toolbelts::{Mode, OnChange};
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, toolbelts};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, typed};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    let parts =
        [overview::pages, member::pages, feature::pages, changes::pages, connect::pages, settings::pages];
    let pages = pages.page("/a/{account}/toolbelts", get(show).post(create));
    parts.into_iter().fold(pages, |pages, more| more(pages))
}

#[derive(Template)]
#[template(path = "toolbelts.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    belts: Vec<Row>,
    typed: Form,
}

struct Row {
    name: String,
    agent: Option<String>,
    description: Option<String>,
    members: Vec<String>,
    /// How many, such as `3 tools`.
    tools: String,
    changed: u64,
    is_searched: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    name: String,
    description: String,
    mode: String,
    on_change: String,
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
    let belts = toolbelts::list(app, &member.caller).await?.into_iter().map(row).collect();
    let shell = Shell::new(app, member, Section::Toolbelts);
    Ok(shell_page_with(&Page { shell, notice, belts, typed }, status))
}

fn row(belt: Toolbelt) -> Row {
    Row {
        name: belt.name.to_string(),
        agent: belt.agent.map(|agent| agent.to_string()),
        description: belt.description,
        tools: count(belt.members.iter().map(|member| member.tools).sum(), "tool"),
        changed: belt.members.iter().map(|member| member.changed).sum(),
        members: belt.members.iter().map(|member| member.instance.to_string()).collect(),
        is_searched: belt.mode == Mode::Search,
    }
}

async fn create(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let made = async {
        let request = CreateToolbeltRequest {
            name: form.name.trim().to_owned(),
            description: typed(&form.description),
            mode: mode(&form.mode)?,
            on_change: on_change(&form.on_change)?,
        };
        toolbelts::create(&app, &member.caller, &request).await
    };
    match made.await {
        Ok(made) => Ok(see(&format!("/a/{}/toolbelts/{}", member.caller.account_name, made.name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), form).await?)
        }
    }
}

/// What a form chose; nothing where it has no such field.
fn mode(word: &str) -> Outcome<Option<Mode>> {
    chosen("mode", word, Mode::of_word)
}

/// Likewise.
fn on_change(word: &str) -> Outcome<Option<OnChange>> {
    chosen("on_change", word, OnChange::of_word)
}

fn chosen<T>(field: &str, word: &str, of_word: fn(&str) -> Option<T>) -> Outcome<Option<T>> {
    match word {
        "" => Ok(None),
        word => match of_word(word) {
            Some(known) => Ok(Some(known)),
            None => Err(Problem::invalid(field, "choose one of those that the form offers")),
        },
    }
}

/// A number of things, as people say it.
fn count(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}
