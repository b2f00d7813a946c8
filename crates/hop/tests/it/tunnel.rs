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
}

/// Calls until one is neither answered nor refused, which is given. One that crosses with the goodbye may be told that it was not sent.
async fn unanswered(pool: &Pool<Full<Bytes>>) -> tokio::task::JoinHandle<Result<Bytes, HopError>> {
    let begun = std::time::Instant::now();
    while begun.elapsed() < SOON {
        let pool = pool.clone();
        let mut next = tokio::spawn(async move { call(&pool, &Address::Tunnel(7)).await });
        match tokio::time::timeout(Duration::from_millis(200), &mut next).await {
            Ok(answered) => match answered.unwrap() {
                Ok(_) | Err(HopError::Connect { .. }) => {}
                Err(error) => panic!("{error:?}"),
            },
            Err(_) => return next,
        }
    }
    panic!("each is answered or refused");
}

/// A host that is started again says goodbye before: whoever calls meanwhile waits for it, for some seconds.
#[tokio::test]
async fn calls_wait_for_a_host_that_said_goodbye() {
    let pool = Pool::new();
    drop(opened(&pool, 7).await);
    let waits = unanswered(&pool).await;
    let again = opened(&pool, 7).await;
    assert_eq!(waits.await.unwrap().unwrap(), "ping");

    // One that does not come back is not waited for again.
    drop(again);
    let begun = std::time::Instant::now();
    let refused = unanswered(&pool).await.await.unwrap();
    assert!(matches!(refused, Err(HopError::Connect { .. })), "{refused:?}");
    assert!((5..20).contains(&begun.elapsed().as_secs()), "after {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    assert!(matches!(call(&pool, &Address::Tunnel(7)).await, Err(HopError::Connect { .. })));
    assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
}

/// One that went without a word may be gone for good.
#[tokio::test]
async fn nobody_waits_for_a_host_whose_tunnel_broke_off() {
    let pool = Pool::new();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let host = tokio::spawn(serve_tunnel(theirs, service_fn(host), SOON, std::future::pending()));
    let connection = tokio::spawn(pool.attach(7, ours, SOON).await.unwrap());
    assert_eq!(call(&pool, &Address::Tunnel(7)).await.unwrap(), "ping");
    host.abort();
    let ended = tokio::time::timeout(SOON, connection).await.expect("its end");
    let begun = std::time::Instant::now();
    assert!(call(&pool, &Address::Tunnel(7)).await.is_err(), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
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
