//! The references: a hop that does nothing but forward, a leaf that does nothing but answer, and nginx.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use bytes::Bytes;
use hop::address::{Address, bind_unix};
use hop::pool::Pool;
use hop::serve::{Listener, serve};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;

/// What the leaf answers: the size and shape of the answer to the measured call.
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hello from the other side"}],"isError":false}}"#;

/// `unix:DIR` (a socket of a fixed name in it) or `IP:PORT`.
pub(crate) fn address(text: &str) -> anyhow::Result<Address> {
    Ok(match text.strip_prefix("unix:") {
        Some(dir) => Address::Unix { dir: dir.into(), file: domain::shim::SOCKET.to_owned() },
        None => Address::Tcp(text.parse().with_context(|| format!("`{text}` is no address"))?),
    })
}

async fn listener(text: &str) -> anyhow::Result<Listener> {
    Ok(match address(text)? {
        Address::Unix { dir, file } => Listener::Unix(bind_unix(&dir, &file)?),
        Address::Tcp(address) | Address::Http2(address) => {
            Listener::Both(tokio::net::TcpListener::bind(address).await?)
        }
        Address::Tunnel(_) | Address::Tls(..) => anyhow::bail!("a reference serves neither a tunnel nor TLS"),
    })
}

/// Reads a request whole, sends it on, gives the answer back as it comes.
pub(crate) async fn hop(listen: &str, to: &str) -> anyhow::Result<()> {
    let to = address(to)?;
    let pool: Pool<Full<Bytes>> = Pool::new();
    let service = service_fn(move |request: Request<Incoming>| {
        let (to, pool) = (to.clone(), pool.clone());
        async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await else { return Ok(failure()) };
            let request = Request::from_parts(head, Full::new(body.to_bytes()));
            Ok::<_, Infallible>(match pool.send(&to, request).await {
                Ok(response) => response.map(Either::Left),
                Err(_) => failure(),
            })
        }
    });
    serve(listener(listen).await?, service, std::future::pending()).await;
    Ok(())
}

fn failure<B>() -> Response<Either<B, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// Reads a request whole and answers the same to everything.
pub(crate) async fn leaf(listen: &str) -> anyhow::Result<()> {
    let service = service_fn(|request: Request<Incoming>| async {
        drop(request.into_body().collect().await);
        let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        Ok::<_, Infallible>(response)
    });
    serve(listener(listen).await?, service, std::future::pending()).await;
    Ok(())
}

/// Reads a request whole and gives it back as the answer, so that its size is the caller's choice.
pub(crate) async fn mirror(listen: &str) -> anyhow::Result<()> {
    let service = service_fn(|request: Request<Incoming>| async {
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        let mut response = Response::new(Full::new(body.unwrap_or_default()));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        Ok::<_, Infallible>(response)
    });
    serve(listener(listen).await?, service, std::future::pending()).await;
    Ok(())
}

/// Ended when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts this program again with other words.
pub(crate) fn again(words: &[&str]) -> anyhow::Result<Running> {
    let child = Command::new(std::env::current_exe()?).args(words).stdin(Stdio::null()).spawn()?;
    Ok(Running(child))
}

/// nginx as one hop: one worker, keep-alive on both sides, no buffering, no access log.
pub(crate) fn nginx(dir: &Path, listen: &str, to: &str) -> anyhow::Result<Running> {
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; client_max_body_size 0;
  client_body_buffer_size 2m;
  fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream leaf {{ server {to}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen {listen}; location / {{ proxy_pass http://leaf; proxy_http_version 1.1;
    proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_buffering off; }} }}
}}\n",
        dir = dir.display(),
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, config)?;
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(dir)
        .spawn()
        .context("nginx is missing: apt-get install nginx-light")?;
    Ok(Running(child))
}
