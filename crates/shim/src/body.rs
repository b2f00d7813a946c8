//! The bodies of the shim's answers: whole, or a stream of events that ends with the call or when its client leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use mcp::mux::{CallKey, StreamKey};
use mcp::sse;
use tokio::time::{Instant, Sleep};

use crate::mailbox::{Letter, Mailbox};
use crate::shared::Shared;

/// A stream that has said nothing for so long says that it is there (2026-07-28, Streamable HTTP: comments keep the
/// connection alive).
const BEAT: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Events(Events),
}

/// What a call or a listener gets, as server-sent events.
#[derive(Debug)]
pub(crate) struct Events {
    first: Option<Bytes>,
    /// Absent when it is over.
    held: Option<Guard>,
    beat: Pin<Box<Sleep>>,
}

/// A call or a stream on behalf of a client. Dropped while it goes on, it says that the client has left.
#[derive(Debug)]
pub(crate) struct Guard {
    shared: Arc<Shared>,
    pub(crate) mailbox: Arc<Mailbox>,
    held: Held,
    over: bool,
}

/// What a client holds open.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held {
    Call(CallKey),
    Stream(StreamKey),
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }

    /// One message as the only event.
    pub(crate) fn one_event(message: &[u8]) -> Self {
        Self::Whole(Some(event(message)))
    }

    /// A message, if there is one already, then whatever else comes.
    pub(crate) fn events(first: Option<&[u8]>, held: Guard) -> Self {
        Self::Events(Events {
            first: first.map(event),
            held: Some(held),
            beat: Box::pin(tokio::time::sleep(BEAT)),
        })
    }
}

impl Guard {
    pub(crate) fn new(shared: Arc<Shared>, mailbox: Arc<Mailbox>, held: Held) -> Self {
        Self { shared, mailbox, held, over: false }
    }

    /// It has ended, so leaving means nothing.
    pub(crate) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.held {
            _ if self.over => {}
            Held::Call(call) => self.shared.left(call),
            Held::Stream(stream) => self.shared.closed(stream),
        }
    }
}

impl Events {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(held) = &self.held else { return Poll::Ready(None) };
        let letter = match held.mailbox.poll(cx) {
            Poll::Ready(letter) => letter,
            Poll::Pending => return self.beat(cx).map(Some),
        };
        let (message, is_last) = match letter {
            Letter::Between(message) => (Some(message), false),
            Letter::Answer { message, .. } => (Some(message), true),
            Letter::End => (None, true),
        };
        if is_last && let Some(held) = self.held.take() {
            held.over();
        }
        Poll::Ready(message.map(|message| event(&message)))
    }

    fn beat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.beat.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.beat.as_mut().reset(Instant::now() + BEAT);
        // The new time must be registered before this task sleeps; the frame makes hyper poll again.
        Poll::Ready(Bytes::from_static(b":\n\n"))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Events(events) => events.next(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Events(events) => events.first.is_none() && events.held.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

fn event(message: &[u8]) -> Bytes {
    let mut event = Vec::new();
    sse::encode(message, &mut event);
    event.into()
}
