//! Pages: templates filled in on the server, one stylesheet, one small script that they do without, nothing from elsewhere.
//!
//! A handler takes a [`member::Member`] or a [`member::PostedBy`], calls functions of [`crate::app`] and gives back a [`shell_page`]; what is
//! of no account takes a [`Visitor`](crate::auth::browser::Visitor) and gives back a [`page`].

mod agents;
mod assets;
mod audit;
mod check;
mod clients;
mod confirm;
mod connect;
mod deploy;
mod difference;
mod environments;
pub(crate) mod form;
mod instances;
mod invite;
mod live;
mod log;
mod marketplace;
pub(crate) mod member;
mod notice;
pub(crate) mod oauth;
mod oidc;
mod overview;
mod pages;
mod people;
mod playground;
mod rules;
mod secrets;
mod shell;
pub(crate) mod sign_in;
mod tokens;
mod toolbelts;
mod upstreams;
pub(crate) mod visitor;
mod words;
pub(crate) mod you;

use std::sync::Arc;

use api::errors::ErrorCode;
use askama::Template;
use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::compression::CompressionLayer;

use crate::app::{App, Problem};
pub(crate) use assets::{icons, script, stylesheet};
use pages::Pages;

/// Everything of this module.
pub(crate) fn router() -> Router<Arc<App>> {
    pages()
        .into_parts()
        .0
        .merge(assets::router())
        .merge(oauth::router())
        .merge(invite::router())
        .merge(oidc::router())
        .merge(sign_in::router())
        .merge(upstreams::router())
        .merge(you::router())
        .layer(CompressionLayer::new())
}

/// The pages that are of an account, with their paths.
fn pages() -> Pages {
    [
        overview::pages,
        marketplace::pages,
        deploy::pages,
        instances::pages,
        playground::pages,
        toolbelts::pages,
        agents::pages,
        people::pages,
        tokens::pages,
        clients::pages,
        rules::pages,
        secrets::pages,
        audit::pages,
        check::pages,
        environments::pages,
    ]
    .into_iter()
    .fold(Pages::default(), |pages, more| more(pages))
    .page("/a/{account}/live", get(live::live))
}

/// The paths of the pages of an account.
pub fn paths() -> Vec<&'static str> {
    pages().into_parts().1
}

/// A page with everything that a page must say to browsers. Its forms lead to us alone.
pub(crate) fn page(template: &impl Template) -> Response {
    page_to(template, StatusCode::OK, &[])
}

/// A page in an account's frame: as [`page`], with our script, which may ask us alone.
pub(crate) fn shell_page(template: &impl Template) -> Response {
    shell_page_with(template, StatusCode::OK)
}

/// As [`shell_page`], with a status, such as that of a form that is shown again.
pub(crate) fn shell_page_with(template: &impl Template, status: StatusCode) -> Response {
    shell_page_loading(template, status, "")
}

/// As [`shell_page_with`], for a page that loads more than others: `further` are directives of its policy, each with a semicolon in front.
pub(crate) fn shell_page_loading(template: &impl Template, status: StatusCode, further: &str) -> Response {
    let policy = format!("{COMMON} form-action 'self'; script-src 'self'; connect-src 'self'{further}");
    answer(template, status, &policy)
}

/// What every page may load.
const COMMON: &str =
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none';";

/// As [`page`], with a status, and with forms whose answers may lead to further places: a browser follows no redirection after a form that
/// the policy of the form's page does not name. [`form_target`] makes one of an address.
pub(crate) fn page_to(template: &impl Template, status: StatusCode, targets: &[String]) -> Response {
    let further = targets.iter().fold(String::new(), |all, target| format!("{all} {target}"));
    answer(template, status, &format!("{COMMON} form-action 'self'{further};"))
}

