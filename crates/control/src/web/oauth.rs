//! Where a person decides what a client may do: `/oauth/authorize` and `/device`.

use std::sync::Arc;

use api::errors::ErrorCode;
use askama::Template;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::scopes::Scope;
use oauth::errors::{Code, Refused};
use oauth::parameters::Parameters;
use oauth::redirect::{self, Kind};
use serde::Deserialize;
use store::oauth::clients::ClientKind;

use crate::app::oauth::authorize::{self, Asked, NotAsked, Offer};
use crate::app::oauth::clients::Client;
use crate::app::oauth::devices::{self, Device};
use crate::app::oauth::{Failure, Resource, discovery};
use crate::app::{App, Problem};
use crate::auth::browser::Visitor;
use crate::http::oauth::Base;
use crate::web::form::Posted;
use crate::web::{form_target, message, page, page_to, refusal, see};

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(discovery::AUTHORIZE, get(ask).post(answer))
        .route(discovery::DEVICE_PAGE, get(type_code).post(look_at_device))
        .route("/device/decision", post(decide_on_device))
}

#[derive(Template)]
#[template(path = "consent.html")]
struct Consent<'a> {
    client: &'a str,
    user_name: &'a str,
    account: Option<String>,
    /// The instance, or the API; absent: the person chooses.
    server: Option<String>,
    vouched: String,
    sent_to: String,
    where_it_is: &'static str,
    device: bool,
    may: Vec<String>,
    choices: Vec<String>,
    action: &'static str,
    csrf: &'a str,
    request: &'a str,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    request: String,
    #[serde(default)]
    decision: String,
    #[serde(default)]
    server: String,
}

/// What scopes let a client do, in plain words.
fn in_words(offer: &Offer) -> Vec<String> {
    let line = |scope: &Scope| match scope {
        Scope::Read => "see everything in the account, but no secrets".to_owned(),
        Scope::Deploy => "deploy, start, stop and remove servers, as far as you may".to_owned(),
        Scope::Admin => "do everything that you may in the account, and make API tokens".to_owned(),
        Scope::Call { instance: None, .. } => "call every MCP server of the account".to_owned(),
        Scope::Call { instance: Some(instance), tool: None } => {
            format!("call every tool of {instance}, and read its prompts and resources")
        }
        Scope::Call { instance: Some(instance), tool: Some(tool) } if tool.contains('*') => {
            format!("call the tools of {instance} whose names are like {tool}, and no other")
        }
        Scope::Call { instance: Some(instance), tool: Some(tool) } => {
            format!("call the tool {tool} of {instance}, and no other")
        }
    };
    offer.scopes.iter().map(line).collect()
}

/// Who says that a client is what it is called.
fn vouched(client: &Client) -> String {
    match client.kind {
        ClientKind::Registered => "An admin of an account here registered it.".to_owned(),
        ClientKind::Dynamic => "It gave itself that name; nobody vouches for it.".to_owned(),
        ClientKind::Document => {
            let host = redirect::shown(&client.id);
            format!("{host} says that it is called so.")
        }
    }
}

fn where_it_is(redirect_uri: &str) -> &'static str {
    match redirect::judge(redirect_uri) {
        Ok(Kind::Web) => "A site on the internet: allow it only if you came from there.",
        Ok(Kind::Loopback) => {
            "A program on your own computer. Any program there could ask in this name: allow it only if you just started one."
        }
        Ok(Kind::Program) | Err(_) => {
            "A program on your own computer that opens links of this kind: allow it only if you just started it."
        }
    }
}

impl<'a> Consent<'a> {
    fn of(client: &'a Client, visitor: &'a Visitor, request: &'a str, offer: Option<&Offer>) -> Self {
        let server = offer.map(|offer| match &offer.resource {
            Resource::Api => "Berth itself".to_owned(),
            Resource::Server { instance, .. } => instance.to_string(),
        });
        Self {
            client: &client.name,
            user_name: &visitor.user_name,
            account: offer.map(|offer| offer.account_name.to_string()),
            server,
            vouched: vouched(client),
            sent_to: String::new(),
            where_it_is: "",
            device: false,
            may: offer.map(in_words).unwrap_or_default(),
            choices: Vec::new(),
            action: discovery::AUTHORIZE,
            csrf: &visitor.csrf,
            request,
            error: None,
        }
    }
}

