//! Forms of pages: read only when a page of ours sent them.

use std::sync::Arc;

use api::errors::ErrorCode;
use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::app::{App, Problem};
use crate::auth::browser::{Visitor, is_csrf};
use crate::web::visitor::Turned;

/// The largest form, in bytes.
const MAX: usize = 64 << 10;
/// The largest of somebody who is signed in: they may type what a tool is called with.
const MAX_POSTED: usize = 1 << 20;
const FORM: &str = "application/x-www-form-urlencoded";

/// A form of somebody who is signed in, with the session's text in its field `csrf`.
pub(crate) struct Posted<T> {
    /// Who sent it.
    pub(crate) visitor: Visitor,
    /// Its further fields.
    pub(crate) form: T,
}

/// A form of whoever it is, such as that of the sign-in. It is a page of ours that sent it, so no other one signs anybody in.
pub(crate) struct Open<T>(pub(crate) T);

#[derive(Deserialize)]
struct Csrf {
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Posted<T> {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        require_own_page(app, &parts.headers)?;
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let body = read(&parts.headers, body, MAX_POSTED).await?;
        let given: Csrf = parse(&body)?;
        let cookie = app.browsers.visit(&parts).cookie;
        if !cookie.is_some_and(|cookie| is_csrf(&cookie, &given.csrf)) {
            return Err(stale().into());
        }
        Ok(Self { visitor, form: parse(&body)? })
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Open<T> {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Turned> {
        let (parts, body) = request.into_parts();
        require_own_page(app, &parts.headers)?;
        let body = read(&parts.headers, body, MAX).await?;
        Ok(Self(parse(&body)?))
    }
}

fn require_own_page(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    if app.browsers.is_own_page(headers) {
        return Ok(());
    }
    let message = "this form was not sent by a page of this Berth at its own address";
    Err(Problem::refused(ErrorCode::Forbidden, message).hint(format!(
        "open {}; when Berth is reached at another address, its operator names that with `--public-url`",
        app.public().url()
    )))
}

fn stale() -> Problem {
    Problem::refused(ErrorCode::Forbidden, "this form is not of your present session")
        .hint("go back, load the page anew and try again")
}

async fn read(headers: &HeaderMap, body: axum::body::Body, max: usize) -> Result<bytes::Bytes, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
        return Err(Problem::refused(ErrorCode::BadRequest, format!("a form is sent as `{FORM}`")));
    }
    let too_large = || Problem::refused(ErrorCode::TooLarge, format!("a form has at most {} KiB", max >> 10));
    to_bytes(body, max).await.map_err(|_| too_large())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // The parser's own words name fields and no values, but for numbers; a form of ours never meets them.
    serde_urlencoded::from_bytes(body)
        .map_err(|_| Problem::refused(ErrorCode::BadRequest, "the form lacks a field, or has one twice"))
}
