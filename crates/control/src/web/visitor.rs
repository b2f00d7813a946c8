//! Who is signed in, as handlers take it out of a request; and where whoever is not is sent.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::app::{App, Problem, sessions};
use crate::auth::browser::{Visit, Visitor, local_path};

/// Why a page is not shown.
#[derive(Debug)]
pub(crate) enum Turned {
    /// Nobody is signed in: to the sign-in, and from there to this path.
    SignIn(Option<String>),
    /// Something else.
    Refused(Problem),
}

impl From<Problem> for Turned {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Self::SignIn(None) => super::see("/sign-in"),
            Self::SignIn(Some(next)) => super::see(&format!("/sign-in?next={}", escaped(&next))),
            Self::Refused(problem) => super::refusal(problem, None),
        }
    }
}

/// A text as the value of a query.
pub(crate) fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        let visit = app.browsers.visit(parts);
        if let Some(visitor) = sessions::visitor(app, &visit).await? {
            return Ok(visitor);
        }
        // What a form would have changed is not changed by coming back to its address.
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Err(Turned::SignIn(local_path(path).filter(|_| is_read).map(str::to_owned)))
    }
}

/// Who is signed in, if anybody.
pub(crate) struct Perhaps(pub(crate) Option<Visitor>);

impl FromRequestParts<Arc<App>> for Perhaps {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Turned> {
        Ok(Self(sessions::visitor(app, &app.browsers.visit(parts)).await?))
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Self::Rejection> {
        Ok(app.browsers.visit(parts))
    }
}
