//! `/a/{account}/instances/{name}/events`: what happened to it.

use std::sync::Arc;

use api::instance_events::{EventKind, InstanceEvent};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;

use crate::app::{App, instance_events};
use crate::web::instances::{Frame, Tab};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;
use crate::web::words::{Badge, moment};

/// How many a page has.
const SHOWN: u32 = 200;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}/events", get(show))
}

#[derive(Template)]
#[template(path = "instance-events.html")]
struct Events {
    shell: Shell,
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    at: String,
    badge: Option<Badge>,
    words: String,
    message: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let (frame, row, _) = Frame::find(&app, &member, &name, Tab::Events).await?;
    let rows = instance_events::of(&app, &row, SHOWN).await?.into_iter().map(shown).collect();
    Ok(shell_page(&Events { shell: Shell::new(&app, &member, Section::Instances), frame, rows }))
}

fn shown(event: InstanceEvent) -> Row {
    let words = match event.kind {
        EventKind::Asked => {
            let (who, action) = (event.by.unwrap_or_default(), event.action.unwrap_or_default());
            format!("{who} {}", asked(&action))
        }
        EventKind::Status => String::new(),
        EventKind::Installed => "installed".to_owned(),
        EventKind::Restarted => "started again".to_owned(),
    };
    Row { at: moment(event.at), badge: event.status.map(Badge::from), words, message: event.message }
}

/// What somebody did, after their name.
fn asked(action: &str) -> &str {
    match action {
        "instance.deploy" => "deployed it",
        "instance.start" => "had it started",
        "instance.stop" => "had it stopped",
        "instance.restart" => "had it restarted",
        "instance.remove" => "had it removed",
        "instance.change" => "asked for a change",
        "instance.rollback" => "asked for what it was before",
        "instance.switch" => "put a change in its place",
        "instance.change_drop" => "gave a change up",
        "instance.move" => "moved it",
        "instance.failover" => "changed its failover",
        "instance.authorize_begin" => "began to authorize it elsewhere",
        "instance.authorize" => "authorized it elsewhere",
        "instance.deauthorize" => "took back its authorization elsewhere",
        "instance.adopt" => "took it over from an older caller",
        other => other,
    }
}
