//! `/a/{account}/clients`: applications that people let call in their name, and those that were registered by hand.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::oauth::{Client, CreateClientRequest, Grant};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::oauth::{clients, grants};
use crate::app::{App, Outcome, Problem};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::Notice;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/clients", get(show).post(create))
        .page("/a/{account}/clients/{id}/remove", get(ask).post(remove))
        .page("/a/{account}/grants/{id}/revoke", get(ask_grant).post(revoke))
}

#[derive(Template)]
#[template(path = "clients.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    grants: Vec<Grant>,
    clients: Vec<Client>,
    typed: Form,
}

#[derive(Debug, Default, Deserialize)]
struct Form {
    name: String,
    #[serde(default)]
    redirect_uris: String,
    #[serde(default)]
    kind: String,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    Ok(render(&app, &member, StatusCode::OK, None, Form::default()).await?)
}

async fn render(
    app: &App,
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Form,
) -> Outcome<Response> {
    let mut grants = grants::list(app, &member.caller).await?;
    grants.retain(|grant| grant.revoked_at.is_none());
    let page = Page {
        shell: Shell::new(app, member, Section::Clients),
        notice,
        grants,
        clients: clients::list(app, &member.caller).await?,
        typed,
    };
    Ok(shell_page_with(&page, status))
}

async fn create(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let redirect_uris = form.redirect_uris.split_whitespace().map(str::to_owned).collect();
    let public = form.kind == "public";
    let request = CreateClientRequest { name: form.name.clone(), redirect_uris, jwks: None, public };
    let (status, notice, form) = match clients::create(&app, &member.caller, &request).await {
        Ok(made) => {
            let words = format!("{} is registered as `{}`.", made.client.name, made.client.id);
            let notice = match made.client_secret {
                Some(secret) => Notice::once(format!("{words} This is its secret:"), secret),
                None => Notice::done(words),
            };
            (StatusCode::OK, notice, Form::default())
        }
        Err(problem) => {
            let (status, notice) = Notice::of(problem)?;
            (status, notice, form)
        }
    };
    Ok(render(&app, &member, status, Some(notice), form).await?)
}

async fn ask(
    State(app): State<Arc<App>>,
    Path((_, id)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let all = clients::list(&app, &member.caller).await?;
    let found = all.into_iter().find(|client| client.id == id);
    let client = found.ok_or_else(|| Problem::refused(ErrorCode::NotFound, "there is no such client"))?;
    let words = ["What people allowed it here ends at once, and it can get no token any more.".to_owned()];
    let title = format!("Remove {}?", client.name);
    Ok(confirm(Shell::new(&app, &member, Section::Clients), &title, &words, ("Remove", "clients")))
}

async fn remove(
    State(app): State<Arc<App>>,
    Path((account, id)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    clients::remove(&app, &member.caller, &id).await?;
    Ok(see(&format!("/a/{account}/clients")))
}

async fn ask_grant(
    State(app): State<Arc<App>>,
    Path((_, id)): Path<(String, String)>,
    member: Member,
) -> Result<Response, Turned> {
    let all = grants::list(&app, &member.caller).await?;
    let found = all.into_iter().find(|grant| grant.id.to_string() == id && grant.revoked_at.is_none());
    let grant = found.ok_or_else(|| Problem::refused(ErrorCode::NotFound, "there is no such grant"))?;
    let words = [format!(
        "{} is refused from its next call on. It may ask {} again.",
        grant.client_name, grant.user_name
    )];
    let title = format!("Take {} its access?", grant.client_name);
    Ok(confirm(Shell::new(&app, &member, Section::Clients), &title, &words, ("Revoke", "clients")))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path((account, id)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    grants::revoke(&app, &member.caller, &id).await?;
    Ok(see(&format!("/a/{account}/clients")))
}
