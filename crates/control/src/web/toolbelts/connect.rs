//! `/a/{account}/toolbelts/{name}/connect`: how each client is connected to a toolbelt.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use domain::secret::Secret;

use super::frame::{Frame, Tab};
use crate::app::{App, Outcome};
use crate::web::connect::{self, Form, Wanted, Ways};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/toolbelts/{name}/connect", get(show).post(make_token))
}

#[derive(Template)]
#[template(path = "toolbelt-connect.html")]
struct Connect {
    shell: Shell,
    frame: Frame,
    ways: Ways,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, &wanted.client, None).await?)
}

async fn make_token(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let (_, belt) = Frame::find(&app, &member, &name, Tab::Connect).await?;
    let token = connect::make_token(&app, &member, &belt.name, &form).await?;
    Ok(render(&app, &member, &name, &form.client, Some(&token)).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    word: &str,
    token: Option<&Secret>,
) -> Outcome<Response> {
    let (frame, belt) = Frame::find(app, member, name, Tab::Connect).await?;
    let shell = Shell::new(app, member, Section::Toolbelts);
    let path = format!("{}/connect", frame.path);
    let mut ways = Ways::new(("toolbelt", &frame.name), belt.url, path, word, token);
    ways.others = frame.agent.as_ref().map(|agent| {
        let words = format!("It is the agent {agent} that calls here, with a token of its own.");
        (words, format!("{}/agents/{agent}/tokens", shell.base()))
    });
    Ok(shell_page(&Connect { shell, frame, ways }))
}
