//! `/oauth/upstream/callback`: where people come back to from the authorization server of a server that runs elsewhere.

use std::sync::Arc;

use api::upstreams::CALLBACK_PATH;
use askama::Template;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use crate::app::App;
use crate::app::upstreams::{self, Back};
use crate::web::form::Open;
use crate::web::visitor::{Perhaps, Turned};
use crate::web::{message, page};

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route(CALLBACK_PATH, get(back).post(finish))
}

#[derive(Template)]
#[template(path = "authorize.html")]
struct Question<'a> {
    back: &'a Back,
    action: &'static str,
    /// What they brought back.
    answer: &'a str,
}

/// They are back. Whoever is signed in and asked for it is asked nothing more.
async fn back(
    State(app): State<Arc<App>>,
    Perhaps(visitor): Perhaps,
    RawQuery(query): RawQuery,
) -> Result<Response, Turned> {
    let (query, user) = (query.unwrap_or_default(), visitor.map(|visitor| visitor.user));
    let back = upstreams::back(&app, &query, user).await?;
    if back.is_theirs || back.is_refusal {
        return done(&upstreams::finish(&app, &query, user).await?);
    }
    Ok(page(&Question { back: &back, action: CALLBACK_PATH, answer: &query }))
}

#[derive(Deserialize)]
struct Answer {
    answer: String,
}

/// They mean it.
async fn finish(
    State(app): State<Arc<App>>,
    Perhaps(visitor): Perhaps,
    Open(Answer { answer }): Open<Answer>,
) -> Result<Response, Turned> {
    done(&upstreams::finish(&app, &answer, visitor.map(|visitor| visitor.user)).await?)
}

#[expect(clippy::unnecessary_wraps, reason = "it ends both handlers")]
fn done(instance: &str) -> Result<Response, Turned> {
    let words = format!("Berth may use the server of `{instance}` now. You can close this page");
    Ok(message("Authorized", &words, None))
}
