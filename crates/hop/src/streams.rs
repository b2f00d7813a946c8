//! One HTTP/2 connection as its client sees it, on `h2` itself: what a general client keeps ready for each connection is a third of
//! what an idle tunnel weighs, and of tunnels there are thousands.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{Ping, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, Version};
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::forward;
use crate::pool::Broken;

/// Bytes of one stream's body that may be under way unread. The protocol's own default of 64 KiB costs a round trip for
/// each 64 KiB of a large message.
pub(crate) const WINDOW: u32 = 1 << 20;
/// The same of all streams together: a limit that a few readers who stand still would reach is one that stops all others.
pub(crate) const ALL_WINDOWS: u32 = 1 << 30;

/// What drives a connection, until it ends. On the heap, because whoever drives it would have room for it several times over: while
/// it is being made, where it is handed on, and where it runs.
pub type Lifetime = Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>>;

/// Opens a connection on a stream. The future that is given must be polled; it ends when the connection does, also when nothing came for
/// `quiet` and for as long again after a sign of life was asked for.
pub(crate) async fn open<S>(stream: S, quiet: Duration) -> io::Result<(SendRequest<Bytes>, Heard, Lifetime)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let heard = Heard { since: Instant::now(), last: Arc::default() };
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .enable_push(false)
        .handshake(Listened { stream, heard: heard.clone() })
        .await
        .map_err(io::Error::other)?;
    Ok((sender, heard.clone(), Box::pin(keep(connection, heard, quiet))))
}

/// Sends a request with its whole body and gives the answer as soon as its head is here. When that future, or the answer's
/// body, is dropped before its end, the stream is reset.
pub(crate) async fn exchange(
    sender: &mut SendRequest<Bytes>,
    request: Request<Bytes>,
) -> Result<Response<RecvStream>, h2::Error> {
    let (mut parts, body) = request.into_parts();
    forward::strip(&mut parts.headers);
    if !body.is_empty() {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(body.len()));
    }
    let (answer, mut stream) = sender.send_request(Request::from_parts(parts, ()), body.is_empty())?;
    if !body.is_empty() {
        stream.send_data(body, true)?;
    }
    let mut answer = answer.await?;
    *answer.version_mut() = Version::HTTP_11;
    Ok(answer)
}

/// The next piece of an answer's body, whose room the other side may use again at once.
pub(crate) fn poll_frame(
    stream: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
    if let Some(data) = ready!(stream.poll_data(cx)) {
        let data = data.and_then(|data| {
            stream.flow_control().release_capacity(data.len())?;
            Ok(Frame::data(data))
        });
        return Poll::Ready(Some(data));
    }
    Poll::Ready(ready!(stream.poll_trailers(cx)).transpose().map(|trailers| trailers.map(Frame::trailers)))
}

async fn keep<S>(
    mut connection: Connection<Listened<S>, Bytes>,
    heard: Heard,
    quiet: Duration,
) -> Result<(), Broken>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(mut pings) = connection.ping_pong() else {
        return Ok(connection.await?);
    };
    let silence = async {
        let mut is_asked = false;
        loop {
            tokio::time::sleep_until(heard.last() + quiet).await;
            if Instant::now() < heard.last() + quiet {
                continue;
            }
            if !is_asked {
                pings.send_ping(Ping::opaque())?;
                is_asked = true;
            }
            match tokio::time::timeout(quiet, poll_fn(|cx| pings.poll_pong(cx))).await {
                Ok(answered) => {
                    answered?;
                    is_asked = false;
                }
                // Something else came: its answer is behind that.
                Err(_) if Instant::now() < heard.last() + quiet => {}
                Err(_) => return Err(Broken::Silent),
            }
        }
    };
    tokio::select! {
        biased;
        ended = connection => Ok(ended?),
        silent = silence => silent,
    }
}

/// When something last came.
#[derive(Clone)]
pub(crate) struct Heard {
    since: Instant,
    /// In milliseconds after `since`.
    last: Arc<AtomicU64>,
}

impl Heard {
    /// When that was.
    pub(crate) fn last(&self) -> Instant {
        self.since + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn note(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

/// A stream that notes when something comes.
struct Listened<S> {
    stream: S,
    heard: Heard,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if read.is_ready() {
            self.heard.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
