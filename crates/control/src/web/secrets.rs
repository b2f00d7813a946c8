//! `/a/{account}/secrets`: the account's secrets. Their values go in and never come out.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::secrets::{SecretRequest, StoredSecret};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::secret::Secret;
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, secrets};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/secrets", get(show).post(put))
        .page("/a/{account}/secrets/{name}/remove", get(ask).post(remove))
}

#[derive(Template)]
#[template(path = "secrets.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    secrets: Vec<StoredSecret>,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Form {
    name: String,
    value: Secret,
    /// A box that is not ticked is not sent.
    restart: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    name: String,
}

async fn show(
    State(app): State<Arc<App>>,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    member: Member,
) -> Result<Response, Turned> {
    let wanted = query.map(|Query(wanted)| wanted).unwrap_or_default();
    Ok(render(&app, &member, StatusCode::OK, None, wanted.name).await?)
}

async fn render(
    app: &App,
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    name: String,
) -> Outcome<Response> {
    let shell = Shell::new(app, member, Section::Secrets);
    let secrets = if shell.may_deploy() { secrets::list(app, &member.caller).await? } else { Vec::new() };
    Ok(shell_page_with(&Page { shell, notice, secrets, name }, status))
}

async fn put(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    // Browsers send the ends of lines as CRLF; keys and certificates are written with LF.
    let value = Secret::new(form.value.expose().replace("\r\n", "\n"));
    let request = SecretRequest { value, restart: form.restart.is_some() };
    match secrets::put(&app, &member.caller, form.name.trim(), &request).await {
        Ok(_) => Ok(see(&format!("/a/{}/secrets", member.caller.account_name))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), form.name).await?)
        }
    }
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let all = secrets::list(&app, &member.caller).await?;
    let found = all.into_iter().find(|secret| secret.name.as_str() == name);
    let secret =
        found.ok_or_else(|| Problem::refused(ErrorCode::NotFound, format!("there is no secret `{name}`")))?;
    let mut words = vec![format!(
        "All {} versions of it are destroyed. Nobody can bring them back.",
        secret.versions.len()
    )];
    if secret.versions.len() == 1 {
        words = vec!["Its one version is destroyed. Nobody can bring it back.".to_owned()];
    }
    words
        .extend(secret.used_by.iter().map(|used| format!("{} uses it as {}.", used.instance, used.variable)));
    let title = format!("Remove the secret {name}?");
    Ok(confirm(Shell::new(&app, &member, Section::Secrets), &title, &words, ("Remove", "secrets")))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, name)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    match secrets::remove(&app, &member.caller, &name).await {
        Ok(()) => Ok(see(&format!("/a/{account}/secrets"))),
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            Ok(render(&app, &member, status, Some(notice), String::new()).await?)
        }
    }
}
