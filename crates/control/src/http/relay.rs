//! `/api/v1/dtma/relay/…`: packages of npm and PyPI for hosts that reach this control plane alone. It is no part of the described API:
//! what is served is the registries' own.

use std::sync::Arc;

use api::dtma::RELAY_PATH;
use api::errors::ErrorCode;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED};
use axum::response::Response;
use axum::routing::get;

use crate::app::relay::{Fetched, base};
use crate::app::{App, Problem};
use crate::http::extract::ByDtma;
use crate::http::refused::Refused;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route(&format!("{RELAY_PATH}/{{registry}}/{{*path}}"), get(fetch))
}

/// One package's file, or what the registry says of it.
async fn fetch(
    State(app): State<Arc<App>>,
    ByDtma(_environment): ByDtma,
    request: Request,
) -> Result<Response, Refused> {
    let base = base(request.headers()).ok_or_else(|| {
        Problem::refused(ErrorCode::BadRequest, "the address of the host's own relay is missing")
            .field(api::dtma::RELAY_BASE)
            .hint("hosts fetch here by `berth dtma --packages from-control`")
    })?;
    // As it was sent: an escaped slash is not a slash.
    let path = request.uri().path().strip_prefix(RELAY_PATH).and_then(|path| path.strip_prefix('/'));
    let place = path.and_then(|path| path.split_once('/')).unwrap_or_default();
    let fetched = app.relay.fetch(request.method().clone(), place, &base, request.headers()).await?;
    let (response, text) = match fetched {
        Fetched::Stream(response) => (response, None),
        Fetched::Text(response, text) => (response, Some(text)),
    };
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE, ETAG, LAST_MODIFIED, CACHE_CONTROL] {
        headers.extend(response.headers().get(&name).map(|value| (name, value.clone())));
    }
    let length = response.headers().get(CONTENT_LENGTH).filter(|_| text.is_none());
    headers.extend(length.map(|length| (CONTENT_LENGTH, length.clone())));
    let status = response.status();
    let body = match text {
        Some(text) => Body::from(text),
        None => Body::from_stream(response.bytes_stream()),
    };
    let mut answer = Response::new(body);
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    Ok(answer)
}
