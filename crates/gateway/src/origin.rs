//! Which web pages may call: the `Origin` check that MCP demands against DNS rebinding, and CORS for those that may.

use std::collections::HashSet;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};

use crate::Body;

/// The origins whose pages may call. Programs that are no browser send no `Origin` and are not concerned.
#[derive(Debug)]
pub(crate) struct Origins(HashSet<String>);

impl Origins {
    pub(crate) fn new<'a>(origins: impl Iterator<Item = &'a String>) -> Self {
        Self(origins.map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect())
    }

    /// The request's origin when it names one that may call; otherwise what it names.
    ///
    /// The `Host` header proves nothing here: a rebound name sends its own in both.
    pub(crate) fn check<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, String> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
        // Browsers send an origin in lower case; anything else is compared as it is and refused.
        match origin.to_str() {
            Ok(text) if self.0.contains(text) => Ok(Some(origin)),
            _ => Err(String::from_utf8_lossy(origin.as_bytes()).chars().take(200).collect()),
        }
    }
}

/// The answer to a preflight of an origin that may call (Fetch standard, CORS-preflight fetch).
pub(crate) fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::new())));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
    // Parameters of tools travel as `Mcp-Param-…` headers, so no fixed list would do. Nothing here is sent by a browser
    // of its own accord: without the token in `Authorization` the call itself is refused.
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets the page of `origin` read a response and the headers that a client needs.
pub(crate) fn expose(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Mcp-Session-Id, WWW-Authenticate"),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
