//! The hop over a connection that the host opened, with the roles swapped.

use hop::serve::serve_tunnel;
use tokio::io::DuplexStream;

use super::*;

/// A stalled reader leaves this much unread, which is more than one stream's window.
const UNREAD: usize = 4 << 20;

/// `GET` is answered with more than a window holds, anything else with what was sent.
async fn host(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == http::Method::GET {
        return Ok(Response::new(Full::new(Bytes::from(vec![b'x'; UNREAD]))));
    }
    Ok(Response::new(Full::new(request.into_body().collect().await.unwrap().to_bytes())))
}

/// Opens a tunnel from a host; it ends when what is given is dropped.
async fn opened(pool: &Pool<Full<Bytes>>, id: u128) -> oneshot::Sender<()> {
    let (ours, theirs): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(serve_tunnel(theirs, service_fn(host), SOON, async { drop(stopped.await) }));
    tokio::spawn(pool.attach(id, ours, SOON).await.unwrap());
    stop
}

#[tokio::test]
async fn a_host_is_reached_over_the_connection_that_it_opened() {
    let (pool, address) = (Pool::new(), Address::Tunnel(7));
    assert!(matches!(call(&pool, &address).await, Err(HopError::Connect { .. })), "it has not opened one");
    let first = opened(&pool, 7).await;
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");
    assert!(matches!(call(&pool, &Address::Tunnel(8)).await, Err(HopError::Connect { .. })), "another host");

    // A host that comes again has a new connection; the old one is not asked any more.
    let second = opened(&pool, 7).await;
    drop(first);
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");

    drop(second);
    let refused = async {
        while call(&pool, &address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    let _third = opened(&pool, 7).await;
    assert_eq!(call(&pool, &address).await.unwrap(), "ping");
}

#[tokio::test]
async fn readers_who_stand_still_stop_nobody_else() {
    let (pool, address) = (Pool::new(), Address::Tunnel(7));
    let _open = opened(&pool, 7).await;
    let mut stalled = Vec::new();
    for _ in 0..64 {
        let request = Request::get("/log").body(Full::default()).unwrap();
        stalled.push(pool.send(&address, request).await.unwrap());
        let answer = tokio::time::timeout(SOON, call(&pool, &address)).await;
        assert_eq!(answer.unwrap().unwrap(), "ping", "beside {} readers", stalled.len());
    }
    for response in stalled {
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), UNREAD);
    }
}

/// A host whose network is gone says nothing: that is found out, and whoever waits is told.
#[tokio::test]
async fn a_tunnel_that_went_silent_is_given_up() {
    let (pool, address) = (Pool::new(), Address::Tunnel(7));
    let (ours, mut silent) = tokio::io::duplex(1 << 16);
    let connection = tokio::spawn(pool.attach(7, ours, Duration::from_millis(20)).await.unwrap());
    let waits = tokio::spawn({
        let pool = pool.clone();
        async move { call(&pool, &address).await }
    });
    // What is written is taken, as by a network that is cut behind the next router.
    tokio::spawn(async move { tokio::io::copy(&mut silent, &mut tokio::io::sink()).await });
    let ended = tokio::time::timeout(SOON, connection).await;
    assert!(ended.expect("its end").unwrap().is_err());
    assert!(matches!(waits.await.unwrap(), Err(HopError::Lost { .. })));
}
