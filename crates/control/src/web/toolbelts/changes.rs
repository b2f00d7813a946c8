//! `/a/{account}/toolbelts/{name}/changes`: definitions that are others than were approved: what differs, and approving it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::errors::ErrorCode;
use api::toolbelts::{ApproveRequest, Feature, FeatureQuery};
use api::users::Role;
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::time::Timestamp;
use domain::toolbelts::OnChange;
use serde::Deserialize;

use super::frame::{Frame, Tab};
use crate::app::{App, Outcome, Problem, toolbelts};
use crate::web::difference::{Line, lines, pretty, visible};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

/// So many are shown, and approved, at once.
const SHOWN: usize = 20;
/// The two definitions together, in bytes: a difference that is longer is not shown, and then it is not approved here either.
const LONGEST: usize = 256 << 10;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/toolbelts/{name}/changes", get(show).post(approve))
}

#[derive(Template)]
#[template(path = "toolbelt-changes.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    is_withheld: bool,
    members: Vec<Group>,
    /// Those that are not shown, because they are too many.
    further: usize,
}

/// What changed of one member.
struct Group {
    instance: String,
    changes: Vec<Change>,
}

impl Group {
    /// What a form that approves them all says which they are.
    fn hashes(&self) -> String {
        let shown = self.changes.iter().filter(|change| change.is_whole);
        shown.map(|change| change.hash.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn are_whole(&self) -> bool {
        self.changes.iter().all(|change| change.is_whole)
    }
}

struct Change {
    kind: &'static str,
    name: String,
    own_name: String,
    is_on: bool,
    is_described: bool,
    hash: String,
    seen_at: Timestamp,
    /// Of the descriptions; empty when they are the same.
    description: Vec<Line>,
    definition: Vec<Line>,
    /// Whether all of the difference is there to be read.
    is_whole: bool,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, StatusCode::OK, None).await?)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    status: StatusCode,
    notice: Option<Notice>,
) -> Outcome<Response> {
    let (frame, belt) = Frame::find(app, member, name, Tab::Changes).await?;
    let features = changed(app, member, name).await?;
    let further = features.len().saturating_sub(SHOWN);
    let mut members: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for feature in features.into_iter().take(SHOWN) {
        let instance = feature.instance.to_string();
        if let Some(change) = of_feature(feature) {
            members.entry(instance).or_default().push(change);
        }
    }
    let page = Page {
        shell: Shell::new(app, member, Section::Toolbelts),
        frame,
        notice,
        is_withheld: belt.on_change == OnChange::Withhold,
        members: members.into_iter().map(|(instance, changes)| Group { instance, changes }).collect(),
        further,
    };
    Ok(shell_page_with(&page, status))
}

async fn changed(app: &App, member: &Member, name: &str) -> Outcome<Vec<Feature>> {
    let query = FeatureQuery { changed: true, ..FeatureQuery::default() };
    let mut all = toolbelts::features(app, &member.caller, name, &query).await?;
    // Those of a member together, so that what is shown of it is all of it, where there is room.
    all.sort_by(|a, b| a.instance.cmp(&b.instance));
    Ok(all)
}

fn of_feature(feature: Feature) -> Option<Change> {
    let change = feature.change?;
    let is_whole = change.approved.len() + change.seen.len() <= LONGEST;
    let (description, definition) = if is_whole {
        let described = |json: &str| {
            serde_json::from_str::<Described>(json).ok().and_then(|described| described.description)
        };
        let texts = described(&change.approved).zip(described(&change.seen));
        let description = texts.map(|(before, now)| lines(&before, &now)).unwrap_or_default();
        (description, lines(&pretty(&change.approved), &pretty(&change.seen)))
    } else {
        (Vec::new(), Vec::new())
    };
    Some(Change {
        kind: feature.kind.word(),
        name: visible(&feature.name),
        own_name: visible(&feature.own_name),
        is_on: feature.is_on,
        is_described: feature.description.is_some(),
        hash: change.hash,
        seen_at: change.seen_at,
        description,
        definition,
        is_whole,
    })
}

/// The part of a definition that models read as words.
#[derive(Deserialize)]
struct Described {
    description: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    /// The hashes of the definitions that were looked at, with spaces between them.
    hashes: String,
}

async fn approve(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    match approve_all(&app, &member, &name, &form).await {
        Ok(()) => Ok(see(&format!("/a/{}/toolbelts/{name}/changes", member.caller.account_name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, &name, status, Some(notice)).await?)
        }
    }
}

/// One by one, each by its hash: what has changed again since somebody looked at it is not approved.
async fn approve_all(app: &App, member: &Member, name: &str, form: &Form) -> Outcome<()> {
    member.caller.require(Role::Member)?;
    let mut wanted: BTreeSet<&str> = form.hashes.split_whitespace().collect();
    if wanted.is_empty() {
        return Err(Problem::invalid("hashes", "nothing is approved: there was nothing to look at"));
    }
    for feature in changed(app, member, name).await? {
        let Some(change) = feature.change else { continue };
        if !wanted.remove(&*change.hash) {
            continue;
        }
        let request = ApproveRequest {
            kind: feature.kind,
            name: Some(feature.name),
            hash: Some(change.hash),
            instance: None,
        };
        toolbelts::approve(app, &member.caller, name, &request).await?;
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let (count, one) = (wanted.len(), wanted.len() == 1);
    let message = format!(
        "{count} definition{} changed again since you looked, or {} approved already, and nothing was approved of {}",
        if one { "" } else { "s" },
        if one { "was" } else { "were" },
        if one { "it" } else { "them" },
    );
    Err(Problem::refused(ErrorCode::Conflict, message).hint("look at what is shown now"))
}
