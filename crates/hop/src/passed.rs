//! What is left of a request's body when it is answered before all of it has come.
//!
//! Whoever is refused by a look at the head alone may not have sent the body yet. A connection whose body nobody reads is closed, and
//! with it goes the next request on it, such as where to sign in, or even the answer: many clients never read while they write. So
//! the rest is read before the answer is written, where it is little and comes soon.
//!
//! Who sends `Expect: 100-continue` waits for a word before the body (RFC 9110, section 10.1.1). To read it would be that word, so they get
//! the answer at once, and send nothing.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

/// So much of what nobody wants is read, and thrown away.
const MOST: usize = 4 << 20;
/// For at most so long.
const LONGEST: Duration = Duration::from_secs(2);

/// Reads on over a body that nobody wants and nobody has begun to read, of a request with these headers.
pub async fn over<B>(headers: &HeaderMap, body: B)
where
    B: Body<Data = Bytes>,
{
    if !waits(headers) {
        read(body).await;
    }
}

/// Whether the body comes only when it is asked for.
fn waits(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

async fn read<B>(body: B)
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let read = async {
        let mut left = MOST;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            left = less;
        }
    };
    // Both ends are the same to the caller: the answer is written either way.
    let _ = tokio::time::timeout(LONGEST, read).await;
}

/// The body of a request with these headers to hand on, and what comes back of it when it is dropped before its end.
pub fn handed<B>(headers: &HeaderMap, body: B) -> (Handed<B>, Rest<B>)
where
    B: Body<Data = Bytes> + Unpin,
{
    let (back, rest) = oneshot::channel();
    (Handed { body: Some(body), back: Some(back), waits: waits(headers) }, Rest(rest))
}

/// See [`handed`].
#[derive(Debug)]
pub struct Handed<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Absent at its end.
    body: Option<B>,
    back: Option<oneshot::Sender<B>>,
    /// Whether its sender has not been asked for it yet.
    waits: bool,
}

/// See [`handed`].
#[derive(Debug)]
pub struct Rest<B>(oneshot::Receiver<B>);

impl<B> Rest<B>
where
    B: Body<Data = Bytes>,
{
    /// Reads on over what came back. What is being read still is left alone.
    pub async fn pass_over(mut self) {
        if let Ok(body) = self.0.try_recv() {
            read(body).await;
        }
    }
}

impl<B> Body for Handed<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.waits = false;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B> Drop for Handed<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !self.waits && !body.is_end_stream());
        if let (Some(body), Some(back)) = (left, self.back.take()) {
            // Nobody may wait for it.
            let _ = back.send(body);
        }
    }
}
