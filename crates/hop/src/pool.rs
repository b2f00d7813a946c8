//! Connections, of HTTP/1.1 a list per address, of HTTP/2 ([`crate::multiplexed`]) one.
//!
//! A connection is lent to one exchange at a time. It comes back when the answer's body has been read to its end, and
//! is closed when the body is dropped before: that is how a caller who leaves is noticed by the next party.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::address::{self, Address};
use crate::multiplexed::Multiplexed;
use crate::streams;
pub use crate::streams::Lifetime;

/// Idle connections kept for one address; those above are closed.
const MAX_IDLE: usize = 256;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// Nobody listens there; nothing was sent.
    #[error("{address} cannot be reached")]
    Connect {
        /// Where.
        address: Address,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The connection ended before an answer came; the request may have been acted upon.
    #[error("{address} ended before it answered")]
    Lost {
        /// Where.
        address: Address,
        /// What HTTP said.
        #[source]
        source: Broken,
    },
}

/// How a connection, or one exchange on it, broke off.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// On HTTP/1.1.
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    /// On HTTP/2.
    #[error(transparent)]
    Http2(#[from] h2::Error),
    /// Nothing came, nor an answer to the question whether anybody is there.
    #[error("the other side gives no sign of life")]
    Silent,
}

/// Connections to any number of addresses. Cloning is cheap and shares them.
pub struct Pool<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    /// A call looks its address up once, and gives its connection back without asking again.
    places: Mutex<HashMap<Address, Arc<Place<B>>>>,
}

/// The connections to one address.
struct Place<B> {
    /// Those of HTTP/1.1 that nobody uses.
    idle: Mutex<Vec<SendRequest<B>>>,
    /// The one of HTTP/2.
    multiplexed: Multiplexed,
}

/// An answer's body. Read to its end it gives the connection back; dropped before, it closes it.
pub struct PooledBody<B> {
    answer: Answer<B>,
}

enum Answer<B> {
    Http1 { incoming: Incoming, lease: Option<Lease<B>> },
    Http2(RecvStream),
}

struct Lease<B> {
    sender: SendRequest<B>,
    place: Arc<Place<B>>,
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// An empty pool.
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared { places: Mutex::new(HashMap::new()) }) }
    }

    /// Sends a request whose URI is a path and gives the answer as soon as its head is here. A pooled connection that
    /// had ended unnoticed is replaced by a new one; the request is sent twice in no case.
    ///
    /// # Errors
    /// [`HopError::Connect`] when nothing was sent, [`HopError::Lost`] when it is not known whether it was acted upon.
    pub async fn send(
        &self,
        address: &Address,
        mut request: Request<B>,
    ) -> Result<Response<PooledBody<B>>, HopError> {
        if !request.headers().contains_key(http::header::HOST) {
            request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
        }
        let place = self.shared.place(address);
        if let Address::Http2(_) | Address::Tunnel(_) = address {
            let response = place.multiplexed.send(address, request).await?;
            return Ok(response.map(|stream| PooledBody { answer: Answer::Http2(stream) }));
        }
        while let Some(mut sender) = place.take() {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(lend(response, sender, place)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        return Err(lost(address, error.into_error()));
                    }
                },
            }
        }
        let mut sender =
            open(address).await.map_err(|source| HopError::Connect { address: address.clone(), source })?;
        match sender.send_request(request).await {
            Ok(response) => Ok(lend(response, sender, place)),
            Err(source) => Err(lost(address, source)),
        }
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Takes a connection that a host has opened to us: from now on [`Address::Tunnel`] of this id is reached over it, and no
    /// more over the one before. The future that is given must be polled; it ends when the connection does. When nothing
    /// came for `quiet`, a sign of life is asked for, and the connection given up when none comes for as long again.
    ///
    /// # Errors
    /// When the connection ends before anything was said.
    pub async fn attach<S>(&self, id: u128, stream: S, quiet: Duration) -> io::Result<Lifetime>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        self.shared.place(&Address::Tunnel(id)).multiplexed.attach(stream, quiet).await
    }
}

fn lost(address: &Address, error: hyper::Error) -> HopError {
    HopError::Lost { address: address.clone(), source: Broken::Http1(error) }
}

fn lend<B>(
    response: Response<Incoming>,
    sender: SendRequest<B>,
    place: Arc<Place<B>>,
) -> Response<PooledBody<B>> {
    response.map(|incoming| {
        let mut lease = Some(Lease { sender, place });
        if incoming.is_end_stream() {
            give_back(&mut lease);
        }
        PooledBody { answer: Answer::Http1 { incoming, lease } }
    })
}

fn give_back<B>(lease: &mut Option<Lease<B>>) {
    if let Some(Lease { sender, place }) = lease.take() {
        place.give_back(sender);
    }
}

impl<B> Shared<B> {
    fn place(&self, address: &Address) -> Arc<Place<B>> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(address) {
            return Arc::clone(place);
        }
        let place = Arc::new(Place { idle: Mutex::new(Vec::new()), multiplexed: Multiplexed::default() });
        places.insert(address.clone(), Arc::clone(&place));
        place
    }
}

impl<B> Place<B> {
    fn take(&self) -> Option<SendRequest<B>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let sender = idle.pop()?;
            if !sender.is_closed() {
                return Some(sender);
            }
        }
    }

    fn give_back(&self, sender: SendRequest<B>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(sender);
        }
    }
}

impl<B> Body for PooledBody<B>
where
    B: Unpin,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let (incoming, lease) = match &mut self.answer {
            Answer::Http1 { incoming, lease } => (incoming, lease),
            Answer::Http2(stream) => return streams::poll_frame(stream, cx).map_err(Broken::Http2),
        };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => give_back(lease),
            Poll::Ready(Some(Ok(_))) if incoming.is_end_stream() => give_back(lease),
            Poll::Ready(Some(Err(_))) => *lease = None,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled.map_err(Broken::Http1)
    }

    fn is_end_stream(&self) -> bool {
        match &self.answer {
            Answer::Http1 { incoming, .. } => incoming.is_end_stream(),
            Answer::Http2(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Answer::Http1 { incoming, .. } => incoming.size_hint(),
            Answer::Http2(_) => SizeHint::default(),
        }
    }
}

async fn open<B>(address: &Address) -> io::Result<SendRequest<B>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match address {
        Address::Unix { dir, file } => start(address::connect_unix(dir, file).await?).await,
        Address::Tls(tcp, pin) => start(address::connect_tls(*tcp, pin).await?).await,
        Address::Tcp(tcp) => start(address::connect_tcp(*tcp).await?).await,
        // Theirs are shared, and opened where they are.
        Address::Http2(_) | Address::Tunnel(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

async fn start<B, S>(stream: S) -> io::Result<SendRequest<B>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(crate::BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(async move {
        // Whoever waits for the answer is told of the failure; here is nothing left to say.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a hop's connection ended");
        }
    });
    Ok(sender)
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B> Default for Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<B> std::fmt::Debug for Pool<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<B> std::fmt::Debug for PooledBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PooledBody").finish_non_exhaustive()
    }
}
