//! `/a/{account}/toolbelts/{name}/members/{instance}`: what a member has, what it is called in the toolbelt, and whether it is shown.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::toolbelts::{Feature, FeatureQuery};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::feature::path_of;
use super::frame::{Frame, Tab};
use crate::app::{App, Problem, toolbelts};
use crate::web::difference::visible;
use crate::web::member::Member;
use crate::web::notice::sentence;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::{Turned, escaped};
use crate::web::words::Badge;

/// Lines of one page.
const SHOWN: usize = 100;
/// Of a description in a line, in characters.
const LONGEST: usize = 240;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/toolbelts/{name}/members/{instance}", get(show))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    q: String,
    page: usize,
}

#[derive(Template)]
#[template(path = "toolbelt-member.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    instance: String,
    /// The page's own path.
    path: String,
    badge: Badge,
    is_active: bool,
    trouble: Option<String>,
    rows: Vec<Row>,
    /// All that it has.
    all: usize,
    /// What of it is found by the words that were typed.
    found: usize,
    q: String,
    /// Which page of what is found, from 0.
    number: usize,
    before: Option<String>,
    after: Option<String>,
}

struct Row {
    kind: &'static str,
    name: String,
    own_name: String,
    description: String,
    is_described: bool,
    is_on: bool,
    is_changed: bool,
    /// The page where it is changed.
    edit: String,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name, instance)): Path<(String, String, String)>,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    let (frame, belt) = Frame::find(&app, &member, &name, Tab::Members).await?;
    let query = FeatureQuery { instance: Some(instance.clone()), ..FeatureQuery::default() };
    let features = toolbelts::features(&app, &member.caller, &name, &query).await?;
    let of = |of: &api::toolbelts::Member| of.instance.as_str() == instance || of.id.to_string() == instance;
    let gone = || Problem::refused(ErrorCode::NotFound, format!("`{instance}` is no member of `{name}`"));
    let of_belt = belt.members.into_iter().find(of).ok_or_else(gone)?;
    let path = format!("{}/members/{}", frame.path, of_belt.instance);
    let all = features.len();
    let words = wanted.q.to_lowercase();
    let found: Vec<Feature> = features.into_iter().filter(|feature| is_found(feature, &words)).collect();
    let place = |page: usize| format!("{path}?q={}&page={page}", escaped(&wanted.q));
    let page = wanted.page.min(found.len().saturating_sub(1) / SHOWN);
    Ok(shell_page(&Page {
        shell: Shell::new(&app, &member, Section::Toolbelts),
        before: page.checked_sub(1).map(place),
        after: ((page + 1) * SHOWN < found.len()).then(|| place(page + 1)),
        found: found.len(),
        rows: found.into_iter().skip(page * SHOWN).take(SHOWN).map(|feature| row(&frame, &feature)).collect(),
        frame,
        instance: of_belt.instance.to_string(),
        badge: of_belt.status.into(),
        is_active: of_belt.is_active,
        trouble: of_belt.trouble.map(|trouble| visible(&sentence(&trouble))),
        path,
        all,
        q: wanted.q,
        number: page,
    }))
}

fn is_found(feature: &Feature, words: &str) -> bool {
    let described = feature.description.iter().chain(&feature.own_description);
    words.is_empty()
        || [&feature.name, &feature.own_name]
            .into_iter()
            .chain(described)
            .any(|text| text.to_lowercase().contains(words))
}

fn row(frame: &Frame, feature: &Feature) -> Row {
    let is_described = feature.description.is_some();
    let described = feature.description.as_ref().or(feature.own_description.as_ref());
    let description = visible(described.map(String::as_str).unwrap_or_default());
    let short: String = description.chars().take(LONGEST).collect();
    Row {
        kind: feature.kind.word(),
        edit: path_of(&frame.path, feature),
        description: if short.len() < description.len() { format!("{short}…") } else { short },
        name: visible(&feature.name),
        own_name: visible(&feature.own_name),
        is_described,
        is_on: feature.is_on,
        is_changed: feature.change.is_some(),
    }
}
