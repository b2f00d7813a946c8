//! What a large call costs a shim: at no time more than 2.2 times the size of its message, above what it holds anyway.
//!
//! A program of its own, because it counts what all of it allocates: the shim, which runs in it, and its client, which
//! holds the request from before the counting begins and keeps nothing of the answer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail as its assertions do, and say what they saw"
)]

#[path = "../it/harness.rs"]
#[expect(dead_code, reason = "the tests of what a shim does use the rest")]
mod harness;

use std::alloc::System;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::shim::MAX_MESSAGE;
use harness::{Shim, proper};
use hop::pool::Pool;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};
use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait as _};

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Who takes events only does not announce a length either, so that both kinds of body are seen.
const EVENTS: &str = "text/event-stream";

/// A request's body in pieces as they come from a network, its length announced or not.
struct Pieces {
    rest: Bytes,
    is_announced: bool,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let len = self.rest.len().min(64 << 10);
        let piece = self.rest.split_to(len);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_announced { SizeHint::with_exact(self.rest.len() as u64) } else { SizeHint::new() }
    }
}

/// Whether a call costs what it may: `size` is that of the larger of its two messages.
async fn check(
    pool: &Pool<Pieces>,
    shim: &Shim,
    session: &str,
    what: &str,
    accept: &str,
    request: String,
    size: usize,
) -> bool {
    let mut headers = proper(session);
    headers.retain(|(name, _)| *name != "accept");
    headers.push(("accept", accept));
    let rest = Bytes::from(request.into_bytes());
    // Held to the end: what was there before the counting began must not be freed within it.
    let held = rest.clone();
    let mut request = Request::post("/mcp");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Pieces { rest, is_announced: accept != EVENTS }).unwrap();
    MEMORY.reset_peak_memory();
    let response = pool.send(&shim.address, request).await.unwrap();
    assert_eq!(response.status(), 200, "{what}");
    let (mut body, mut len, mut last) = (response.into_body(), 0, Bytes::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.unwrap().into_data() else { continue };
        len += data.len();
        last = Bytes::copy_from_slice(&data[data.len().saturating_sub(8)..]);
    }
    let peak = MEMORY.get_peak_memory();
    eprintln!("{what}: {peak} of {size}, {} hundredths", peak * 100 / size);
    assert!(
        last.trim_ascii_end().ends_with(b"\"}") || last.trim_ascii_end().ends_with(b"}}"),
        "{what}: {last:?}"
    );
    assert!(size < len + held.len(), "{what}: only {len} bytes came");
    assert!(size <= peak, "what was to be counted was not: {what}");
    peak * 10 <= size * 22
}

#[tokio::test]
async fn a_large_call_costs_little_more_than_twice_its_size() {
    let (shim, session) = Shim::with_session("").await;
    let (pool, mut holds) = (Pool::new(), true);
    let text = |size: usize| "x".repeat(size);
    for size in [9 << 20, 15 << 20, MAX_MESSAGE - 1024] {
        for accept in ["application/json", EVENTS, "application/json, text/event-stream"] {
            let call = |method: &str, params: &str| {
                format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{{{params}}}}}"#)
            };
            let about = |what: &str| format!("{what} of {} MiB as {accept}", size >> 20);
            let echo = call("echo", &format!(r#""text":"{}""#, text(size)));
            holds &= check(&pool, &shim, &session, &about("an echo"), accept, echo, size).await;
            let script = call("script", &format!(r#""sizes":[{size}]"#));
            holds &= check(&pool, &shim, &session, &about("an answer"), accept, script, size).await;
            let progress = r#"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$TOKEN,\"progress\":1}}\n"#;
            let script = call(
                "script",
                &format!(r#""_meta":{{"progressToken":1}},"lines":["{progress}"],"sizes":[{size}]"#),
            );
            holds &=
                check(&pool, &shim, &session, &about("an answer after progress"), accept, script, size).await;
        }
    }
    assert!(holds, "a call costs more than 2.2 times its size; which is above");
    shim.stop().await;
}
