//! The hop whose exchanges share one connection of HTTP/2, and the listener that takes both versions.

use std::net::SocketAddr;

use http::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers with the version that was spoken, and the body.
async fn told(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let version = request.version();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert("spoken", format!("{version:?}").parse().unwrap());
    Ok(response)
}

async fn both() -> (SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, serve_until(listener))
}

fn serve_until(listener: TcpListener) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve(Listener::Both(listener), service_fn(told), async { drop(stopped.await) }));
    stop
}

#[tokio::test]
async fn one_listener_takes_both_versions() {
    let (tcp, _stop) = both().await;
    let pool = Pool::new();
    for (address, spoken) in [(Address::Http2(tcp), "HTTP/2.0"), (Address::Tcp(tcp), "HTTP/1.1")] {
        // Larger than any window, so that both sides have to wait for each other.
        let body = Bytes::from(vec![b'x'; 40 << 20]);
        let request = Request::post("/mcp").body(Full::new(body.clone())).unwrap();
        let response = pool.send(&address, request).await.unwrap();
        assert_eq!(response.headers()["spoken"], spoken);
        assert_eq!(response.version(), Version::HTTP_11, "what goes on to a client is of its version");
        assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
    }
}

#[tokio::test]
async fn exchanges_of_http2_share_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (behind, tcp) = (listener.local_addr().unwrap(), relay.local_addr().unwrap());
    let _stop = serve_until(listener);
    let (opened, mut connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut here, _)) = relay.accept().await {
            opened.send(()).unwrap();
            tokio::spawn(async move {
                let mut there = TcpStream::connect(behind).await.unwrap();
                let _either_may_end = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    let (pool, address) = (Pool::new(), Address::Http2(tcp));
    let calls = (0..100).map(|_| call(&pool, &address));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), "ping");
    }
    assert_eq!(connections.recv().await, Some(()));
    assert!(connections.try_recv().is_err(), "there was one connection");
}

#[tokio::test]
async fn a_connection_of_http2_that_ended_is_replaced() {
    let (tcp, stop) = both().await;
    let (pool, address) = (Pool::new(), Address::Http2(tcp));
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");
    drop(stop);
    let refused = async {
        while call(&pool, &address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    let _stop = serve_until(TcpListener::bind(tcp).await.unwrap());
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");
}

#[tokio::test]
async fn a_caller_of_http2_who_leaves_is_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Http2(listener.local_addr().unwrap());
    leaves(Listener::Both(listener), &address).await;
}

#[tokio::test]
async fn beginnings_that_come_in_pieces() {
    let (tcp, _stop) = both().await;
    for (pieces, expected) in [
        (&["P", "OST /mcp HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nping"][..], "HTTP/1.1 200 OK"),
        (&["PRI * HTT", "P/1.1\r\nhost: x\r\n\r\n"], "HTTP/1.1 200 OK"),
        (&["PR", "I * HTTP/2.0\r\n\r\nSM\r\n\r\n"], "\0"),
    ] {
        let mut stream = TcpStream::connect(tcp).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = vec![0; expected.len()];
        let read = tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await;
        read.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), expected, "{pieces:?}");
    }
}
