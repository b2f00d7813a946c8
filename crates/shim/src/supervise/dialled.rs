//! A life over HTTP: a connection to a server that runs elsewhere, or to the process that this shim keeps on a port.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::shim::{Link, ShimConfig, TokenWanted};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use mcp::lines::Line;
use tokio::sync::mpsc;

use super::{End, Start, Why, take};
use crate::callers::Own;
use crate::shared::Shared;
use crate::tokens::Theirs;
use crate::upstream::{self, Credentials, Incoming, Purse, Target, Token, Transport};
use crate::worker::{Keep, Worker};

/// Batches of lines that wait for the connection.
const QUEUE: usize = 16;
/// Ending the session at the server may take so long.
const LAST_REQUEST: Duration = Duration::from_secs(3);

pub(super) async fn life(
    shared: &Arc<Shared>,
    worker: &Arc<Worker>,
    start: Start,
    serving: impl Future<Output = Why>,
) -> End {
    let asked = Arc::new(Nobody::default());
    let found = tokio::select! {
        found = target(shared, worker, &asked) => found,
        () = worker.stopping.cancelled() => return End::Stopped,
        () = tokio::time::sleep(Duration::from_millis(shared.config.startup_ms)) => {
            Err("the server has not listened on its port in time".to_owned())
        }
    };
    let (target, port) = match found {
        Ok(found) => found,
        Err(words) => return End::Failed(words),
    };
    let (to_server, outgoing) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write(Arc::clone(worker), to_server));
    let incoming = incoming(shared, worker, start);
    let mut link = tokio::spawn(upstream::run(target, outgoing, incoming));
    let ended = async {
        match (&shared.child, port) {
            (Some(child), Some(port)) => child.ended(port).await,
            _ => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        biased;
        () = worker.stopping.cancelled() => Why::Asked,
        words = ended => Why::Words(words),
        words = &mut link => Why::Words(words.unwrap_or_else(|error| format!("the connection was lost: {error}"))),
        why = serving => why,
    };
    why.announce(worker);
    // With the writer the queue is closed, upon which the session at the server is ended.
    writer.abort();
    if !link.is_finished() && tokio::time::timeout(LAST_REQUEST, &mut link).await.is_err() {
        link.abort();
    }
    match why {
        Why::Words(_) if worker.keep == Keep::UntilProven && asked.was_asked() => End::Wanting,
        Why::Words(words) => End::Failed(words),
        Why::Idle => End::Idle,
        Why::Proven => End::Proven,
        Why::Asked | Why::Exit(_) | Why::Closed(_) => End::Stopped,
    }
}

/// Whoever has nothing to show, and notes that it was wanted: a server that refuses the process which is to show that it works has shown that
/// it is there.
#[derive(Debug, Default)]
struct Nobody(AtomicBool);

impl Nobody {
    fn was_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Credentials for Nobody {
    fn token<'a>(
        &'a self,
        _: TokenWanted,
    ) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + 'a>> {
        self.0.store(true, Ordering::Relaxed);
        Box::pin(std::future::ready(Err("each caller brings their own".to_owned())))
    }
}

/// What is done with what comes from the server.
fn incoming(
    shared: &Arc<Shared>,
    worker: &Arc<Worker>,
    start: Start,
) -> impl Fn(Incoming<'_>) + Send + Sync + use<> {
    let (shared, worker) = (Arc::clone(shared), Arc::clone(worker));
    let start = Mutex::new(Some(start));
    move |incoming| match incoming {
        Incoming::Message { origin, message } => {
            let mut start = start.lock().unwrap_or_else(PoisonError::into_inner);
            take(&shared, &worker, &Line::Whole(message), origin, &mut start);
        }
        Incoming::Reopened => worker.with_mux(|mux, _, out| mux.ask_again(out)),
        Incoming::Note(text) => shared.journal.note(text),
    }
}

/// Hands on what is queued for the server, whole lines at a time.
async fn write(worker: Arc<Worker>, to_server: mpsc::Sender<Vec<u8>>) {
    loop {
        let lines = std::mem::take(&mut worker.traffic().to_server);
        if lines.is_empty() {
            worker.to_write.notified().await;
        } else if to_server.send(lines).await.is_err() {
            // The connection has ended, and says so itself.
            return;
        }
    }
}

/// Where the server is; also the port, of one on this host.
async fn target(
    shared: &Shared,
    worker: &Worker,
    nobody: &Arc<Nobody>,
) -> Result<(Target, Option<u16>), String> {
    let (url, sse, headers, port) = match (&shared.config.link, &shared.child) {
        (Link::Port { path, sse, .. }, Some(child)) => {
            let port = child.port().await?;
            (format!("http://127.0.0.1:{port}{path}"), *sse, HeaderMap::new(), Some(port))
        }
        (Link::Remote { url, sse }, _) => {
            // Nobody's values would only be refused.
            let own = worker.own.as_deref().filter(|_| worker.keep != Keep::UntilProven);
            (url.clone(), *sse, headers(&shared.config, own)?, None)
        }
        _ => return Err("the server is not one that is reached over HTTP".to_owned()),
    };
    let url: Uri = url.parse().map_err(|error| format!("the server's address cannot be used: {error}"))?;
    let transport = if sse { Transport::Sse } else { Transport::Streamable };
    // A server on this host is ours, and wants nothing.
    let purse = match (&shared.callers, worker.keep) {
        _ if port.is_some() => None,
        (None, _) => Some(Arc::clone(&shared.purse)),
        (Some(_), Keep::UntilProven) => Some(Arc::new(Purse::new(Arc::clone(nobody) as _))),
        // Where the caller brought the header, that is shown; otherwise what they authorized.
        (Some(_), _) => worker.own.as_ref().map(|own| {
            let theirs = Theirs { tokens: Arc::clone(&shared.tokens), principal: own.principal.clone() };
            Arc::new(Purse::new(Arc::new(theirs)))
        }),
    };
    Ok((Target { url, transport, headers, purse }, port))
}

/// The settings and secrets of a server that runs elsewhere.
fn headers(config: &ShimConfig, own: Option<&Own>) -> Result<HeaderMap, String> {
    let plain = config.env.iter().map(|(name, value)| (name, value.as_str()));
    let brought = own.iter().flat_map(|own| &own.values);
    let secret = config.secrets.iter().chain(brought).map(|(name, secret)| (name, secret.expose()));
    let mut headers = HeaderMap::new();
    for (name, value) in plain.chain(secret) {
        let key = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a name of a header"))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| format!("the value of the header `{name}` cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
