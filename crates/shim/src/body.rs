//! The bodies of the shim's answers: whole, or a stream of events that ends with the call or when its client leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use mcp::mux::{CallKey, StreamKey};
use mcp::session::SessionId;
use mcp::sse;
use tokio::time::{Instant, Sleep};

use crate::mailbox::{Letter, Mailbox};
use crate::replay::Attached;
use crate::shared::Shared;
use crate::worker::Worker;

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
    source: Source,
    beat: Pin<Box<Sleep>>,
}

/// Where events come from.
#[derive(Debug)]
enum Source {
    /// It is over.
    Over,
    /// A stream that ends with an answer.
    Call(Guard),
    /// The one stream of a session of HTTP+SSE, on which all its answers come.
    Session(Guard),
    /// A stream that can be resumed.
    Replay(Attached),
}

/// A call or a stream on behalf of a client. Dropped while it goes on, it says that the client has left.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) mailbox: Arc<Mailbox>,
    held: Held,
    over: bool,
}

/// What a client holds open.
#[derive(Debug)]
pub(crate) enum Held {
    Call(Arc<Worker>, CallKey),
    Stream(Arc<Worker>, StreamKey),
    /// The stream of a session that ends with it.
    Session(Arc<Shared>, SessionId),
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

    /// A first event, then whatever else comes.
    pub(crate) fn events(first: Bytes, held: Guard) -> Self {
        let source = match held.held {
            Held::Session(..) => Source::Session(held),
            Held::Call(..) | Held::Stream(..) => Source::Call(held),
        };
        Self::stream(Some(first), source)
    }

    /// A stream that can be resumed.
    pub(crate) fn resumable(attached: Attached) -> Self {
        Self::stream(None, Source::Replay(attached))
    }

    fn stream(first: Option<Bytes>, source: Source) -> Self {
        Self::Events(Events { first, source, beat: Box::pin(tokio::time::sleep(BEAT)) })
    }
}

impl Guard {
    pub(crate) fn new(mailbox: Arc<Mailbox>, held: Held) -> Self {
        Self { mailbox, held, over: false }
    }

    /// It has ended, so leaving means nothing.
    pub(crate) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match &self.held {
            _ if self.over => {}
            Held::Call(worker, call) => worker.left(*call),
            Held::Stream(worker, stream) => worker.closed(*stream),
            Held::Session(shared, session) => shared.left_old(*session),
        }
    }
}

impl Events {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let (held, ends_with_answer) = match &mut self.source {
            Source::Over => return Poll::Ready(None),
            Source::Call(held) => (held, true),
            Source::Session(held) => (held, false),
            Source::Replay(attached) => {
                let next = attached.poll(cx);
                return if next.is_pending() { self.beat(cx).map(Some) } else { next };
            }
        };
        let letter = match held.mailbox.poll(cx) {
            Poll::Ready(letter) => letter,
            Poll::Pending => return self.beat(cx).map(Some),
        };
        let (message, is_last) = match letter {
            Letter::Between(message) => (Some(message), false),
            Letter::Answer { message, .. } => (Some(message), ends_with_answer),
            Letter::End => (None, true),
        };
        if is_last && let Source::Call(held) = std::mem::replace(&mut self.source, Source::Over) {
            held.over();
        }
        Poll::Ready(message.map(|message| event(&message)))
    }

    fn beat(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.beat.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.beat.as_mut().reset(Instant::now() + BEAT);
        // The frame makes hyper poll again, which registers the new time.
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
            Self::Events(events) => events.first.is_none() && matches!(events.source, Source::Over),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// A message as an event.
pub(crate) fn event(message: &[u8]) -> Bytes {
    let mut event = Vec::new();
    sse::encode(message, &mut event);
    event.into()
}
