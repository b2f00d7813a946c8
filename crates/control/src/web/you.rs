//! `/you`: whom one is signed in as, where else, and one's password.

use std::sync::Arc;

use api::sessions::{Session, SignInMethod};
use api::users::Role;
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use domain::secret::Secret;
use serde::Deserialize;

use crate::app::{App, Outcome, passwords, sessions};
use crate::auth::browser::Visitor;
use crate::web::form::Posted;
use crate::web::sign_in::words_of;
use crate::web::visitor::Turned;
use crate::web::{page_to, see};

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/you", get(show))
        .route("/you/password", post(set_password))
        .route("/you/sessions/{id}/end", post(end_session))
}

#[derive(Template)]
#[template(path = "you.html")]
struct You<'a> {
    user_name: &'a str,
    csrf: &'a str,
    accounts: Vec<(String, &'static str)>,
    sessions: Vec<Line>,
    needs_current: bool,
    /// What people call the identity provider, when there is one.
    provider: Option<&'a str>,
    error: Option<String>,
    done: Option<&'static str>,
}

/// A session as it is shown.
struct Line {
    id: String,
    is_this: bool,
    method: &'static str,
    agent: String,
    address: String,
    last_seen_at: String,
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Turned> {
    Ok(render(&app, &visitor, StatusCode::OK, None, None).await?)
}

async fn render(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    error: Option<String>,
    done: Option<&'static str>,
) -> Outcome<Response> {
    let accounts = store::people::memberships(&app.store, visitor.user).await?;
    let accounts = accounts.into_iter().map(|of| (of.account_name.into(), role(of.role))).collect();
    let all = sessions::of(app, visitor.user).await?;
    let sessions = all.into_iter().map(|session| line(session, visitor)).collect();
    let needs_current = !passwords::may_set_freely(app, visitor).await?;
    let (user_name, csrf) = (&*visitor.user_name, &*visitor.csrf);
    let provider = app.oidc.as_ref().map(crate::auth::oidc::Provider::name);
    let you = You { user_name, csrf, accounts, sessions, needs_current, provider, error, done };
    Ok(page_to(&you, status, &[]))
}

fn line(session: Session, visitor: &Visitor) -> Line {
    let method = match session.method {
        SignInMethod::Password => "password",
        SignInMethod::Link => "one-time link",
        SignInMethod::Invitation => "invitation",
        SignInMethod::Oidc => "identity provider",
    };
    Line {
        is_this: session.id == visitor.session,
        id: session.id.to_string(),
        method,
        agent: session.user_agent.unwrap_or_else(|| "an unnamed browser".to_owned()),
        address: session.address.unwrap_or_default(),
        last_seen_at: to_the_minute(session.last_seen_at),
    }
}

/// A moment as people read it, in UTC.
fn to_the_minute(at: domain::time::Timestamp) -> String {
    let text = at.to_string();
    match text.get(..16) {
        Some(minute) => format!("{} UTC", minute.replace('T', " ")),
        None => text,
    }
}

/// A role as people read it.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Member => "member",
        Role::Admin => "admin",
        Role::Owner => "owner",
    }
}

#[derive(Deserialize)]
struct NewPassword {
    current: Option<Secret>,
    password: Secret,
}

async fn set_password(
    State(app): State<Arc<App>>,
    Posted { visitor, form }: Posted<NewPassword>,
) -> Result<Response, Turned> {
    match passwords::set_own(&app, &visitor, form.current.as_ref(), &form.password).await {
        Ok(()) => {
            let done = Some("Your password is set. Every other browser has to sign in again.");
            Ok(render(&app, &visitor, StatusCode::OK, None, done).await?)
        }
        Err(problem) => {
            let (status, words) = words_of(problem)?;
            Ok(render(&app, &visitor, status, Some(words), None).await?)
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn end_session(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Turned> {
    sessions::end(&app, (visitor.user, &visitor.user_name), &id).await?;
    Ok(see("/you"))
}
