//! `/api/v1/instances/{name}/authorization`, `/api/v1/dtma/upstream-token`, and what browsers and authorization servers see:
//! `/oauth/upstream/callback` and `/oauth/client.json`.

use std::sync::Arc;

use api::errors::ErrorBody;
use api::upstreams::{
    Authorization, AuthorizationStarted, AuthorizeRequest, CALLBACK_PATH, CLIENT_PATH, TokenOutcome,
    UpstreamTokenRequest,
};
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use oauth::registration::ClientMetadata;

use crate::app::upstreams::Back;
use crate::app::{App, Problem, upstreams};
use crate::http::extract::{Body, By, ByDtma};
use crate::http::refused::Refused;

/// Nobody on the way keeps an answer with a secret in it.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
/// A page whose address holds a code: nobody keeps it, frames it, or hears of it.
const PAGE: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
];

/// How the authorization of an instance whose server runs elsewhere stands.
#[utoipa::path(
    get, path = "/api/v1/instances/{name}/authorization", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 200, body = Authorization), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<Json<Authorization>, Refused> {
    Ok(Json(upstreams::show(&app, &caller, &name).await?))
}

/// Finds out where a person authorizes Berth at the server of an instance, for an admin. They open the address in a browser; what comes
/// of it is kept for all callers of the instance.
#[utoipa::path(
    post, path = "/api/v1/instances/{name}/authorization", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")), request_body = AuthorizeRequest,
    responses(
        (status = 200, body = AuthorizationStarted), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, body = ErrorBody), (status = 502, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn authorize(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
    Body(request): Body<AuthorizeRequest>,
) -> Result<([(HeaderName, &'static str); 1], Json<AuthorizationStarted>), Refused> {
    Ok((NO_STORE, Json(upstreams::authorize(&app, &caller, &name, &request).await?)))
}

/// Gives up what opens the server of an instance, for an admin.
#[utoipa::path(
    delete, path = "/api/v1/instances/{name}/authorization", tag = "instances", security(("token" = [])),
    params(("name" = String, Path, description = "The instance's name")),
    responses(
        (status = 204), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody)
    )
)]
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    By(caller): By,
    Path(name): Path<String>,
) -> Result<StatusCode, Refused> {
    upstreams::forget(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token for the server of an instance of this environment, which asked for one; or why there is none.
#[utoipa::path(
    post, path = "/api/v1/dtma/upstream-token", tag = "dtma", security(("dtma" = [])), request_body = UpstreamTokenRequest,
    responses(
        (status = 200, body = TokenOutcome), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody), (status = 503, body = ErrorBody)
    )
)]
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    ByDtma(environment): ByDtma,
    Body(request): Body<UpstreamTokenRequest>,
) -> Result<([(HeaderName, &'static str); 1], Json<TokenOutcome>), Refused> {
    Ok((NO_STORE, Json(upstreams::token(&app, &environment, &request).await?)))
}

/// What is no part of the JSON API.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route(CALLBACK_PATH, get(back).post(finish)).route(CLIENT_PATH, get(document))
}

async fn document(State(app): State<Arc<App>>) -> Result<Json<ClientMetadata>, Refused> {
    Ok(Json(upstreams::document(&app)?))
}

/// A person comes back from an authorization server.
async fn back(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match upstreams::back(&app, &query).await {
        Ok(Back { is_refusal: true, .. }) => done(upstreams::finish(&app, &query).await),
        Ok(back) => (PAGE, Html(question(&back, &query))).into_response(),
        Err(problem) => failed(problem),
    }
}

/// They mean it. The page sends the answer as the field `answer` of a form.
async fn finish(State(app): State<Arc<App>>, form: Bytes) -> Response {
    let answer = form_urlencoded::parse(&form).find(|(name, _)| name == "answer").map(|(_, value)| value);
    done(upstreams::finish(&app, &answer.unwrap_or_default()).await)
}

fn done(outcome: Result<String, Problem>) -> Response {
    match outcome {
        Ok(name) => {
            let text = format!(
                "<p>Berth may use the server of <b>{}</b> now. You can close this page.</p>",
                escaped(&name)
            );
            (PAGE, Html(page("Authorized", &text))).into_response()
        }
        Err(problem) => failed(problem),
    }
}

fn failed(problem: Problem) -> Response {
    let detail = problem.into_detail();
    let status = StatusCode::from_u16(detail.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let hint = detail.hint.map(|hint| format!("<p>{}</p>", escaped(&hint))).unwrap_or_default();
    let text = format!("<p>{}</p>{hint}", escaped(&detail.message));
    (status, PAGE, Html(page("Not authorized", &text))).into_response()
}

fn question(back: &Back, query: &str) -> String {
    let Back { instance, account, issuer, user_name, .. } = back;
    let [instance, account, issuer, user, query] =
        [instance.as_str(), account, issuer, user_name, query].map(escaped);
    let text = format!(
        "<p>Everybody who may call <b>{instance}</b> in the account <b>{account}</b> will use its server as you, with what you \
         just agreed to at <b>{issuer}</b>.</p><p><b>{user}</b> asked for this. If that is not you, close this page.</p>\
         <form method=post action=\"{CALLBACK_PATH}\"><input type=hidden name=answer value=\"{query}\">\
         <button>Authorize {instance}</button></form>"
    );
    page("Authorize", &text)
}

fn page(title: &str, text: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title} · Berth</title><h1>{title}</h1>{text}</html>"
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
