//! `/a/{account}/instances/{name}/connect`: how each client is connected, with one click or a text to copy.

use std::sync::Arc;

use api::tokens::CreateTokenRequest;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use clients::{Client, Connection, Qr, Server};
use domain::scopes::{Scope, Scopes};
use serde::Deserialize;

use crate::app::{App, Outcome, tokens};
use crate::web::instances::{Frame, Tab};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;

/// What stands where a token belongs that nobody has made.
const PLACEHOLDER: &str = "YOUR_TOKEN";
/// How long a token lives when nobody says, in days.
const DAYS: &str = "90";
const DAY: u64 = 86_400;

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/instances/{name}/connect", get(show).post(make_token))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    client: String,
}

#[derive(Debug, Deserialize)]
struct Form {
    client: String,
    /// Days that the token lives; empty: until it is revoked.
    #[serde(default)]
    days: String,
}

/// What is in the texts where a token belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// One that was made just now.
    New,
    /// A word that stands for one.
    Placeholder,
    /// Nothing: the client signs its person in.
    Absent,
}

#[derive(Template)]
#[template(path = "instance-connect.html")]
struct Connect {
    shell: Shell,
    frame: Frame,
    url: String,
    client: Client,
    connection: Connection,
    qr: Option<Qr>,
    token: Token,
    /// The client's makers call the server, and cannot reach this address.
    is_out_of_reach: bool,
    /// The client keeps a file that the command line can change.
    has_file: bool,
    days: [(&'static str, &'static str); 4],
}

impl Connect {
    fn all() -> [Client; 11] {
        Client::ALL
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand over references")]
    fn is_here(&self, client: &Client) -> bool {
        self.client == *client
    }

    fn is_chosen(days: &str) -> bool {
        days == DAYS
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
    member: Member,
) -> Result<Response, Turned> {
    Ok(render(&app, &member, &name, &wanted.client, None).await?)
}

/// Makes a token that calls this instance and nothing else. It is in the answer to this form and nowhere else.
async fn make_token(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Form>,
) -> Result<Response, Turned> {
    let (frame, row, _) = Frame::find(&app, &member, &name, Tab::Connect).await?;
    let client = client(&form.client);
    let days: Option<u64> = form.days.parse().ok();
    let request = CreateTokenRequest {
        name: format!("{} for {}", client.title(), frame.name),
        expires_in_seconds: days.map(|days| days.saturating_mul(DAY)),
        scopes: Some(Scopes::one(Scope::Call { instance: Some(row.name), tool: None })),
        account: None,
    };
    let made = tokens::create(&app, &member.caller, &request).await?;
    Ok(render(&app, &member, &name, &form.client, Some(made.secret.expose())).await?)
}

fn client(word: &str) -> Client {
    Client::of_word(word).unwrap_or(Client::ClaudeCode)
}

async fn render(
    app: &App,
    member: &Member,
    name: &str,
    word: &str,
    token: Option<&str>,
) -> Outcome<Response> {
    let (frame, _, instance) = Frame::find(app, member, name, Tab::Connect).await?;
    let client = client(word);
    let (shown, state) = match token {
        Some(token) => (Some(token), Token::New),
        None if client.signs_in() => (None, Token::Absent),
        None => (Some(PLACEHOLDER), Token::Placeholder),
    };
    let server = Server { name: &frame.name, url: &instance.url, token: shown };
    Ok(shell_page(&Connect {
        shell: Shell::new(app, member, Section::Instances),
        connection: clients::connection(client, server),
        qr: clients::qr(&instance.url),
        token: state,
        is_out_of_reach: client.calls_from_the_internet() && !instance.url.starts_with("https://"),
        has_file: clients::place(client).is_some(),
        url: instance.url,
        client,
        frame,
        days: [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")],
    }))
}
