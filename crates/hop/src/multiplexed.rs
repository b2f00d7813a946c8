//! One HTTP/2 connection to an address, which all exchanges with it share: one that we dial, or one that the other side
//! opened to us.
//!
//! There is no pool: a stream is opened for each exchange, and reset when its body is dropped before its end, which is how
//! the other side notices a caller who leaves. A request's body is sent whole; who speaks to a host has it in memory.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::address::{Address, connect_tcp};
use crate::pool::{Broken, HopError};
use crate::streams::{self, Heard, Lifetime};

/// A connection that we dial is asked for a sign of life when nothing came for so long.
const QUIET: Duration = Duration::from_secs(15);
/// An exchange waits so long, after the last that came of a tunnel whose other side said goodbye, for that side to open the next one.
/// It goes when it is started again: a host agent that is dialled is back within seconds, and its callers wait in its listener's backlog.
const RETURN: Duration = Duration::from_secs(10);

/// The connection to one address; opened when it is first needed, and again when it has ended.
#[derive(Default)]
pub(crate) struct Multiplexed {
    held: Mutex<Held>,
    attached: Notify,
}

#[derive(Default)]
struct Held {
    sender: Option<SendRequest<Bytes>>,
    /// Which one it is, so that whoever finds it ended takes no newer one away.
    number: u64,
    /// Of a tunnel: what was heard of it.
    heard: Option<Heard>,
    /// Of a tunnel whose other side said goodbye: until when the next one is waited for.
    back_by: Option<Instant>,
}

impl Multiplexed {
    /// As [`crate::pool::Pool::send`].
    pub(crate) async fn send<B>(
        &self,
        address: &Address,
        request: Request<B>,
    ) -> Result<Response<RecvStream>, HopError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| HopError::Connect {
            address: address.clone(),
            source: io::Error::other(error.into()),
        })?;
        let request = Request::from_parts(parts, body.to_bytes());
        let lost = |error: h2::Error| {
            if is_goodbye(&error) {
                // Said of this exchange it means that it was not, and will not be, looked at (RFC 9113 §6.8).
                return HopError::Connect { address: address.clone(), source: io::Error::other(error) };
            }
            HopError::Lost { address: address.clone(), source: Broken::Http2(error) }
        };
        loop {
            let (sender, number, is_new) = self.sender(address).await?;
            // An exchange that finds the connection ended opens another, and says so only when that helps nothing.
            match sender.ready().await {
                Ok(mut sender) => return streams::exchange(&mut sender, request).await.map_err(lost),
                Err(error) if is_new => return Err(lost(error)),
                Err(error) => self.ended(number, &error).await,
            }
        }
    }

    /// Takes a connection that the other side opened, in place of the one before. The future ends when the connection does.
    pub(crate) async fn attach<S>(&self, stream: S, quiet: Duration) -> io::Result<Lifetime>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, heard, connection) = streams::open(stream, quiet).await?;
        let mut held = self.held.lock().await;
        held.take(sender);
        held.heard = Some(heard);
        self.attached.notify_waiters();
        Ok(connection)
    }

    async fn sender(&self, address: &Address) -> Result<(SendRequest<Bytes>, u64, bool), HopError> {
        let failed = |source| HopError::Connect { address: address.clone(), source };
        let mut held = self.held.lock().await;
        let tcp = loop {
            if let Some(sender) = &held.sender {
                return Ok((sender.clone(), held.number, false));
            }
            if let Address::Http2(tcp) = address {
                break *tcp;
            }
            let is_missing =
                || failed(io::Error::new(io::ErrorKind::NotConnected, "the host has not opened it"));
            let back_by = held.back_by.ok_or_else(is_missing)?;
            // Before the lock is given up, so that none is missed.
            let attached = self.attached.notified();
            drop(held);
            tokio::time::timeout_at(back_by, attached).await.map_err(|_| is_missing())?;
            held = self.held.lock().await;
        };
        let stream = connect_tcp(tcp).await.map_err(failed)?;
        let (sender, _, connection) = streams::open(stream, QUIET).await.map_err(failed)?;
        tokio::spawn(async move {
            // Whoever waits for an answer is told of the failure; here is nothing left to say.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a hop's connection ended");
            }
        });
        held.take(sender.clone());
        Ok((sender, held.number, true))
    }

    async fn ended(&self, number: u64, error: &h2::Error) {
        let mut held = self.held.lock().await;
        if held.number == number && held.sender.take().is_some() {
            held.back_by = held.heard.take().filter(|_| is_goodbye(error)).map(|heard| heard.last() + RETURN);
        }
    }
}

/// Whether the other side ended the connection in order, which finishes what it has begun.
fn is_goodbye(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
}

impl Held {
    fn take(&mut self, sender: SendRequest<Bytes>) {
        self.sender = Some(sender);
        self.number += 1;
        self.back_by = None;
    }
}