fn answer(template: &impl Template, status: StatusCode, policy: &str) -> Response {
    let body = match template.render() {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a page could not be filled in");
            return (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page could not be made; the log has the reason\n",
            )
                .into_response();
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Nobody else learns an address of ours. Under `no-referrer` browsers would send forms with `Origin: null`, and plain HTTP has
        // nothing else to know our own forms by.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        return response;
    }
    // A page without its policy is none. Targets come from `form_target`, so this is not reached.
    (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n").into_response()
}

/// What the policy of a page must name so that the answer to its form may redirect to `url`: scheme, host and port, or the scheme alone
/// where a policy cannot name the host (CSP Level 3 §2.3.1 has no IPv6 addresses and no hosts of other schemes). `None` for what is
/// no address.
pub(crate) fn form_target(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(&*scheme, "http" | "https") {
        return Some(format!("{scheme}:"));
    }
    let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let is_host = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte))
    };
    if authority.starts_with('[') {
        return Some(format!("{scheme}:"));
    }
    is_host(authority).then(|| format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    words: &'a str,
    hint: Option<&'a str>,
    onward: Option<(&'a str, &'a str)>,
}

/// A page with one sentence, and perhaps a link: its path and its words.
pub(crate) fn message(title: &str, words: &str, onward: Option<(&str, &str)>) -> Response {
    page(&Message { title, words: &notice::sentence(words), hint: None, onward })
}

/// A page that says why not. `retry_after` in seconds.
pub(crate) fn refusal(problem: Problem, retry_after: Option<u64>) -> Response {
    let detail = problem.into_detail();
    let title = match detail.code {
        ErrorCode::Forbidden | ErrorCode::Unauthorized => "That is not allowed",
        ErrorCode::NotFound => "There is no such page",
        ErrorCode::Gone => "This is used up",
        ErrorCode::TooMany => "Too often",
        ErrorCode::Unavailable | ErrorCode::NoSpace => "Not at the moment",
        ErrorCode::Internal | ErrorCode::BadGateway => "Something failed",
        ErrorCode::BadRequest
        | ErrorCode::MethodNotAllowed
        | ErrorCode::Conflict
        | ErrorCode::TooLarge
        | ErrorCode::Invalid => "That cannot be",
    };
    let status = StatusCode::from_u16(detail.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let hint = detail.hint.as_deref().map(notice::sentence);
    let template = Message {
        title,
        words: &notice::sentence(&detail.message),
        hint: hint.as_deref(),
        onward: Some(("/", "Back to the start")),
    };
    let mut response = page_to(&template, status, &[]);
    let wait = retry_after.or((status == StatusCode::SERVICE_UNAVAILABLE).then_some(2));
    if let Some(wait) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward<'a> {
    to: &'a str,
}

/// A page that leads on by itself, where a redirection would not be followed: a browser that sent a form follows none to a place which the
/// form's page did not name, through however many redirections.
pub(crate) fn onward(to: &str) -> Response {
    page(&Onward { to })
}

/// 303: the answer is over there, whatever the request was.
pub(crate) fn see(to: &str) -> Response {
    let place = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    let headers = [(header::LOCATION, place), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::SEE_OTHER, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_forms_may_lead() {
        let check =
            |url: &str, expected: Option<&str>| assert_eq!(form_target(url).as_deref(), expected, "{url}");
        check("https://Client.Example/callback?x=1", Some("https://client.example"));
        check("http://127.0.0.1:33418/callback", Some("http://127.0.0.1:33418"));
        check("http://localhost:1?x", Some("http://localhost:1"));
        check("http://[::1]:33418/callback", Some("http:"));
        check("cursor://anysphere.cursor-retrieval/oauth", Some("cursor:"));
        check("com.example.app:/callback", Some("com.example.app:"));
        for bad in [
            "",
            "/callback",
            "https:/x",
            "https://",
            "https://a;script-src *",
            "https://a 'unsafe-inline'",
            "https://me@a",
            "https://*",
            "a;b:c",
            "1a:b",
            "https://a,b",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn a_message_is_escaped_and_has_its_headers() {
        let response = message("<b>", "a<script>b", Some(("/\"x", "y")));
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.ends_with("form-action 'self';"),
            "{policy}"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        let text = Message { title: "<b>", words: "a<script>b", hint: None, onward: Some(("/\"x", "y")) };
        let text = text.render().unwrap();
        assert!(!text.contains("<script") && !text.contains("<b>") && !text.contains("\"/\"x"), "{text}");
        assert!(text.contains(stylesheet()));
    }
}
