//! The bodies of the shim's answers: whole, or a stream of events that ends with the call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use mcp::mux::CallKey;
use mcp::sse;

use crate::mailbox::{Letter, Mailbox};
use crate::shared::Shared;

#[derive(Debug)]
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Events(Events),
}

/// What a call gets, as server-sent events.
#[derive(Debug)]
pub(crate) struct Events {
    first: Option<Bytes>,
    /// Absent when the call is over.
    call: Option<CallGuard>,
}

/// A call in flight on behalf of a client. Dropped while the call goes on, it says that the client has left.
#[derive(Debug)]
pub(crate) struct CallGuard {
    shared: Arc<Shared>,
    pub(crate) mailbox: Arc<Mailbox>,
    call: CallKey,
    over: bool,
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

    /// A message, then whatever else the call gets.
    pub(crate) fn events(first: &[u8], call: CallGuard) -> Self {
        Self::Events(Events { first: Some(event(first)), call: Some(call) })
    }
}

impl CallGuard {
    pub(crate) fn new(shared: Arc<Shared>, mailbox: Arc<Mailbox>, call: CallKey) -> Self {
        Self { shared, mailbox, call, over: false }
    }

    /// The call has ended, so leaving means nothing.
    pub(crate) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if !self.over {
            self.shared.left(self.call);
        }
    }
}

impl Events {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(call) = &self.call else { return Poll::Ready(None) };
        let letter = match call.mailbox.poll(cx) {
            Poll::Ready(letter) => letter,
            Poll::Pending => return Poll::Pending,
        };
        let (message, is_last) = match letter {
            Letter::Between(message) => (Some(message), false),
            Letter::Answer { message, .. } => (Some(message), true),
            Letter::Cancelled => (None, true),
        };
        if is_last && let Some(call) = self.call.take() {
            call.over();
        }
        Poll::Ready(message.map(|message| event(&message)))
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
            Self::Events(events) => events.first.is_none() && events.call.is_none(),
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
