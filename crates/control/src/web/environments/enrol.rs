//! `/a/{account}/environments/{name}/enrol` and `/revoke`: the line that makes a host this machine, and taking a host's rights away.

use std::sync::Arc;

use api::enrolments::Enrolment;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use domain::secret::Secret;

use crate::app::machines::{self, Machine, Reached};
use crate::app::{App, enrolments};
use crate::web::confirm::Nothing;
use crate::web::environments::steps::{self, Steps};
use crate::web::environments::{path_of, require_admin};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::words::moment;
use crate::web::{see, shell_page};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/environments/{name}/enrol", get(ask).post(enrol))
        .page("/a/{account}/environments/{name}/revoke", get(ask_revoke).post(revoke))
}

#[derive(Template)]
#[template(path = "environment-line.html")]
struct Line {
    shell: Shell,
    name: String,
    path: String,
    command: Secret,
    until: String,
    /// The control plane's address, when only this machine reaches it.
    alone: Option<String>,
    is_clear: bool,
    steps: Option<Steps>,
}

/// The page with a line, once: nothing keeps it.
pub(super) async fn line(app: &App, member: &Member, enrolment: Enrolment) -> Result<Response, Turned> {
    let name = enrolment.environment.to_string();
    let machine = machines::show(app, &member.caller, &name).await?;
    let shell = Shell::new(app, member, Section::Environments);
    let path = path_of(&shell, &name);
    let steps = steps::of(&machine, true, format!("{path}?steps=all"));
    Ok(shell_page(&Line {
        shell,
        path,
        name,
        until: moment(enrolment.expires_at),
        alone: alone(app),
        is_clear: enrolment.control_url.starts_with("http://"),
        command: enrolment.command,
        steps,
    }))
}

/// The control plane's address, when no other machine reaches it.
pub(super) fn alone(app: &App) -> Option<String> {
    let public = app.public();
    public.is_of_this_machine_alone().then(|| public.url().to_owned())
}

#[derive(Template)]
#[template(path = "environment-enrol.html")]
struct Ask {
    shell: Shell,
    name: String,
    path: String,
    is_here: bool,
    /// A host has been it already.
    was_there: bool,
    alone: Option<String>,
}

async fn ask(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    let machine = machines::show(&app, &member.caller, &name).await?;
    let shell = Shell::new(&app, &member, Section::Environments);
    Ok(shell_page(&Ask {
        path: path_of(&shell, &name),
        shell,
        name,
        is_here: machine.reached == Reached::Here,
        was_there: machine.environment.last_heartbeat_at.is_some(),
        alone: alone(&app),
    }))
}

async fn enrol(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    let enrolment = enrolments::create(&app, &member.caller, &name).await?;
    line(&app, &member, enrolment).await
}

#[derive(Template)]
#[template(path = "environment-revoke.html")]
struct Revoke {
    shell: Shell,
    name: String,
    path: String,
    is_here: bool,
    has_host: bool,
    instances: u64,
}

async fn ask_revoke(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    let Machine { environment, reached, has_host, .. } = machines::show(&app, &member.caller, &name).await?;
    let shell = Shell::new(&app, &member, Section::Environments);
    Ok(shell_page(&Revoke {
        path: path_of(&shell, &name),
        shell,
        name,
        is_here: reached == Reached::Here,
        has_host,
        instances: environment.instances,
    }))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    let after = enrolments::revoke(&app, &member.caller, &name).await?;
    Ok(see(&format!("/a/{}/environments/{}", member.caller.account_name, after.name)))
}
