//! `/a/{account}/check`: why did my client fail to connect?

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::App;
use crate::app::diagnosis::{self, Diagnosis};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/check", get(show).post(check))
}

#[derive(Template)]
#[template(path = "check.html")]
struct Check {
    shell: Shell,
    instances: Vec<String>,
    instance: String,
    found: Option<Diagnosis>,
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    instance: String,
}

impl Check {
    fn new(app: &App, member: &Member, instance: String, found: Option<Diagnosis>) -> Self {
        Self {
            shell: Shell::new(app, member, Section::Check),
            instances: app.directory.picture().servers_of(&member.caller.account_name),
            instance,
            found,
        }
    }
}

async fn show(
    State(app): State<Arc<App>>,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    member: Member,
) -> Response {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    shell_page(&Check::new(&app, &member, wanted.instance, None))
}

/// A form that is posted: it registers a client and asks other addresses of ours.
async fn check(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Wanted>,
) -> Result<Response, Turned> {
    let found = diagnosis::of(&app, &member.caller, &form.instance).await?;
    Ok(shell_page(&Check::new(&app, &member, form.instance, Some(found))))
}
