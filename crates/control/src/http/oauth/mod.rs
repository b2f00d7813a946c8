//! The authorization server's endpoints. Their shapes are the standards', and so are their errors (RFC 6749 §5.2).

mod answer;
mod discovery;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use std::convert::Infallible;

use crate::app::App;
use crate::app::oauth::discovery as places;
use crate::proxies::Seen;

/// The largest body of a request to one of them, in bytes.
const MAX_BODY: usize = 64 << 10;

/// What programs ask, pages of any origin among them: nothing here goes by a cookie, so an origin proves and costs nothing.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(oauth::metadata::AUTHORIZATION_SERVER, get(discovery::authorization_server))
        .route(oauth::metadata::OPENID_CONFIGURATION, get(discovery::authorization_server))
        .route(oauth::metadata::PROTECTED_RESOURCE, get(discovery::api))
        .route("/.well-known/oauth-protected-resource/{*path}", get(discovery::server))
        .route(places::KEYS, get(discovery::keys))
        .route(places::TOKEN, post(tokens::token))
        .route(places::REGISTER, post(tokens::register))
        .route(places::REVOKE, post(tokens::revoke))
        .route(places::INTROSPECT, post(tokens::introspect))
        .route(places::DEVICE, post(tokens::device))
        .layer(axum::middleware::from_fn(for_any_origin))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn for_any_origin(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, mcp-protocol-version"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        response
    } else {
        next.run(request).await
    };
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The address that a request came by: one of ours, whatever it says.
pub(crate) struct Base(pub(crate) String);

impl FromRequestParts<Arc<App>> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        let seen = parts.extensions.get::<Seen>().and_then(|seen| seen.host.as_deref());
        let host = seen.or_else(|| parts.headers.get(header::HOST)?.to_str().ok());
        Ok(Self(app.bases.of_host(host).to_owned()))
    }
}
