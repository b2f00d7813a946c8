//! `/a/{account}/live`: tells a page that something of its account has changed. What it is now, the page reads again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use api::events::Event;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{StreamExt as _, stream};

use crate::app::App;
use crate::events::next_of;
use crate::web::member::Member;

/// A comment so often keeps proxies from closing a quiet stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// nginx collects answers unless it is told not to.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");
/// A page opens another stream after so long, and is asked anew who it is: a session that has ended hears no more after that.
const LONGEST: Duration = Duration::from_mins(5);

pub(crate) async fn live(State(app): State<Arc<App>>, member: Member) -> impl IntoResponse {
    let receiver = app.events.subscribe();
    let account = member.caller.account;
    let stop = app.stop.clone();
    let changes = stream::unfold(receiver, move |mut receiver| async move {
        next_of(&mut receiver, account).await.map(|event| (Ok::<_, Infallible>(render(&event)), receiver))
    });
    let end = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    };
    let opened = stream::once(async { Ok(sse::Event::default().event("open").data("1")) });
    let body =
        Sse::new(opened.chain(changes.take_until(end))).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    ([UNBUFFERED, (header::CACHE_CONTROL, "no-cache")], body)
}

/// What has changed, in one word and its name.
fn render(event: &Event) -> sse::Event {
    let (kind, name) = match event {
        Event::Instance(instance) => ("instance", instance.name.as_str()),
        Event::InstanceRemoved { name } => ("instance", name.as_str()),
        Event::Environment(environment) => ("environment", environment.name.as_str()),
        Event::EnvironmentRemoved { name } => ("environment", name.as_str()),
        Event::Toolbelt { name } => ("toolbelt", name.as_str()),
        Event::Agent { name } => ("agent", name.as_str()),
        Event::Lagged => ("all", ""),
    };
    sse::Event::default().event("change").data(format!("{kind} {name}"))
}
