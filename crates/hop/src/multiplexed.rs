//! One HTTP/2 connection to an address, which all exchanges with it share: one that we dial, or one that the other side
//! opened to us.
//!
//! There is no pool: a stream is opened for each exchange, and reset when its body is dropped before its end, which is how
//! the other side notices a caller who leaves.

use std::future::Future;
use std::io;
use std::time::Duration;

use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use crate::address::{Address, connect_tcp};
use crate::pool::HopError;

/// Bytes of one stream's body that may be under way unread. The protocol's own default of 64 KiB costs a round trip for
/// each 64 KiB of a large message.
pub(crate) const WINDOW: u32 = 1 << 20;
/// The same of all streams together: a limit that a few readers who stand still would reach is one that stops all others.
pub(crate) const ALL_WINDOWS: u32 = 1 << 30;
/// A connection that we dial is asked for a sign of life when nothing came for so long.
const QUIET: Duration = Duration::from_secs(15);

/// The connection to one address; opened when it is first needed, and again when it has ended.
pub(crate) struct Multiplexed<B> {
    sender: Mutex<Option<SendRequest<B>>>,
}

impl<B> Default for Multiplexed<B> {
    fn default() -> Self {
        Self { sender: Mutex::new(None) }
    }
}

impl<B> Multiplexed<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// As [`crate::pool::Pool::send`].
    pub(crate) async fn send(
        &self,
        address: &Address,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, HopError> {
        loop {
            let (mut sender, is_new) = self.sender(address).await?;
            // An exchange that finds the connection ended opens another, and says so only when that helps nothing.
            match sender.try_send_request(request).await {
                Ok(mut response) => {
                    *response.version_mut() = Version::HTTP_11;
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => {
                        return Err(HopError::Lost { address: address.clone(), source: error.into_error() });
                    }
                },
            }
        }
    }

    /// Takes a connection that the other side opened, in place of the one before. The future ends when the connection does.
    pub(crate) async fn attach<S>(
        &self,
        stream: S,
        quiet: Duration,
    ) -> io::Result<impl Future<Output = Result<(), hyper::Error>> + Send + use<B, S>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = handshake(stream, quiet).await?;
        *self.sender.lock().await = Some(sender);
        Ok(connection)
    }

    async fn sender(&self, address: &Address) -> Result<(SendRequest<B>, bool), HopError> {
        let failed = |source| HopError::Connect { address: address.clone(), source };
        let mut held = self.sender.lock().await;
        if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let Address::Http2(tcp) = address else {
            return Err(failed(io::Error::new(io::ErrorKind::NotConnected, "the host has not opened it")));
        };
        let stream = connect_tcp(*tcp).await.map_err(failed)?;
        let (sender, connection) = handshake(stream, QUIET).await.map_err(failed)?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told of the failure; here is nothing left to say.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a hop's connection ended");
            }
        });
        *held = Some(sender.clone());
        Ok((sender, true))
    }
}

async fn handshake<B, S>(
    stream: S,
    quiet: Duration,
) -> io::Result<(SendRequest<B>, http2::Connection<TokioIo<S>, B, TokioExecutor>)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .keep_alive_interval(quiet)
        .keep_alive_timeout(quiet)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)
}
