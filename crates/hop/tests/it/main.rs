//! A hop over real sockets.

#![cfg(test)]

mod http2;
mod tls;
mod tunnel;

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hop::address::{Address, bind_unix};
use hop::pool::{HopError, Pool};
use hop::serve::{Listener, serve};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use tokio::sync::{Notify, mpsc, oneshot};

const SOON: Duration = Duration::from_secs(10);

fn unix(dir: &Path) -> Address {
    Address::Unix { dir: dir.to_owned(), file: "a.sock".to_owned() }
}

fn request() -> Request<Full<Bytes>> {
    Request::post("/mcp").body(Full::new(Bytes::from_static(b"ping"))).unwrap()
}

/// Serves an echo on a unix socket until the sender is dropped.
fn echo(dir: &Path) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = Listener::Unix(bind_unix(dir, "a.sock").unwrap());
    let service = service_fn(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok::<_, Infallible>(Response::new(Full::new(body)))
    });
    tokio::spawn(serve(listener, service, async { drop(stopped.await) }));
    stop
}

async fn call(pool: &Pool<Full<Bytes>>, address: &Address) -> Result<Bytes, HopError> {
    let response = pool.send(address, request()).await?;
    Ok(response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_path_longer_than_sun_path_works() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&dir).unwrap();
    let _stop = echo(&dir);
    assert_eq!(call(&Pool::new(), &unix(&dir)).await.unwrap(), "ping");
}

#[tokio::test]
async fn links_lead_nowhere() {
    let root = tempfile::tempdir().unwrap();
    let real = root.path().join("real");
    std::fs::create_dir(&real).unwrap();
    let _stop = echo(&real);
    let linked_dir = root.path().join("linked");
    std::os::unix::fs::symlink(&real, &linked_dir).unwrap();
    let other = root.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::os::unix::fs::symlink(real.join("a.sock"), other.join("a.sock")).unwrap();
    for dir in [linked_dir, other.clone()] {
        let error = call(&Pool::new(), &unix(&dir)).await.unwrap_err();
        assert!(matches!(error, HopError::Connect { .. }), "{error}");
    }
    assert!(bind_unix(&other, "a.sock").is_err(), "a link is not replaced");
}

/// A request that crosses with the end of its server is answered: its caller could not know otherwise whether it was acted upon.
#[tokio::test]
async fn a_request_that_crosses_with_the_end_is_answered() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nping";
    let root = tempfile::tempdir().unwrap();
    let stop = echo(root.path());
    let mut kept = tokio::net::UnixStream::connect(root.path().join("a.sock")).await.unwrap();
    let mut answer = vec![0; 1024];
    kept.write_all(HEAD).await.unwrap();
    let length = kept.read(&mut answer).await.unwrap();
    assert!(!String::from_utf8_lossy(&answer[..length]).contains("connection: close"));

    drop(stop);
    let refused =
        async { while tokio::net::UnixStream::connect(root.path().join("a.sock")).await.is_ok() {} };
    tokio::time::timeout(SOON, refused).await.unwrap();
    // Late enough for a connection that ends at once to have ended.
    tokio::time::sleep(Duration::from_millis(20)).await;
    kept.write_all(HEAD).await.unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ping"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_pooled_connection_that_ended_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let address = unix(root.path());
    let pool = Pool::new();
    let stop = echo(root.path());
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");
    drop(stop);
    let refused = async {
        while call(&pool, &address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    let _stop = echo(root.path());
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");
}

#[tokio::test]
async fn a_caller_who_leaves_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    leaves(Listener::Unix(bind_unix(root.path(), "a.sock").unwrap()), &unix(root.path())).await;
}

async fn leaves(listener: Listener, address: &Address) {
    let gone = Arc::new(Notify::new());
    let service = {
        let gone = Arc::clone(&gone);
        service_fn(move |_: Request<Incoming>| {
            let gone = Arc::clone(&gone);
            async move {
                let (sender, receiver) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
                sender.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.unwrap();
                tokio::spawn(async move {
                    sender.closed().await;
                    gone.notify_one();
                });
                let stream =
                    futures_util::stream::unfold(receiver, |mut r| async { r.recv().await.map(|f| (f, r)) });
                Ok::<_, Infallible>(Response::new(StreamBody::new(stream)))
            }
        })
    };
    tokio::spawn(serve(listener, service, std::future::pending()));
    // Kept to the end: the connection must not end with its pool.
    let pool = Pool::new();
    let mut body = pool.send(address, request()).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first", "the first frame comes while the answer is still open");
    drop(body);
    tokio::time::timeout(SOON, gone.notified()).await.expect("the server notices that the caller left");
}

#[test]
fn headers_that_do_not_cross() {
    #[track_caller]
    fn check(strip: impl Fn(&mut HeaderMap), given: &[(&'static str, &'static str)], kept: &[&str]) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        strip(&mut headers);
        let mut found: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, kept);
    }
    check(
        hop::forward::strip,
        &[
            ("connection", "close, X-Named"),
            ("x-named", "1"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
            ("authorization", "x"),
        ],
        &["accept", "authorization"],
    );
    check(
        |headers| hop::forward::strip_inbound(headers, "berth-"),
        &[
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("berth-key", "k"),
            ("Berth-Principal", "root"),
            ("mcp-session-id", "s"),
        ],
        &["mcp-session-id"],
    );
}
