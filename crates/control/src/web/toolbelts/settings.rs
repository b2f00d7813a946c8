//! `/a/{account}/toolbelts/{name}/settings`: what people set of a toolbelt, and its end.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::toolbelts::ChangeToolbeltRequest;
use api::users::Role;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::frame::{Frame, Tab};
use super::{mode, on_change};
use crate::app::{App, Outcome, Problem, toolbelts};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/toolbelts/{name}/settings", get(show).post(change))
        .page("/a/{account}/toolbelts/{name}/remove", get(ask).post(remove))
}

#[derive(Template)]
#[template(path = "toolbelt-settings.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    typed: Form,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    description: String,
    mode: String,
    on_change: String,
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
    let (frame, belt) = Frame::find(app, member, name, Tab::Settings).await?;
    let now = || Form {
        description: belt.description.unwrap_or_default(),
        mode: belt.mode.word().to_owned(),
        on_change: belt.on_change.word().to_owned(),
    };
    let shell = Shell::new(app, member, Section::Toolbelts);
    Ok(shell_page_with(&Page { shell, frame, notice, typed: typed.unwrap_or_else(now) }, status))
}

async fn change(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let changed = async {
        let request = ChangeToolbeltRequest {
            description: Some(form.description.replace("\r\n", "\n")),
            mode: mode(&form.mode)?,
            on_change: on_change(&form.on_change)?,
        };
        toolbelts::update(&app, &member.caller, &name, &request).await
    };
    match changed.await {
        Ok(_) => Ok(see(&format!("/a/{}/toolbelts/{name}", member.caller.account_name))),
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
    member.caller.require(Role::Member)?;
    let (frame, belt) = Frame::find(&app, &member, &name, Tab::Settings).await?;
    if let Some(agent) = &frame.agent {
        let message = format!("`{}` is the toolbelt of the agent `{agent}`", frame.name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .hint("it goes when the agent goes")
            .into());
    }
    let members: Vec<&str> = belt.members.iter().map(|member| member.instance.as_str()).collect();
    let mut words = vec![
        format!(
            "Its address {} answers nobody any more. Clients that have it must be told another.",
            belt.url
        ),
        "Names, descriptions and approvals that were given in it are lost.".to_owned(),
    ];
    if !members.is_empty() {
        words.push(format!("Its members go on as they are: {}.", members.join(", ")));
    }
    let title = format!("Remove the toolbelt {}?", frame.name);
    let back = format!("toolbelts/{}/settings", frame.name);
    Ok(confirm(Shell::new(&app, &member, Section::Toolbelts), &title, &words, ("Remove", &back)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    toolbelts::delete(&app, &member.caller, &name).await?;
    Ok(see(&format!("/a/{account}/toolbelts")))
}
