//! One HTTP/2 connection to an address, which all exchanges with it share.
//!
//! There is no pool: a stream is opened for each exchange, and reset when its body is dropped before its end, which is how
//! the other side notices a caller who leaves.

use std::net::SocketAddr;

use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Mutex;

use crate::address::{Address, connect_tcp};
use crate::pool::HopError;

/// Bytes of one stream's body that may be under way unread; those of all streams together are sixteen times as many. The
/// protocol's own default of 64 KiB costs a round trip for each 64 KiB of a large message.
pub(crate) const WINDOW: u32 = 1 << 20;

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
        tcp: SocketAddr,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, HopError> {
        loop {
            let (mut sender, is_new) = self.sender(tcp).await?;
            // An exchange that finds the connection ended opens another, and says so only when that helps nothing.
            match sender.try_send_request(request).await {
                Ok(mut response) => {
                    *response.version_mut() = Version::HTTP_11;
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => {
                        return Err(HopError::Lost {
                            address: Address::Http2(tcp),
                            source: error.into_error(),
                        });
                    }
                },
            }
        }
    }

    async fn sender(&self, tcp: SocketAddr) -> Result<(SendRequest<B>, bool), HopError> {
        let failed = |source| HopError::Connect { address: Address::Http2(tcp), source };
        let mut held = self.sender.lock().await;
        if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let stream = connect_tcp(tcp).await.map_err(failed)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 16)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(std::io::Error::other(error)))?;
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
