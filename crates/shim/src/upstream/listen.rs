//! The stream of a legacy session, on which the server says what belongs to no request. Servers need not have one.

use std::sync::Arc;

use bytes::Bytes;
use domain::backoff::Backoff;
use http::{HeaderValue, Method};
use tokio::time::Instant;

use super::Incoming;
use super::body::{self, Events, Resume};
use super::link::{self, Content};
use super::session::Session;
use super::streamable::{LAST_EVENT_ID, RETRY, Streamable};

impl Streamable {
    /// Opens the stream of the session, in place of the one before.
    pub(super) fn listen(self: &Arc<Self>) {
        let Some(session) = self.session() else { return };
        let server = Arc::clone(self);
        let task = tokio::spawn(async move { server.follow(&session).await });
        let before = self.state().listening.replace(task.abort_handle());
        if let Some(before) = before {
            before.abort();
        }
    }

    /// Keeps the stream open for as long as the server has one.
    async fn follow(self: Arc<Self>, session: &Session) {
        let mut resume = Resume::default();
        let mut failures = 0;
        let mut was_open = false;
        loop {
            let begun = Instant::now();
            let mut headers = self.link.for_get();
            session.put(&mut headers);
            if let Some(id) = resume.last_id.as_deref().and_then(|id| HeaderValue::from_str(id).ok()) {
                headers.insert(LAST_EVENT_ID, id);
            }
            let mut is_lost = false;
            let asked = self.link.send(Method::GET, self.link.url().clone(), headers, Bytes::new()).await;
            // A server that is not there now may come back.
            if let Ok(response) = asked {
                match link::fault_of(response.status(), response.headers()) {
                    None if link::content(response.headers()) == Content::Events => {
                        was_open = true;
                        let mut events = Events::new(response.into_body(), resume);
                        // A stream with a message above the limit is left like one that broke.
                        while let Ok(Some(message)) = events.message().await {
                            (self.sink)(Incoming::Message { origin: None, message: message.as_bytes() });
                        }
                        resume = events.resume();
                    }
                    Some(fault) if fault.is_transient() => {}
                    // One that was there is gone with its session; the server may have been started again.
                    Some(_) if was_open => {
                        let (head, body) = response.into_parts();
                        let body = body::whole(body).await.unwrap_or_default();
                        is_lost = session.is_lost(head.status, &body);
                        if !is_lost {
                            return;
                        }
                    }
                    _ => return,
                }
            }
            failures = Backoff::SERVER.failures_after(failures, begun.elapsed());
            tokio::time::sleep(resume.retry.unwrap_or(RETRY).max(Backoff::SERVER.wait(failures))).await;
            if is_lost {
                match self.reopen(session).await {
                    // It has opened another stream in place of this one.
                    Ok(()) => return,
                    Err(fault) if fault.is_transient() => {}
                    Err(fault) => return self.note(&fault.words(self.link.host())),
                }
            }
        }
    }
}