fn told(failure: Failure) -> Response {
    match failure {
        Failure::Refused(refused) => {
            let problem = Problem::refused(
                ErrorCode::BadRequest,
                format!("the application that sent you here asks wrongly: {}", refused.description),
            );
            refusal(
                problem.hint("start again in the application; if that changes nothing, its makers must know"),
                None,
            )
        }
        Failure::Failed(problem) => refusal(problem, None),
    }
}

/// An error goes back to the client by itself only where that cannot make our address lead strangers to any site that somebody
/// registered (RFC 9700 §4.11.2).
fn back(client: Option<ClientKind>, redirect_uri: &str, to: &str, words: &str) -> Response {
    let is_known = client == Some(ClientKind::Registered);
    if is_known || redirect::judge(redirect_uri) != Ok(Kind::Web) {
        return see(to);
    }
    let host = redirect::shown(redirect_uri);
    message("That cannot be allowed", words, Some((to, &format!("Back to {host}"))))
}

fn not_asked(error: NotAsked) -> Response {
    match error {
        NotAsked::Told(failure) => told(failure),
        NotAsked::Back { kind, redirect_uri, to, refused } => {
            back(Some(kind), &redirect_uri, &to, &refused.description)
        }
    }
}

async fn ask(
    State(app): State<Arc<App>>,
    Base(base): Base,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let asked = match authorize::read(&app, &base, &Parameters::parse(query.as_bytes())).await {
        Ok(asked) => asked,
        Err(error) => return not_asked(error),
    };
    show(&app, &base, &visitor, &asked, &query, None)
}

fn show(
    app: &App,
    base: &str,
    visitor: &Visitor,
    asked: &Asked,
    query: &str,
    error: Option<String>,
) -> Response {
    let offer = match &asked.resource {
        Some(resource) => match authorize::offer(app, visitor.user, resource, &asked.scope) {
            Ok(offer) => Some(offer),
            Err(refused) => return refused_back(base, asked, &refused),
        },
        None => None,
    };
    let template = Consent {
        sent_to: redirect::shown(&asked.redirect_uri),
        where_it_is: where_it_is(&asked.redirect_uri),
        choices: if offer.is_none() { authorize::choices(app, visitor.user) } else { Vec::new() },
        error,
        ..Consent::of(&asked.client, visitor, query, offer.as_ref())
    };
    let targets: Vec<String> = form_target(&asked.redirect_uri).into_iter().collect();
    page_to(&template, StatusCode::OK, &targets)
}

fn refused_back(base: &str, asked: &Asked, refused: &Refused) -> Response {
    let to = authorize::refuse(base, asked, refused);
    back(Some(asked.client.kind), &asked.redirect_uri, &to, &refused.description)
}

async fn answer(
    State(app): State<Arc<App>>,
    Base(base): Base,
    Posted { visitor, form }: Posted<Answer>,
) -> Response {
    // Read anew: what a form carries is no better than what a link does.
    let asked = match authorize::read(&app, &base, &Parameters::parse(form.request.as_bytes())).await {
        Ok(asked) => asked,
        Err(error) => return not_asked(error),
    };
    if form.decision != "allow" {
        let refused = Refused::new(Code::AccessDenied, "the person refused");
        return see(&authorize::refuse(&base, &asked, &refused));
    }
    let resource = match (&asked.resource, chosen(&app, &base, &form.server)) {
        (Some(resource), _) => resource.clone(),
        (None, Some(resource)) => resource,
        (None, None) => {
            let words = "Choose the server that it means.".to_owned();
            return show(&app, &base, &visitor, &asked, &form.request, Some(words));
        }
    };
    let offer = match authorize::offer(&app, visitor.user, &resource, &asked.scope) {
        Ok(offer) => offer,
        Err(refused) => return refused_back(&base, &asked, &refused),
    };
    match authorize::allow(&app, &base, visitor.user, &asked, &offer).await {
        Ok(to) => see(&to),
        Err(failure) => told(failure),
    }
}

