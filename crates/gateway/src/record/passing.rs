//! A body that passes, watched for what it says.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::shim::{REFUSED_BY_RULE, REFUSED_HEADER};
use hop::pool::PooledBody;
use http::{Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::Pending;

/// The answer of a shim or DTMA, on its way to the client.
pub struct Passing {
    body: PooledBody<Full<Bytes>>,
    pending: Option<Box<Pending>>,
}

impl Passing {
    /// The answer to what `pending` asked; without one nothing is watched.
    pub(crate) fn new(
        mut response: Response<PooledBody<Full<Bytes>>>,
        mut pending: Option<Box<Pending>>,
    ) -> Response<Self> {
        // Between gateway and shim alone.
        let refused = response.headers_mut().remove(REFUSED_HEADER);
        if let Some(pending) = &mut pending {
            let kind = response.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
            let is_stream = kind.is_some_and(|kind| kind.starts_with(b"text/event-stream"));
            pending.begin_answer(
                response.status(),
                is_stream,
                refused.is_some_and(|why| why == REFUSED_BY_RULE),
            );
        }
        response.map(|body| {
            let mut passing = Self { body, pending };
            if passing.body.is_end_stream() {
                passing.complete();
            }
            passing
        })
    }

    fn complete(&mut self) {
        if let Some(mut pending) = self.pending.take() {
            pending.complete();
        }
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = <PooledBody<Full<Bytes>> as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(pending), Some(data)) = (&mut self.pending, frame.data_ref()) {
                    pending.see(data);
                }
                // Who sends it on asks no more when this was the last.
                if self.body.is_end_stream() {
                    self.complete();
                }
            }
            Poll::Ready(None) => self.complete(),
            Poll::Ready(Some(Err(_))) => {
                if let Some(mut pending) = self.pending.take() {
                    pending.broken();
                }
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl std::fmt::Debug for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Passing").finish_non_exhaustive()
    }
}
