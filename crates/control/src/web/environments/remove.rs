//! `/a/{account}/environments/{name}/remove`: what is lost with a machine, and giving it up.

use std::sync::Arc;

use api::environments::Environment;
use api::instances::Instance;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use domain::status::InstanceStatus;
use serde::Deserialize;

use crate::app::environments::{self, Removal};
use crate::app::machines::{self, Machine, Reached};
use crate::app::{App, Problem, instances};
use crate::web::environments::{dollars, path_of, require_admin};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, status_of};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/{name}/remove", get(ask).post(remove))
}

#[derive(Template)]
#[template(path = "environment-remove.html")]
struct Page {
    shell: Shell,
    name: String,
    path: String,
    is_here: bool,
    /// The droplet that is destroyed: what it is, and US dollars for a month.
    droplet: Option<(String, String)>,
    /// Instances that nobody has asked to remove: they must go first.
    instances: Vec<String>,
    /// Instances that are being removed.
    going: Vec<String>,
    /// Instances that have left and start elsewhere when this is gone.
    leaving: Vec<String>,
    /// What was typed.
    confirm: String,
    wrong: Option<Notice>,
}

impl Page {
    /// A host's environment goes once the host has let go of what was there; a droplet takes that with it.
    fn waits(&self) -> bool {
        self.droplet.is_none() && !self.going.is_empty()
    }
}

#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    confirm: String,
}

async fn ask(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    answer(&app, &member, &name, String::new(), None).await
}

async fn answer(
    app: &App,
    member: &Member,
    name: &str,
    confirm: String,
    wrong: Option<Notice>,
) -> Result<Response, Turned> {
    let Machine { environment, reached, leaving, .. } = machines::show(app, &member.caller, name).await?;
    let mut inside = instances::list(app, &member.caller).await?;
    inside.retain(|instance| instance.environment == environment.name);
    let (going, staying): (Vec<Instance>, Vec<Instance>) =
        inside.into_iter().partition(|instance| instance.status == InstanceStatus::Deleting);
    let names = |all: Vec<Instance>| all.into_iter().map(|instance| instance.name.to_string()).collect();
    let status = status_of(wrong.as_ref());
    let shell = Shell::new(app, member, Section::Environments);
    let page = Page {
        path: path_of(&shell, name),
        shell,
        is_here: reached == Reached::Here,
        droplet: droplet(&environment),
        name: name.to_owned(),
        instances: names(staying),
        going: names(going),
        leaving: leaving.iter().map(ToString::to_string).collect(),
        confirm,
        wrong,
    };
    Ok(shell_page_with(&page, status))
}

fn droplet(environment: &Environment) -> Option<(String, String)> {
    let droplet = environment.droplet.as_ref()?;
    let number = droplet.id.map(|id| format!(" {id}")).unwrap_or_default();
    let address = droplet.address.as_ref().map(|address| format!(", {address}")).unwrap_or_default();
    let what =
        format!("droplet{number} `{}` ({} in {}{address})", droplet.name, droplet.size, droplet.region);
    Some((what, dollars(droplet.price_monthly)))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    require_admin(&member)?;
    let environment = environments::show(&app, &member.caller, &name).await?;
    let removed = if environment.droplet.is_some() && form.confirm.trim() != name {
        Err(Problem::invalid("confirm", "the name is not typed as it is").hint(format!("type `{name}`")))
    } else {
        environments::remove(&app, &member.caller, &name).await
    };
    let all = format!("/a/{}/environments", member.caller.account_name);
    match removed {
        Ok(Removal::Done) => Ok(see(&all)),
        Ok(Removal::Begun) => Ok(see(&format!("{all}/{name}"))),
        Err(problem) => answer(&app, &member, &name, form.confirm, Some(Notice::wrong(problem)?)).await,
    }
}