/// The server that a person chose for a client that does not say.
fn chosen(app: &App, base: &str, path: &str) -> Option<Resource> {
    if path.is_empty() {
        return None;
    }
    Resource::parse(app, &format!("{base}{path}")).ok().filter(|resource| *resource != Resource::Api)
}

#[derive(Template)]
#[template(path = "device.html")]
struct TypeCode<'a> {
    csrf: &'a str,
    code: &'a str,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Typed {
    user_code: String,
}

async fn type_code(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let given = Parameters::parse(query.as_bytes());
    let code = given.one("user_code").ok().flatten().unwrap_or_default();
    page(&TypeCode { csrf: &visitor.csrf, code, error: None })
}

async fn look_at_device(State(app): State<Arc<App>>, Posted { visitor, form }: Posted<Typed>) -> Response {
    match found(&app, &visitor, &form.user_code).await {
        Ok(device) => show_device(&app, &visitor, &device, None),
        Err(response) => response,
    }
}

/// The device of a code, unless this person typed wrong ones too often.
async fn found(app: &App, visitor: &Visitor, code: &str) -> Result<Device, Response> {
    if let Some(bucket) = app.device_codes.of(visitor.user)
        && let Err(wait) = bucket.take_now()
    {
        let wait = wait.as_secs() + 1;
        let words = format!("codes were typed too often: try again in {wait} s");
        return Err(refusal(Problem::refused(ErrorCode::TooMany, words), Some(wait)));
    }
    devices::find(app, code).await.map_err(|failure| match failure {
        Failure::Refused(refused) => {
            let error = Some(format!("{}.", refused.description));
            page_to(&TypeCode { csrf: &visitor.csrf, code, error }, StatusCode::UNPROCESSABLE_ENTITY, &[])
        }
        Failure::Failed(problem) => refusal(problem, None),
    })
}

fn show_device(app: &App, visitor: &Visitor, device: &Device, error: Option<String>) -> Response {
    let scope = device.row.scope.as_deref().unwrap_or_default();
    let offer = match &device.resource {
        Some(resource) => match authorize::offer(app, visitor.user, resource, scope) {
            Ok(offer) => Some(offer),
            Err(refused) => return told(refused.into()),
        },
        None => None,
    };
    page(&Consent {
        sent_to: "a device".to_owned(),
        where_it_is: "The one that shows this code. If somebody sent you the code, it is theirs: refuse.",
        device: true,
        choices: if offer.is_none() { authorize::choices(app, visitor.user) } else { Vec::new() },
        action: "/device/decision",
        error,
        ..Consent::of(&device.client, visitor, &device.row.user_code, offer.as_ref())
    })
}

async fn decide_on_device(
    State(app): State<Arc<App>>,
    Base(base): Base,
    Posted { visitor, form }: Posted<Answer>,
) -> Response {
    let device = match found(&app, &visitor, &form.request).await {
        Ok(device) => device,
        Err(response) => return response,
    };
    let offer = if form.decision == "allow" {
        let Some(resource) = device.resource.clone().or_else(|| chosen(&app, &base, &form.server)) else {
            let words = "Choose the server that it means.".to_owned();
            return show_device(&app, &visitor, &device, Some(words));
        };
        let scope = device.row.scope.as_deref().unwrap_or_default();
        match authorize::offer(&app, visitor.user, &resource, scope) {
            Ok(offer) => Some(offer),
            Err(refused) => return told(refused.into()),
        }
    } else {
        None
    };
    match devices::decide(&app, visitor.user, &device, offer.as_ref()).await {
        Ok(()) if offer.is_some() => {
            message("Allowed", "Your device goes on by itself; you can close this page", None)
        }
        Ok(()) => message("Refused", "Your device was told; you can close this page", None),
        Err(failure) => told(failure),
    }
}
