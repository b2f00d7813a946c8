//! The two ways to a host, both over TLS: one HTTP/2 connection that the host opened, or a pool of HTTP/1.1 connections, each for
//! one exchange at a time. And what a reader who stands still, before a log of 1 GiB, costs those beside him.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use hop::address::Address;
use hop::pool::Pool;
use hop::serve::{Listener, serve, serve_tunnel};
use hop::tls::{Files, client_config, server_config};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::load::{Figures, TIME, WARM_UP, figures};
use crate::processes;

/// What the reader who stands still asked for, in bytes.
const LOG: usize = 1 << 30;
const CHUNK: usize = 64 << 10;
const ECHO: &[u8] = b"a message of a usual size, which is some hundred bytes long; a message of a usual size, which is some hundred bytes";
const SESSIONS: [usize; 2] = [1, 64];
const QUIET: Duration = Duration::from_secs(15);

/// The host's process; it ends with this.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let files = Files::own(dir.path(), &["127.0.0.1".to_owned()])?;
    println!(
        "\n| µs, over TLS | 1 session: p50 | p99 | 64: p50 | p99 | beside a reader who stands still: p50 | p99 | p99 ÷ alone |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let there = listener.local_addr()?;
    let host = start("opens", there, dir.path())?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(server_config(files.clone())?).accept(stream).await?;
    let pool = Pool::new();
    let connection = tokio::spawn(pool.attach(1, stream, QUIET).await?);
    row("one HTTP/2 connection that the host opened", &pool, &Address::Tunnel(1)).await?;
    drop(host);
    // It ends in an error, since the host was killed.
    let _ = connection.await?;

    let free = crate::calls::port()?.parse()?;
    let _host = start("listens", free, dir.path())?;
    let (pool, address) = (Pool::new(), Address::Tls(free, files.pin()?));
    row("a pool of HTTP/1.1 connections", &pool, &address).await
}

fn start(what: &str, address: SocketAddr, files: &Path) -> anyhow::Result<Host> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["host", what, &address.to_string()]).arg(files).stdin(Stdio::null());
    Ok(Host(command.spawn()?))
}

async fn row(name: &str, pool: &Pool<Full<Bytes>>, address: &Address) -> anyhow::Result<()> {
    let begun = Instant::now();
    while let Err(error) = echo(pool, address).await {
        ensure!(begun.elapsed() < QUIET, "the host does not answer: {error:#}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut alone = Vec::new();
    for sessions in SESSIONS {
        alone.push(load(pool, address, sessions).await?);
    }
    let stalled = pool.send(address, Request::get("/log").body(Full::default())?).await?;
    let beside = load(pool, address, 1).await?;
    let mut body = stalled.into_body();
    let first = body.frame().await.context("a log has a beginning")??;
    ensure!(first.data_ref().is_some_and(|data| data.iter().all(|byte| *byte == b'x')), "a wrong log");
    println!(
        "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} |",
        alone[0].p50_us,
        alone[0].p99_us,
        alone[1].p50_us,
        alone[1].p99_us,
        beside.p50_us,
        beside.p99_us,
        beside.p99_us / alone[0].p99_us,
    );
    Ok(())
}

async fn load(pool: &Pool<Full<Bytes>>, address: &Address, sessions: usize) -> anyhow::Result<Figures> {
    let from = Instant::now() + WARM_UP;
    let session = move |pool: Pool<Full<Bytes>>, address: Address| async move {
        let mut latencies = Vec::new();
        loop {
            let begun = Instant::now();
            if from + TIME <= begun {
                return anyhow::Ok(latencies);
            }
            echo(&pool, &address).await?;
            if from <= begun {
                latencies.push(begun.elapsed());
            }
        }
    };
    let tasks: Vec<_> = (0..sessions).map(|_| tokio::spawn(session(pool.clone(), address.clone()))).collect();
    let before = processes::cpu(&[std::process::id()]);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    figures(latencies, processes::cpu(&[std::process::id()]).saturating_sub(before), TIME)
}

async fn echo(pool: &Pool<Full<Bytes>>, address: &Address) -> anyhow::Result<()> {
    let request = Request::post("/echo").body(Full::new(Bytes::from_static(ECHO)))?;
    let answer = pool.send(address, request).await?.into_body().collect().await?.to_bytes();
    ensure!(answer == ECHO, "a wrong echo");
    Ok(())
}

/// The host's side: opens a tunnel to an address, or listens there.
pub(crate) async fn host(what: &str, address: &str, files: &str) -> anyhow::Result<()> {
    let address: SocketAddr = address.parse()?;
    let files = Files::own(Path::new(files), &[])?;
    let service = service_fn(|request: Request<Incoming>| async move {
        if request.method() == Method::GET {
            return Ok(Response::new(Either::Left(Log { left: LOG })));
        }
        let whole =
            request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Ok::<_, Infallible>(Response::new(Either::Right(Full::new(whole))))
    });
    if what == "listens" {
        let listener = Listener::Tls(TcpListener::bind(address).await?, server_config(files)?);
        serve(listener, service, std::future::pending()).await;
        return Ok(());
    }
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let config = Arc::new(client_config(Some(&files.pin()?))?);
    let name = address.ip().into();
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok(serve_tunnel(stream, service, QUIET, std::future::pending()).await?)
}

/// What a log says for as long as somebody reads.
struct Log {
    left: usize,
}

impl Body for Log {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static LINES: [u8; CHUNK] = [b'x'; CHUNK];
        let more = self.left.min(CHUNK);
        self.left -= more;
        Poll::Ready((0 < more).then(|| Ok(Frame::data(Bytes::from_static(&LINES[..more])))))
    }
}
