//! `/a/{account}/tokens`: API tokens, for programs and for clients that cannot sign in.

use std::sync::Arc;

use api::errors::ErrorCode;
use api::tokens::{CreateTokenRequest, Token};
use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use domain::scopes::{Scope, Scopes};
use serde::Deserialize;

use crate::app::{App, Outcome, Problem, tokens};
use crate::web::confirm::{Nothing, confirm};
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, typed};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::{see, shell_page_with};

pub(crate) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/tokens", get(show).post(create))
        .page("/a/{account}/tokens/{id}/revoke", get(ask).post(revoke))
}

/// How long a token may be good: days, and words.
const LIVES: [(&str, &str); 5] =
    [("30", "30 days"), ("7", "7 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")];
/// What a token may be for: the word of the form, and words.
const SCOPES: [(&str, &str); 5] = [
    ("call", "call MCP servers, and nothing else"),
    ("read", "read through the API"),
    ("deploy", "read, deploy and change instances"),
    ("admin", "everything in the API that I may"),
    ("all", "everything that I may, calls too"),
];

#[derive(Template)]
#[template(path = "tokens.html")]
struct Page {
    shell: Shell,
    notice: Option<Notice>,
    tokens: Vec<Token>,
    instances: Vec<String>,
    lives: &'static [(&'static str, &'static str)],
    scopes: &'static [(&'static str, &'static str)],
    typed: Form,
}

#[derive(Debug, Default, Deserialize)]
struct Form {
    name: String,
    #[serde(default)]
    days: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    instance: String,
    #[serde(default)]
    tool: String,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    let form = Form { days: "30".to_owned(), scope: "call".to_owned(), ..Form::default() };
    Ok(render(&app, &member, StatusCode::OK, None, form).await?)
}

async fn render(
    app: &App,
    member: &Member,
    status: StatusCode,
    notice: Option<Notice>,
    typed: Form,
) -> Outcome<Response> {
    let mut tokens = tokens::list(app, &member.caller).await?;
    tokens.retain(|token| token.revoked_at.is_none());
    let page = Page {
        shell: Shell::new(app, member, Section::Tokens),
        notice,
        tokens,
        instances: app.directory.picture().servers_of(&member.caller.account_name),
        lives: &LIVES,
        scopes: &SCOPES,
        typed,
    };
    Ok(shell_page_with(&page, status))
}

/// What the form asks for.
fn request(form: &Form) -> Outcome<CreateTokenRequest> {
    let days = typed(&form.days).map(|days| days.parse::<u64>()).transpose();
    let days = days.map_err(|_| Problem::invalid("days", "a life is a number of days"))?;
    let tool = typed(&form.tool);
    let scopes: Option<Vec<Scope>> = match &*form.scope {
        "all" => None,
        "read" => Some(vec![Scope::Read]),
        "deploy" => Some(vec![Scope::Deploy]),
        "admin" => Some(vec![Scope::Admin]),
        "call" => {
            let text = match (typed(&form.instance), tool) {
                (None, None) => "mcp:call".to_owned(),
                (None, Some(_)) => {
                    return Err(Problem::invalid("instance", "tools are those of an instance: choose one"));
                }
                (Some(instance), None) => format!("mcp:call:{instance}"),
                (Some(instance), Some(tool)) => format!("mcp:call:{instance}/{tool}"),
            };
            Some(vec![text.parse().map_err(|error| Problem::invalid("tool", error))?])
        }
        _ => return Err(Problem::invalid("scope", "choose what the token is for")),
    };
    Ok(CreateTokenRequest {
        name: form.name.clone(),
        expires_in_seconds: days.map(|days| days.saturating_mul(24 * 3600)),
        scopes: scopes.map(Scopes::try_from).transpose().map_err(|error| Problem::invalid("scope", error))?,
        account: None,
    })
}

async fn create(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let made = async { tokens::create(&app, &member.caller, &request(&form)?).await };
    let (status, notice, form) = match made.await {
        Ok(made) => {
            let words =
                format!("This is the token `{}`. Whoever has it may do what it is for.", made.token.name);
            (StatusCode::OK, Notice::once(words, made.secret), Form { name: String::new(), ..form })
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
    let all = tokens::list(&app, &member.caller).await?;
    let found = all.into_iter().find(|token| token.id.to_string() == id);
    let token = found.ok_or_else(|| Problem::refused(ErrorCode::NotFound, "there is no such token"))?;
    let used = token.last_used_at.map_or_else(
        || "It was never used.".to_owned(),
        |at| format!("It was last used {}.", crate::web::words::ago(at)),
    );
    let words = [
        "Whatever uses it is refused from now on. This cannot be undone; another token can be made."
            .to_owned(),
        used,
    ];
    let title = format!("Revoke {}?", token.name);
    Ok(confirm(Shell::new(&app, &member, Section::Tokens), &title, &words, ("Revoke", "tokens")))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Path((account, id)): Path<(String, String)>,
    PostedBy { member, form: Nothing {} }: PostedBy<Nothing>,
) -> Result<Response, Turned> {
    tokens::revoke(&app, &member.caller, &id).await?;
    Ok(see(&format!("/a/{account}/tokens")))
}
