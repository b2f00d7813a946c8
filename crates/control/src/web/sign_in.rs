//! `/sign-in`, `/sign-in/link/{token}` and `/sign-out`.

use std::sync::Arc;

use api::errors::ErrorCode;
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use domain::secret::Secret;
use serde::Deserialize;

use crate::app::sign_in::{self, SignInError};
use crate::app::{App, Problem, sessions};
use crate::auth::browser::{Visit, local_path};
use crate::web::form::{Open, Posted};
use crate::web::visitor::{Perhaps, Turned};
use crate::web::{page, page_to, see};

/// Where one is after signing in, when nothing else was asked for.
const HOME: &str = "/";

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-in/link/{token}", get(show_link).post(use_link))
        .route("/sign-out", post(sign_out))
}

#[derive(Template)]
#[template(path = "sign-in.html")]
struct SignIn<'a> {
    next: Option<&'a str>,
    login: &'a str,
    /// What people call the identity provider, when there is one.
    provider: Option<&'a str>,
    error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Next {
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
struct Form {
    login: String,
    password: Secret,
    next: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    Perhaps(visitor): Perhaps,
    query: Result<Query<Next>, axum::extract::rejection::QueryRejection>,
) -> Response {
    // A query that cannot be read leads nowhere, as one that is not there.
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    let next = next.as_deref().and_then(local_path);
    if visitor.is_some() {
        return see(next.unwrap_or(HOME));
    }
    page(&SignIn { next, login: "", provider: provider(&app), error: None })
}

async fn sign_in(State(app): State<Arc<App>>, visit: Visit, Open(form): Open<Form>) -> Response {
    let next = form.next.as_deref().and_then(local_path);
    let error = match sign_in::with_password(&app, &form.login, &form.password, &visit).await {
        Ok(cookie) => return signed_in(&visit, &cookie, next),
        Err(error) => error,
    };
    let (status, wait, error) = match error {
        SignInError::Wrong => {
            let words = "There is nobody with this name and this password.".to_owned();
            (StatusCode::FORBIDDEN, None, words)
        }
        SignInError::TooOften(wait) => {
            let wait = wait.as_secs() + 1;
            let words = format!("This was tried too often. Try again in {}.", in_words(wait));
            (StatusCode::TOO_MANY_REQUESTS, Some(wait), words)
        }
        SignInError::Failed(problem) => return super::refusal(problem, None),
    };
    let again = SignIn { next, login: &form.login, provider: provider(&app), error: Some(error) };
    let mut response = page_to(&again, status, &[]);
    if let Some(wait) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

fn provider(app: &App) -> Option<&str> {
    app.oidc.as_ref().map(crate::auth::oidc::Provider::name)
}

fn in_words(seconds: u64) -> String {
    match seconds {
        1 => "a second".to_owned(),
        2..120 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// The answer that begins a session.
pub(crate) fn signed_in(visit: &Visit, cookie: &Secret, next: Option<&str>) -> Response {
    // The page asked for may lead on to somebody else's, such as an application that waits for consent. Browsers would not follow it there
    // from a form of the sign-in.
    let mut response = next.map_or_else(|| see(HOME), super::onward);
    response.headers_mut().append(header::SET_COOKIE, visit.set_cookie(cookie));
    response
}

#[derive(Template)]
#[template(path = "link.html")]
struct Link<'a> {
    user_name: &'a str,
}

async fn show_link(State(app): State<Arc<App>>, Path(link): Path<String>) -> Result<Response, Turned> {
    let user_name = sign_in::look_at_link(&app, &link).await?;
    Ok(page(&Link { user_name: &user_name }))
}

#[derive(Deserialize)]
struct Nothing {}

async fn use_link(
    State(app): State<Arc<App>>,
    Path(link): Path<String>,
    query: Result<Query<Next>, axum::extract::rejection::QueryRejection>,
    visit: Visit,
    Open(Nothing {}): Open<Nothing>,
) -> Result<Response, Turned> {
    let cookie = sign_in::with_link(&app, &link, &visit).await?;
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    Ok(signed_in(&visit, &cookie, next.as_deref().and_then(local_path)))
}

async fn sign_out(
    State(app): State<Arc<App>>,
    visit: Visit,
    posted: Result<Posted<Nothing>, Turned>,
) -> Result<Response, Turned> {
    let leave = |response: Response| {
        let mut response = response;
        response.headers_mut().insert(header::SET_COOKIE, visit.clear_cookie());
        response
    };
    match posted {
        Ok(Posted { visitor, .. }) => {
            let (user, session) = ((visitor.user, visitor.user_name.as_str()), visitor.session.to_string());
            sessions::end(&app, user, &session).await?;
            Ok(leave(see("/sign-in")))
        }
        // Whose session has ended already is signed out.
        Err(Turned::SignIn(_)) => Ok(leave(see("/sign-in"))),
        Err(turned) => Err(turned),
    }
}

/// A problem as words for the page that shows a form again; others are pages of their own.
pub(crate) fn words_of(problem: Problem) -> Result<(StatusCode, String), Problem> {
    match problem {
        Problem::Refused(detail)
            if matches!(
                detail.code,
                ErrorCode::Invalid | ErrorCode::Forbidden | ErrorCode::Conflict | ErrorCode::TooMany
            ) =>
        {
            let mut letters = detail.message.chars();
            let words = letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str()));
            let status =
                StatusCode::from_u16(detail.code.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Ok((status, words.unwrap_or_default()))
        }
        other => Err(other),
    }
}
