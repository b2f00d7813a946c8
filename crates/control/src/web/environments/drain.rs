//! `/a/{account}/environments/{name}/drain`: what would move where, and moving it.

use std::sync::Arc;

use api::moves::Drained;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use crate::app::{App, environments, moves};
use crate::web::confirm::Nothing;
use crate::web::environments::path_of;
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page};

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/{name}/drain", get(plan).post(drain))
}

#[derive(Template)]
#[template(path = "environment-drain.html")]
struct Page {
    shell: Shell,
    name: String,
    path: String,
    cordoned: bool,
    /// Instances, and where each goes.
    moving: Vec<(String, String)>,
    /// Instances that find no place now, and why.
    stuck: Vec<(String, String)>,
    /// Instances that cannot move, and why.
    staying: Vec<(String, String)>,
    leaving: Vec<String>,
}

async fn plan(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    let plan = moves::plan(&app, &member.caller, &name).await?;
    let environment = environments::show(&app, &member.caller, &name).await?;
    let shell = Shell::new(&app, &member, Section::Environments);
    let mut page = Page {
        path: path_of(&shell, &name),
        shell,
        name,
        cordoned: environment.cordoned,
        moving: Vec::new(),
        stuck: Vec::new(),
        staying: Vec::new(),
        leaving: plan.leaving.iter().map(ToString::to_string).collect(),
    };
    for Drained { name, moved_to, can_move, why } in plan.instances {
        let name = name.to_string();
        match moved_to {
            Some(to) => page.moving.push((name, to.to_string())),
            None if can_move => page.stuck.push((name, why.unwrap_or_default())),
            None => page.staying.push((name, why.unwrap_or_default())),
        }
    }
    Ok(shell_page(&page))
}

async fn drain(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    let drained = moves::drain(&app, &member.caller, &name).await?;
    // The page says of what is left why it is, and who has not let go yet.
    Ok(see(&format!("/a/{}/environments/{}/drain", member.caller.account_name, drained.environment)))
}
