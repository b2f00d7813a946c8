//! Machines that an agent may use: granting one, and taking it back.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::frame::find_own;
use super::overview::render;
use crate::app::{App, agents, environments, instances, toolbelts};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::see;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/agents/{name}/machines", post(grant))
        .page("/a/{account}/agents/{name}/machines/{environment}/revoke", get(ask).post(revoke))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    environment: String,
}

async fn grant(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    match agents::grant_environment(&app, &member.caller, &name, &form.environment).await {
        Ok(_) => Ok(see(&format!("/a/{account}/agents/{name}"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, &name, status, Some(notice)).await?)
        }
    }
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name, environment)): Path<(String, String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let agent = find_own(&app, &member, &name).await?;
    let environment = environments::find(&app, &member.caller, &environment).await?;
    let belt = agents::show(&app, &member.caller, &name).await?.toolbelt;
    let members = toolbelts::show(&app, &member.caller, belt.as_str()).await?.members;
    let mut there = instances::list(&app, &member.caller).await?;
    there.retain(|instance| {
        instance.environment == environment.name
            && members.iter().any(|of| of.is_active && of.instance == instance.name)
    });
    let names: Vec<&str> = there.iter().map(|instance| instance.name.as_str()).collect();
    let words = if names.is_empty() {
        "No active member of its toolbelt runs there.".to_owned()
    } else {
        format!(
            "Of its toolbelt it can call these no more, from its next call on: {}. They are hidden there, and stay so when the machine is granted again.",
            names.join(", ")
        )
    };
    let title = format!("Take the machine {} from {}?", environment.name, agent.name);
    let back = format!("agents/{}", agent.name);
    Ok(confirm(Shell::new(&app, &member, Section::Agents), &title, &[words], ("Take it back", &back)))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path((account, name, environment)): Path<(String, String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    agents::revoke_environment(&app, &member.caller, &name, &environment).await?;
    Ok(see(&format!("/a/{account}/agents/{name}")))
}
