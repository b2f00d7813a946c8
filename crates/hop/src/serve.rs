//! Serving HTTP/1.1 on a listener until told to stop, then letting what is under way finish.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::streams::{ALL_WINDOWS, WINDOW};
use crate::tls::ServerConfig;

/// A client that has not sent a whole head by then is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After the stop, a connection that its caller keeps stays open so long for a request that is on its way, whose answer then says that it was
/// the last: a caller whose request crosses with the end does not know what became of it.
const CROSSING: Duration = Duration::from_millis(300);
/// After that, exchanges under way have this long to finish.
const DRAIN: Duration = Duration::from_secs(5);
/// A client that has not agreed on a key by then is cut off.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failed accept (no more descriptors, say) the next try waits, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection of HTTP/2 begins with; as many bytes of it as no request of HTTP/1.1 has.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// Between two looks at a beginning that came in pieces.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// Exchanges at a time on one connection of HTTP/2: streams of sessions stay open.
const STREAMS: u32 = 4096;

/// What is listened on.
#[derive(Debug)]
pub enum Listener {
    /// TCP; every connection gets `TCP_NODELAY`.
    Tcp(TcpListener),
    /// TCP whose callers speak HTTP/1.1 or, from the first byte, HTTP/2: other parts of Berth.
    Both(TcpListener),
    /// TCP whose callers speak HTTP/1.1 over TLS ([`crate::tls::server_config`]).
    Tls(TcpListener, Arc<ServerConfig>),
    /// A unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// The port, of one that has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) | Self::Both(listener) | Self::Tls(listener, _) => {
                listener.local_addr().ok().map(|address| address.port())
            }
            Self::Unix(_) => None,
        }
    }
}

/// Serves until `stop` is done, then stops accepting, takes what is on its way on open connections, gives what is under way five seconds, and
/// returns.
pub async fn serve<S, B>(listener: Listener, service: S, stop: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serve_each(listener, |_| service.clone(), stop).await;
}

/// As [`serve`], with a service for each connection, which may know who opened it: `None` on a unix socket.
pub async fn serve_each<S, B>(
    listener: Listener,
    service: impl Fn(Option<SocketAddr>) -> S,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Each connection has a receiver: the last one that is dropped is the end of the drain.
    let (drain, over) = watch::channel(());
    let draining = Draining { over, is_leaving: Arc::default() };
    let is_leaving = Arc::clone(&draining.is_leaving);
    let mut stop = pin!(stop);
    // Every head that is waited for is a timer. The runtime wakes itself with a system call for one that is due before all
    // others, which it never is while this one stands.
    let mut sooner = tokio::time::interval(HEAD_TIMEOUT / 3);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            _ = sooner.tick() => continue,
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (service, draining) = (service(peer), draining.clone());
                match stream {
                    Stream::Tcp(stream) => connection(TokioIo::new(stream), service, draining),
                    Stream::Unix(stream) => connection(TokioIo::new(stream), service, draining),
                    Stream::Tls(stream, config) => tls(stream, config, service, draining),
                    Stream::Either(stream) => either(stream, service, draining),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(draining);
    is_leaving.store(true, Ordering::Relaxed);
    if tokio::time::timeout(CROSSING, drain.closed()).await.is_ok() {
        return;
    }
    drain.send_replace(());
    if tokio::time::timeout(DRAIN, drain.closed()).await.is_err() {
        tracing::debug!("connections were still open at the end of the drain");
    }
}

/// As [`serve`], for a tower service such as an axum `Router`.
pub async fn serve_router<S, B>(listener: Listener, router: S, stop: impl Future<Output = ()>)
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    serve(listener, TowerToHyperService::new(router), stop).await;
}

/// The end of a listener, as one of its connections sees it.
#[derive(Clone)]
struct Draining {
    /// Changes when a connection is to end once nothing is under way.
    over: watch::Receiver<()>,
    /// Whether an answer is the last on its connection.
    is_leaving: Arc<AtomicBool>,
}

