//! `/a/{account}/toolbelts/{name}/feature`: what the toolbelt calls something that a member has, how it describes it, whether it shows it.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::toolbelts::{ChangeFeatureRequest, Feature, FeatureQuery};
use api::users::Role;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::toolbelts::Kind;
use serde::Deserialize;

use super::frame::{Frame, Tab};
use crate::app::{App, Outcome, Problem, toolbelts};
use crate::web::difference::visible;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::{Turned, escaped};
use crate::web::{see, shell_page_with};

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/toolbelts/{name}/feature", get(show).post(change))
}

/// What is meant: the kind, and the toolbelt's name of it. It is in the address, since forms change ends of lines, and a stranger's name may
/// have some.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    /// Absent where the form cannot rename.
    rename: Option<String>,
    /// Likewise.
    description: Option<String>,
    /// `yes` or `no`.
    show: String,
    /// Where the form was in the list: what was searched, and the page.
    q: String,
    page: usize,
}

#[derive(Template)]
#[template(path = "toolbelt-feature.html")]
struct Page {
    shell: Shell,
    frame: Frame,
    notice: Option<Notice>,
    kind: &'static str,
    /// As it is read.
    shown_name: String,
    /// The page's own path.
    path: String,
    instance: String,
    own_name: String,
    own_description: String,
    can_rename: bool,
    is_changed: bool,
    rename: String,
    description: String,
    is_on: bool,
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    Ok(render(&app, &member, (&name, &wanted), StatusCode::OK, None, Form::default()).await?)
}

async fn render(
    app: &App,
    member: &Member,
    (name, wanted): (&str, &Wanted),
    status: StatusCode,
    notice: Option<Notice>,
    form: Form,
) -> Outcome<Response> {
    let (frame, _) = Frame::find(app, member, name, Tab::Members).await?;
    let feature = find(app, member, name, wanted).await?;
    let page = Page {
        path: path_of(&frame.path, &feature),
        shell: Shell::new(app, member, Section::Toolbelts),
        frame,
        notice,
        kind: feature.kind.word(),
        shown_name: visible(&feature.name),
        instance: feature.instance.to_string(),
        own_name: visible(&feature.own_name),
        own_description: visible(feature.own_description.as_deref().unwrap_or_default()),
        can_rename: matches!(feature.kind, Kind::Tool | Kind::Prompt),
        is_changed: feature.change.is_some(),
        rename: form.rename.unwrap_or_else(|| feature.name.clone()),
        description: form.description.unwrap_or_else(|| feature.description.unwrap_or_default()),
        is_on: match &*form.show {
            "" => feature.is_on,
            word => word == "yes",
        },
    };
    Ok(shell_page_with(&page, status))
}

/// The page of something that a toolbelt has, whose own path is `belt`.
pub(super) fn path_of(belt: &str, feature: &Feature) -> String {
    format!("{belt}/feature?kind={}&name={}", feature.kind, escaped(&feature.name))
}

fn kind_of(word: &str) -> Outcome<Kind> {
    Kind::of_word(word).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, "it is a `tool`, a `prompt`, a `resource` or a `template`")
            .field("kind")
    })
}

async fn find(app: &App, member: &Member, belt: &str, wanted: &Wanted) -> Outcome<Feature> {
    let kind = kind_of(&wanted.kind)?;
    let query = FeatureQuery { kind: Some(kind), ..FeatureQuery::default() };
    let all = toolbelts::features(app, &member.caller, belt, &query).await?;
    all.into_iter().find(|feature| feature.name == wanted.name).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, format!("the toolbelt `{belt}` has no {kind} of that name"))
            .hint("it was renamed, or its member was taken out")
    })
}

async fn change(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    let changed = async {
        member.caller.require(Role::Member)?;
        // Browsers send the ends of lines as CRLF.
        let description = form.description.as_ref().map(|text| text.replace("\r\n", "\n"));
        let rename = form.rename.as_ref().map(|text| text.trim().to_owned());
        let request = ChangeFeatureRequest {
            kind: kind_of(&wanted.kind)?,
            rename: rename.filter(|rename| *rename != wanted.name),
            name: wanted.name.clone(),
            description,
            is_on: match &*form.show {
                "" => None,
                word => Some(word == "yes"),
            },
        };
        toolbelts::set_feature(&app, &member.caller, &name, &request).await
    };
    match changed.await {
        Ok(feature) => {
            let list =
                format!("/a/{}/toolbelts/{name}/members/{}", member.caller.account_name, feature.instance);
            Ok(see(&format!("{list}?q={}&page={}", escaped(&form.q), form.page)))
        }
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, (&name, &wanted), status, Some(notice), form).await?)
        }
    }
}
