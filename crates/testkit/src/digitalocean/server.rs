//! Takes requests in over HTTP, counts them, lets them meet their fault, and answers.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::serve::IncomingStream;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::faults::Fault;
use super::reply::{Ask, Reply};
use super::world::{self, World};
use super::{Exchange, TOKEN, limits, routes, time};

/// The largest request that is read.
const LARGEST: usize = 1024 * 1024;

/// Serves until told to stop, on this thread.
pub(super) fn run(listener: std::net::TcpListener, world: Arc<Mutex<World>>, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for the fake");
    runtime.block_on(async {
        let listener = Cuttable(TcpListener::from_std(listener).expect("the fake's listener"));
        let service =
            Router::new().fallback(serve).with_state(world).into_make_service_with_connect_info::<Cut>();
        tokio::select! {
            served = axum::serve(listener, service) => served.expect("the fake serves"),
            // An error is the sender's drop, which is the sign.
            _ = stopped => {}
        }
    });
}

/// A listener whose connections can be cut by whoever answers.
struct Cuttable(TcpListener);

/// Cuts its connection: nothing more is written.
#[derive(Debug, Clone, Default)]
struct Cut(Arc<AtomicBool>);

struct Connection {
    stream: TcpStream,
    cut: Cut,
}

impl axum::serve::Listener for Cuttable {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // A connection that was gone before it was taken is nobody's.
            if let Ok((stream, from)) = self.0.accept().await {
                return (Connection { stream, cut: Cut::default() }, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Cuttable>> for Cut {
    fn connect_info(stream: IncomingStream<'_, Cuttable>) -> Self {
        stream.io().cut.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.cut.0.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What becomes of an answer on its way.
enum Way {
    Straight,
    Late(Duration),
    Half,
    Nowhere,
}

async fn serve(
    State(world): State<Arc<Mutex<World>>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default();
    let bytes = axum::body::to_bytes(body, LARGEST).await.unwrap_or_default();
    let ask = Ask {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query,
        body: serde_json::from_slice(&bytes).ok(),
    };
    let expected = format!("Bearer {TOKEN}");
    let knows_token = parts.headers.get(header::AUTHORIZATION).is_some_and(|given| *given == *expected);

    let (reply, way, state, number, (events, hook)) = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, way) = meet(&mut world, &ask, knows_token);
        let state = world.limits.state(world.clock.now());
        (reply, way, state, world.next_id(), world.take_events())
    };
    // A hook may start a machine and take its time.
    if !events.is_empty() && hook.is_some() {
        let told = tokio::task::spawn_blocking(move || world::tell(&events, hook.as_ref())).await;
        told.expect("the hook");
    }
    match way {
        Way::Straight | Way::Half => {}
        Way::Late(by) => tokio::time::sleep(by).await,
        Way::Nowhere => cut.0.store(true, Ordering::Relaxed),
    }
    respond(&reply, state, number, matches!(way, Way::Half))
}

/// The answer to a request, whether or not it arrives.
fn meet(world: &mut World, ask: &Ask, knows_token: bool) -> (Reply, Way) {
    world.catch_up();
    world.seen.push((ask.method.clone(), ask.path.clone()));
    let lists_keys = ask.method == "GET" && ask.path == "/v2/account/keys";
    if !knows_token {
        return (
            carried_out(world, ask, |_, _| Reply::error(401, "Unable to authenticate you.")),
            Way::Straight,
        );
    }
    let now = world.clock.now();
    if let Err(wait) = world.limits.count(now, lists_keys) {
        let retry_after = wait.map(|wait| wait.as_secs() + 1);
        return (carried_out(world, ask, |_, _| too_many(retry_after)), Way::Straight);
    }
    if routes::lacks_scope(world, ask) {
        let refused =
            |_: &mut World, _: &Ask| Reply::error(403, "You are not authorized to perform this operation");
        return (carried_out(world, ask, refused), Way::Straight);
    }
    let broken = |status| Reply::error(status, "Unexpected server-side error");
    match world.faults.meet(&ask.method, &ask.path) {
        Fault::None => (carried_out(world, ask, routes::answer), Way::Straight),
        Fault::TooMany { retry_after } => (too_many(retry_after), Way::Straight),
        Fault::Before(status) => (broken(status), Way::Straight),
        Fault::After(status) => {
            carried_out(world, ask, routes::answer);
            (broken(status), Way::Straight)
        }
        Fault::Cut => (broken(500), Way::Nowhere),
        Fault::Lost => (carried_out(world, ask, routes::answer), Way::Nowhere),
        Fault::LostLate(by) => {
            world.later.push((now + by, ask.clone()));
            (broken(500), Way::Nowhere)
        }
        Fault::Slow(by) => (carried_out(world, ask, routes::answer), Way::Late(by)),
        Fault::Garbled => (carried_out(world, ask, routes::answer), Way::Half),
        Fault::Answer(status, body) => (Reply::new(status, body), Way::Straight),
        Fault::NeverBoots => {
            let reply = carried_out(world, ask, routes::answer);
            world.never_boots();
            (reply, Way::Straight)
        }
        Fault::Errored => {
            let reply = carried_out(world, ask, routes::answer);
            world.errored();
            (reply, Way::Straight)
        }
    }
}

fn too_many(retry_after: Option<u64>) -> Reply {
    Reply { retry_after, ..Reply::error(429, "API rate limit exceeded.") }
}

fn carried_out(world: &mut World, ask: &Ask, how: impl Fn(&mut World, &Ask) -> Reply) -> Reply {
    let reply = how(world, ask);
    world.exchanges.push(Exchange::of(ask, &reply));
    reply
}

fn respond(reply: &Reply, state: limits::State, number: u64, half: bool) -> Response<Body> {
    let text = reply.body.as_ref().map(Value::to_string).unwrap_or_default();
    let length = if half { text.len() / 2 } else { text.len() };
    let mut response = Response::new(Body::from(text.as_bytes()[..length].to_vec()));
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a status");
    let headers = response.headers_mut();
    if reply.body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    let remaining = if reply.status == 429 { 0 } else { state.remaining };
    let mut put = |name: &'static str, value: u64| headers.insert(name, HeaderValue::from(value));
    put("ratelimit-limit", u64::try_from(state.limit).unwrap_or(u64::MAX));
    put("ratelimit-remaining", u64::try_from(remaining).unwrap_or(u64::MAX));
    put("ratelimit-reset", (time::real() + state.reset_in).as_secs());
    if let Some(seconds) = reply.retry_after {
        put("retry-after", seconds);
    }
    let id = HeaderValue::from_str(&format!("fake-{number}")).expect("a header");
    headers.insert("x-request-id", id);
    response
}
