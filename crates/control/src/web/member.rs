//! Who is signed in, as a caller in the account that the path names.

use std::collections::HashMap;
use std::sync::Arc;

use api::errors::ErrorCode;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::app::{App, Problem};
use crate::auth::Caller;
use crate::auth::browser::Visitor;
use crate::web::form::Posted;
use crate::web::visitor::Turned;

/// Somebody who is signed in, in one of their accounts: the one of the path's `{account}`.
#[derive(Debug)]
pub(crate) struct Member {
    /// Who it is in the browser.
    pub(crate) visitor: Visitor,
    /// The same for the functions of [`crate::app`].
    pub(crate) caller: Caller,
}

impl FromRequestParts<Arc<App>> for Member {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        of(app, visitor, &account(parts, app).await?)
    }
}

/// A form of a member, with the session's text in its field `csrf`.
#[derive(Debug)]
pub(crate) struct PostedBy<T> {
    /// Who sent it.
    pub(crate) member: Member,
    /// Its further fields.
    pub(crate) form: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for PostedBy<T> {
    type Rejection = Turned;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        let account = account(&mut parts, app).await?;
        let request = Request::from_parts(parts, body);
        let Posted { visitor, form } = Posted::<T>::from_request(request, app).await?;
        Ok(Self { member: of(app, visitor, &account)?, form })
    }
}

async fn account(parts: &mut Parts, app: &Arc<App>) -> Result<String, Problem> {
    let path = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
    let account = path.ok().and_then(|Path(mut all)| all.remove("account"));
    account.ok_or_else(|| Problem::refused(ErrorCode::BadRequest, "the path names no account"))
}

/// An account that one is not in is as one that is not there.
fn of(app: &App, visitor: Visitor, account: &str) -> Result<Member, Turned> {
    match app.directory.session_caller(&visitor, account) {
        Some(caller) => Ok(Member { visitor, caller }),
        None => Err(Problem::refused(ErrorCode::NotFound, format!("you are in no account `{account}`"))
            .hint("the start page has yours")
            .into()),
    }
}
