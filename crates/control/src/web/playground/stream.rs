//! A call whose page watches it: events with what its server says, and at the end with what came of it, as pieces of the page.

use std::convert::Infallible;

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;

use crate::app::playground::json::Json;
use crate::app::playground::{Call, Next, Running};
use crate::web::playground::Place;
use crate::web::playground::view::{View, Words};

/// nginx collects answers unless it is told not to.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

#[derive(Template)]
#[template(
    source = r#"{% import "play.html" as play %}{% call play::words(one) %}{% endcall %}"#,
    ext = "html"
)]
struct Piece {
    one: Words,
}

#[derive(Template)]
#[template(
    source = r#"{% import "play.html" as play %}{% call play::view(view) %}{% endcall %}"#,
    ext = "html"
)]
struct Whole {
    view: View,
}

enum State {
    Running(Box<(Place, Call, Running)>),
    Over,
}

/// The events. Whoever closes the connection cancels the call.
pub(super) fn answer(place: Place, call: Call, running: Running) -> Response {
    let events = stream::unfold(State::Running(Box::new((place, call, running))), |state| async move {
        let State::Running(mut all) = state else { return None };
        let next = all.2.next().await;
        Some(match next {
            Next::Said(said) => (event("said", &Piece { one: Words::of(&said) }), State::Running(all)),
            Next::End(end) => {
                let (place, call, running) = *all;
                let (asked, past) = place.noted(call, running, end);
                (event("ended", &Whole { view: place.view(asked, past.as_deref()) }), State::Over)
            }
        })
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (UNBUFFERED, "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn event(word: &'static str, piece: &impl Template) -> Result<Bytes, Infallible> {
    let html = piece.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a piece of a page could not be filled in");
        String::new()
    });
    let mut out = Vec::new();
    mcp::sse::encode(Json::object([(word, Json::Text(html))]).compact().as_bytes(), &mut out);
    Ok(out.into())
}
