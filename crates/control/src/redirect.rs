//! Plain HTTP that sends everybody to the public address. It serves nothing else, so nothing passes in clear but what a caller
//! has sent already.

use std::convert::Infallible;

use bytes::Bytes;
use hop::serve::Listener;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio_util::sync::CancellationToken;

use crate::public::Public;

/// What authorities ask for over plain HTTP (RFC 8555 §8.3); it is never sent elsewhere.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Serves until `stop` is cancelled.
pub async fn redirect(listener: Listener, public: Public, stop: CancellationToken) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&public, request.uri());
        async move { Ok::<_, Infallible>(response) }
    });
    hop::serve::serve(listener, service, stop.cancelled_owned()).await;
}

/// The redirection, for a path that is sent elsewhere at all.
pub(crate) fn elsewhere(public: &Public, uri: &Uri) -> Option<Response<Full<Bytes>>> {
    Some(answer(public, uri)).filter(|answer| answer.status() == StatusCode::PERMANENT_REDIRECT)
}

fn answer(public: &Public, uri: &Uri) -> Response<Full<Bytes>> {
    let (status, text) = match uri.path() {
        // Whoever balances loads asks here too.
        "/healthz" => (StatusCode::OK, "ok\n"),
        path if path.starts_with(CHALLENGES) => (StatusCode::NOT_FOUND, "there is no such challenge\n"),
        // Method and body stay as they are.
        _ => (StatusCode::PERMANENT_REDIRECT, "use the address with https\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::PERMANENT_REDIRECT {
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        // Both are of characters that a header may hold; should one ever not be, the front page is as good.
        let place = HeaderValue::try_from(format!("{}{path}", public.url));
        let place = place.or_else(|_| HeaderValue::try_from(public.url.as_str()));
        headers.extend(place.ok().map(|place| (header::LOCATION, place)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let public = Public::new("https://berth.example.com:8443", None).unwrap();
        let check = |asked: &str, expected: (u16, Option<&str>)| {
            let response = answer(&public, &asked.parse().unwrap());
            let place = response.headers().get(header::LOCATION).map(|place| place.to_str().unwrap());
            assert_eq!((response.status().as_u16(), place), expected, "{asked}");
        };
        check("/", (308, Some("https://berth.example.com:8443/")));
        check("/mcp/a/b?x=1&y=%20", (308, Some("https://berth.example.com:8443/mcp/a/b?x=1&y=%20")));
        // Whatever host a caller names, it is ours that is answered with.
        check("http://elsewhere.example/x", (308, Some("https://berth.example.com:8443/x")));
        check("//elsewhere.example/x", (308, Some("https://berth.example.com:8443//elsewhere.example/x")));
        check("/healthz", (200, None));
        check("/.well-known/acme-challenge/token", (404, None));
    }
}
