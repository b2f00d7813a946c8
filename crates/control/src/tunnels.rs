//! The connections that hosts have opened to this process: one per environment, the newest.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::ids::EnvironmentId;
use hop::pool::Pool;
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

/// What a tunnel's bytes pass in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    /// The connection itself.
    Upgrade,
    /// Binary frames, where a proxy between lets nothing else through.
    WebSocket,
}

/// Which tunnels are open.
#[derive(Debug)]
pub(crate) struct Tunnels {
    open: Mutex<HashMap<EnvironmentId, CancellationToken>>,
    give_back: fn(),
}

impl Tunnels {
    /// None yet. `give_back` gives memory that is free back to the host.
    pub(crate) fn new(give_back: fn()) -> Self {
        Self { open: Mutex::default(), give_back }
    }

    /// Keeps what a host opens, once its upgrade is done, in place of the one before; until it ends, or [`Self::close`].
    /// One on which nothing comes for `quiet` is asked for a sign of life. `opened` is called when calls can go through it.
    pub(crate) async fn keep(
        &self,
        id: EnvironmentId,
        pool: &Pool<Full<Bytes>>,
        quiet: Duration,
        (upgrade, within): (OnUpgrade, Within),
        opened: impl FnOnce(),
    ) {
        let stream = match upgrade.await {
            Ok(stream) => TokioIo::new(stream),
            Err(error) => {
                tracing::debug!(environment = %id, %error, "a tunnel ended before it began");
                return;
            }
        };
        let closed = CancellationToken::new();
        if let Some(before) = self.open().insert(id, closed.clone()) {
            before.cancel();
        }
        let end = async {
            let place = id.0.as_u128();
            // HTTP/2 takes 28 KiB at once, of which an idle tunnel writes to a few pages. In memory that the handshakes before it have left,
            // it would weigh all of them, for as long as it stands.
            (self.give_back)();
            // On the heap while it is being made: the task, which stays, would have room for all of that.
            let connection = Box::pin(async {
                match within {
                    Within::Upgrade => pool.attach(place, stream, quiet).await,
                    Within::WebSocket => {
                        pool.attach(place, hop::websocket::server(stream).await, quiet).await
                    }
                }
            });
            let connection = connection.await?;
            tracing::info!(environment = %id, ?within, "its tunnel is open");
            opened();
            connection.await.map_err(std::io::Error::other)
        };
        tokio::select! {
            // One that was replaced must not put itself in the place of the one that came after it.
            biased;
            () = closed.cancelled() => tracing::info!(environment = %id, "its tunnel was replaced or closed"),
            ended = end => match ended {
                Ok(()) => tracing::info!(environment = %id, "its tunnel ended"),
                Err(error) => tracing::warn!(environment = %id, %error, "its tunnel broke off"),
            },
        }
        if !closed.is_cancelled() {
            self.open().remove(&id);
        }
    }

    /// Ends the tunnel of an environment that is no more.
    pub(crate) fn close(&self, id: EnvironmentId) {
        if let Some(closed) = self.open().remove(&id) {
            closed.cancel();
        }
    }

    /// Whether a host has one open.
    pub(crate) fn is_open(&self, id: EnvironmentId) -> bool {
        self.open().contains_key(&id)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<EnvironmentId, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
