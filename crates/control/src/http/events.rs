//! `/api/v1/events`: the account's changes as Server-Sent Events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::errors::ErrorBody;
use api::events::Event;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{StreamExt as _, stream};

use crate::app::App;
use crate::events::next_of;
use crate::http::extract::By;

/// A comment so often keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// nginx collects answers unless it is told not to.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Every change of the account's instances and environments from now on. After `lagged`, read the lists again.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", security(("token" = [])),
    responses(
        (status = 200, body = Event, content_type = "text/event-stream"), (status = 401, body = ErrorBody)
    )
)]
pub(crate) async fn events(State(app): State<Arc<App>>, By(caller): By) -> impl IntoResponse {
    let receiver = app.events.subscribe();
    let account = caller.account;
    let stop = app.stop.clone();
    let changes = stream::unfold(receiver, move |mut receiver| async move {
        next_of(&mut receiver, account).await.map(|event| (Ok::<_, Infallible>(render(&event)), receiver))
    });
    let changes = changes.take_until(async move { stop.cancelled().await });
    let opened = stream::once(async { Ok(sse::Event::default().comment("connected")) });
    let body = Sse::new(opened.chain(changes)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    ([UNBUFFERED, (header::CACHE_CONTROL, "no-cache")], body)
}

fn render(event: &Event) -> sse::Event {
    let value = serde_json::to_value(event).unwrap_or_default();
    let name = value["event"].as_str().unwrap_or("lagged");
    sse::Event::default().event(name).data(value["data"].to_string())
}
