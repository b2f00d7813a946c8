//! `/a/{account}/instances/{name}/connect`: how each client is connected to an instance.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use domain::secret::Secret;

use crate::app::{App, Outcome};
use crate::web::connect::{self, Form, Wanted, Ways};
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}/connect", get(show).post(make_token))
}

#[derive(Template)]
#[template(path = "instance-connect.html")]
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
    let (_, row, _) = Frame::find(&app, &member, &name, Tab::Connect).await?;
    let token = connect::make_token(&app, &member, &row.name, &form).await?;
    Ok(render(&app, &member, &name, &form.client, Some(&token)).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    word: &str,
    token: Option<&Secret>,
) -> Outcome<Response> {
    let (frame, _, instance) = Frame::find(app, member, name, Tab::Connect).await?;
    let shell = Shell::new(app, member, Section::Instances);
    let path = format!("{}/instances/{}/connect", shell.base(), frame.name);
    let ways = Ways::new(("instance", &frame.name), instance.url, path, word, token);
    Ok(shell_page(&Connect { shell, frame, ways }))
}
