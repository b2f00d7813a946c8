//! Streams pass event by event, and end upstream when the client leaves.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::platform::{Platform, Shim};

const DEADLINE: Duration = Duration::from_secs(10);

/// A shim whose answer is a stream that the test feeds. Its sender is closed when the gateway lets go.
fn streaming() -> (Shim, Arc<Mutex<Option<mpsc::Sender<Bytes>>>>) {
    let sender = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&sender);
    let shim: Shim = Arc::new(move |_| {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
        *kept.lock().unwrap() = Some(sender);
        Box::pin(async move {
            let frames = futures_util::stream::poll_fn(move |cx| {
                receiver.poll_recv(cx).map(|data| data.map(|data| Ok::<_, Infallible>(Frame::data(data))))
            });
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/event-stream"));
            response
        })
    });
    (shim, sender)
}

async fn open(platform: &Platform) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
    let head = "GET /mcp/acme/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer berth_good\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "text/event-stream").await;
    stream
}

pub(crate) async fn read_until(stream: &mut tokio::net::TcpStream, words: &str) {
    let mut got = Vec::new();
    let read = async {
        loop {
            let mut part = [0; 1024];
            let n = stream.read(&mut part).await.unwrap();
            assert_ne!(n, 0, "the stream ended: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&part[..n]);
            if String::from_utf8_lossy(&got).contains(words) {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("`{words}` did not come"));
}

#[tokio::test]
async fn every_event_passes_at_once() {
    let (shim, sender) = streaming();
    let platform = Platform::start(shim).await;
    let mut stream = open(&platform).await;
    let sender = sender.lock().unwrap().clone().unwrap();
    for n in 0..5 {
        // The next one is sent only after this one has arrived: a buffer anywhere would end in the deadline.
        sender.send(Bytes::from(format!("data: event-{n}\n\n"))).await.unwrap();
        read_until(&mut stream, &format!("event-{n}\n")).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_call_upstream() {
    let (shim, sender) = streaming();
    let platform = Platform::start(shim).await;
    let stream = open(&platform).await;
    let upstream = sender.lock().unwrap().take().unwrap();
    drop(stream);
    tokio::time::timeout(DEADLINE, upstream.closed()).await.expect("the shim saw the client leave");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_call_upstream_too() {
    let (entered, mut calls) = mpsc::channel::<mpsc::Receiver<()>>(1);
    let shim: Shim = Arc::new(move |_| {
        let entered = entered.clone();
        Box::pin(async move {
            // The guard goes when the shim's own side drops the call.
            let (_guard, gone) = mpsc::channel(1);
            entered.send(gone).await.unwrap();
            std::future::pending().await
        })
    });
    let platform = Platform::start(shim).await;
    let mut stream = tokio::net::TcpStream::connect(platform.address).await.unwrap();
    let head = "POST /mcp/acme/echo HTTP/1.1\r\nhost: x\r\nauthorization: Bearer berth_good\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut gone = tokio::time::timeout(DEADLINE, calls.recv()).await.unwrap().unwrap();
    drop(stream);
    tokio::time::timeout(DEADLINE, gone.recv()).await.expect("the shim saw the client leave");
}
