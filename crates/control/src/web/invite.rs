//! `/invite/{token}`: the way into an account.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::secret::Secret;
use serde::Deserialize;

use crate::app::App;
use crate::app::invitations::{self, Offer};
use crate::auth::browser::{Visit, Visitor};
use crate::web::form::{Open, Posted};
use crate::web::sign_in::{signed_in, words_of};
use crate::web::visitor::{Perhaps, Turned};
use crate::web::{message, page, page_to};

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/invite/{token}", get(show).post(make)).route("/invite/{token}/join", post(join))
}

#[derive(Template)]
#[template(path = "invite.html")]
struct Invite<'a> {
    link: &'a str,
    account: &'a str,
    role: &'static str,
    by: &'a str,
    visitor: Option<&'a Visitor>,
    name: &'a str,
    email: &'a str,
    error: Option<String>,
}

impl<'a> Invite<'a> {
    fn of(offer: &'a Offer, link: &'a str, visitor: Option<&'a Visitor>) -> Self {
        Self {
            link,
            account: offer.account_name.as_str(),
            role: super::you::role(offer.role()),
            by: &offer.by,
            visitor,
            name: offer.name(),
            email: offer.email(),
            error: None,
        }
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Path(link): Path<String>,
    Perhaps(visitor): Perhaps,
) -> Result<Response, Turned> {
    let offer = invitations::look(&app, &link).await?;
    Ok(page(&Invite::of(&offer, &link, visitor.as_ref())))
}

#[derive(Deserialize)]
struct NewUser {
    name: String,
    #[serde(default)]
    email: String,
    password: Secret,
}

async fn make(
    State(app): State<Arc<App>>,
    Path(link): Path<String>,
    visit: Visit,
    Open(form): Open<NewUser>,
) -> Result<Response, Turned> {
    let who = (form.name.as_str(), form.email.as_str(), &form.password);
    match invitations::join_as_new(&app, &link, who, &visit).await {
        Ok(cookie) => Ok(signed_in(&visit, &cookie, None)),
        Err(problem) => {
            let (status, words) = words_of(problem)?;
            let offer = invitations::look(&app, &link).await?;
            let again = Invite { name: &form.name, email: &form.email, ..Invite::of(&offer, &link, None) };
            Ok(page_to(&Invite { error: Some(words), ..again }, status, &[]))
        }
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn join(
    State(app): State<Arc<App>>,
    Path(link): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Turned> {
    let account = invitations::join(&app, &link, &visitor).await?;
    let words = format!("You are in the account `{account}` now");
    Ok(message("Welcome", &words, Some(("/you", "Your accounts"))))
}
