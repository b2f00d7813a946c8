//! `/sign-in/oidc`: to the identity provider and back.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::app::App;
use crate::app::oidc::{self, Begun, CALLBACK, Ended, Returned};
use crate::auth::browser::{Visit, local_path};
use crate::web::form::Posted;
use crate::web::sign_in::{Next, signed_in};
use crate::web::visitor::{Perhaps, Turned};
use crate::web::{onward, see};

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/sign-in/oidc", get(begin))
        .route(CALLBACK, get(end))
        .route("/you/oidc", post(connect))
}

async fn begin(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Result<Query<Next>, QueryRejection>,
) -> Result<Response, Turned> {
    let next = query.map(|Query(query)| query.next).unwrap_or_default();
    let begun = oidc::begin(&app, next.as_deref().and_then(local_path), None).await?;
    Ok(away(&visit, &begun, see(&begun.url)))
}

#[derive(Deserialize)]
struct Nothing {}

/// Of who is signed in: what the provider vouches for is them, too. It takes a form, since a link could be anybody's.
async fn connect(
    State(app): State<Arc<App>>,
    visit: Visit,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Turned> {
    let begun = oidc::begin(&app, None, Some(visitor.user)).await?;
    Ok(away(&visit, &begun, onward(&begun.url)))
}

fn away(visit: &Visit, begun: &Begun, mut response: Response) -> Response {
    response.headers_mut().append(header::SET_COOKIE, visit.set_away(&begun.away));
    response
}

async fn end(
    State(app): State<Arc<App>>,
    visit: Visit,
    Perhaps(visitor): Perhaps,
    query: Result<Query<Returned>, QueryRejection>,
) -> Response {
    let returned = query.map(|Query(returned)| returned).unwrap_or_default();
    let ended = oidc::end(&app, returned, visit.away.as_ref(), visitor.as_ref(), &visit).await;
    let mut response = match ended {
        Ok(Ended::SignedIn(cookie, next)) => signed_in(&visit, &cookie, next.as_deref().and_then(local_path)),
        Ok(Ended::Linked) => see("/you"),
        Err(problem) => super::refusal(problem, None),
    };
    // Good or not, that was it.
    response.headers_mut().append(header::SET_COOKIE, visit.clear_away());
    response
}