impl Draining {
    /// The service, which says of its last answer over HTTP/1.1 that it is one.
    fn announced<S, B>(
        &self,
        service: S,
    ) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + use<S, B>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S::Future: Send,
        B: Body,
    {
        let is_leaving = Arc::clone(&self.is_leaving);
        service_fn(move |request| {
            let (answer, is_leaving) = (service.call(request), Arc::clone(&is_leaving));
            async move {
                let mut answer = answer.await?;
                if is_leaving.load(Ordering::Relaxed) && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok(answer)
            }
        })
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Either(tokio::net::TcpStream),
    Tls(tokio::net::TcpStream, Arc<ServerConfig>),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Stream, Option<SocketAddr>)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Stream::Tcp(stream), Some(peer)))
        }
        Listener::Both(listener) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Stream::Either(stream), Some(peer)))
        }
        Listener::Tls(listener, config) => {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Stream::Tls(stream, Arc::clone(config)), Some(peer)))
        }
        Listener::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
    }
}

fn connection<I, S, B>(io: TokioIo<I>, service: S, draining: Draining)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = draining.announced(service);
    let connection = http1_builder().serve_connection(io, service).with_upgrades();
    let end = http1::UpgradeableConnection::graceful_shutdown;
    tokio::spawn(async move { ended(drained(connection, draining, end).await) });
}

/// A connection that begins with a handshake. Nobody else waits for it.
fn tls<S, B>(stream: TcpStream, config: Arc<ServerConfig>, service: S, mut draining: Draining)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    tokio::spawn(async move {
        let handshake = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            _ = draining.over.changed() => return,
        };
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a caller did not agree on a key");
                return;
            }
            Err(_) => return,
        };
        let service = draining.announced(service);
        let connection = http1_builder().serve_connection(TokioIo::new(stream), service).with_upgrades();
        ended(drained(connection, draining, http1::UpgradeableConnection::graceful_shutdown).await);
    });
}

/// Drives a connection; told to end, it finishes what is under way.
async fn drained<C>(
    connection: C,
    mut draining: Draining,
    end: impl FnOnce(Pin<&mut C>),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        // First the connection: one that is new has a request to read, which an end before the first look would lose.
        biased;
        result = connection.as_mut() => return result,
        _ = draining.over.changed() => end(connection.as_mut()),
    }
    connection.await
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(crate::BUFFER);
    builder
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .max_concurrent_streams(STREAMS);
    builder
}

/// Serves HTTP/2 on a connection that we opened, to whoever accepted it, until it ends or `stop` is done; then what is under
/// way has as long as at the end of [`serve`]. `quiet` is as in [`crate::pool::Pool::attach`].
///
/// # Errors
/// What ended the connection, a failed keep-alive among it.
pub async fn serve_tunnel<I, S, B>(
    stream: I,
    service: S,
    quiet: Duration,
    stop: impl Future<Output = ()>,
) -> Result<(), hyper::Error>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = http2_builder();
    builder.keep_alive_interval(quiet).keep_alive_timeout(quiet);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop => connection.as_mut().graceful_shutdown(),
    }
    tokio::time::timeout(DRAIN, connection).await.unwrap_or(Ok(()))
}

/// A connection of either version, told by its first bytes (RFC 9113 §3.4). They are looked at and left where they are, so that
/// reading afterwards costs nothing more.
fn either<S, B>(stream: TcpStream, service: S, draining: Draining)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    tokio::spawn(async move {
        let is_http2 = match tokio::time::timeout(HEAD_TIMEOUT, begins_as_http2(&stream)).await {
            Ok(Ok(is_http2)) => is_http2,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection ended before it began");
                return;
            }
            Err(_) => return,
        };
        let io = TokioIo::new(stream);
        if is_http2 {
            let connection = http2_builder().serve_connection(io, service);
            ended(drained(connection, draining, http2::Connection::graceful_shutdown).await);
        } else {
            let connection = http1_builder().serve_connection(io, draining.announced(service));
            ended(drained(connection, draining, http1::Connection::graceful_shutdown).await);
        }
    });
}

async fn begins_as_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    let mut seen = 0;
    loop {
        stream.readable().await?;
        match stream.peek(&mut first).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length if first[..length] != PREFACE[..length] => return Ok(false),
            length if length == PREFACE.len() => return Ok(true),
            // Some of it: what is seen already makes the socket readable, so its growth has to be waited for.
            length if length == seen => tokio::time::sleep(PREFACE_PAUSE).await,
            length => seen = length,
        }
    }
}

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}
