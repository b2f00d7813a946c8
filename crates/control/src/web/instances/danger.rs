//! `/a/{account}/instances/{name}/danger`: stopping, moving and removing, each with what it does to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::instances::Instance;
use api::moves::MoveRequest;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::app::instances::{self, Order};
use crate::app::{App, environments, moves};
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/instances/{name}/danger", get(show))
        .page("/a/{account}/instances/{name}/move", post(move_to))
        .page("/a/{account}/instances/{name}/remove", get(ask).post(remove))
}

#[derive(Template)]
#[template(path = "instance-danger.html")]
struct Danger {
    shell: Shell,
    frame: Frame,
    instance: Instance,
    /// Where it could go.
    environments: Vec<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, _, instance) = Frame::find(&app, &member, &name, Tab::Danger).await?;
    let all = environments::list(&app, &member.caller).await?;
    let others =
        all.into_iter().map(|environment| environment.name).filter(|name| *name != instance.environment);
    Ok(shell_page(&Danger {
        shell: Shell::new(&app, &member, Section::Instances),
        frame,
        environments: others.map(|name| name.to_string()).collect(),
        instance,
    }))
}

#[derive(Debug, Deserialize)]
struct Target {
    environment: String,
}

async fn move_to(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Target>,
) -> Result<Response, Turned> {
    let request = MoveRequest { environment: form.environment, environment_labels: BTreeMap::new() };
    let moved = moves::move_to(&app, &member.caller, &name, &request).await?;
    Ok(see(&format!("/a/{}/instances/{}", member.caller.account_name, moved.name)))
}

#[derive(Template)]
#[template(path = "instance-remove.html")]
struct Remove {
    shell: Shell,
    frame: Frame,
    instance: Instance,
    volumes: Vec<String>,
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, _, instance) = Frame::find(&app, &member, &name, Tab::Danger).await?;
    let container = instance.container.iter();
    let volumes = container.flat_map(|container| &container.volumes).map(ToString::to_string).collect();
    let shell = Shell::new(&app, &member, Section::Instances);
    Ok(shell_page(&Remove { shell, frame, instance, volumes }))
}

#[derive(Debug, Deserialize)]
struct Nothing {}

async fn remove(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    instances::order(&app, &member.caller, &name, Order::Remove).await?;
    Ok(see(&format!("/a/{}/instances?done=remove-1", member.caller.account_name)))
}
