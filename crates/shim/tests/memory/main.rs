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

use bytes::Bytes;
use domain::shim::MAX_MESSAGE;
use harness::{Shim, proper};
use http::Method;
use http_body_util::BodyExt as _;
use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait as _};

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Whether a call costs what it may: `size` is that of the larger of its two messages.
async fn check(shim: &Shim, session: &str, what: &str, accept: &str, request: String, size: usize) -> bool {
    let mut headers = proper(session);
    headers.retain(|(name, _)| *name != "accept");
    headers.push(("accept", accept));
    let request = Bytes::from(request.into_bytes());
    MEMORY.reset_peak_memory();
    let response = shim.send(Method::POST, "/mcp", &headers, request.clone()).await;
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
    assert!(size < len + request.len(), "{what}: only {len} bytes came");
    assert!(size <= peak, "what was to be counted was not: {what}");
    peak * 10 <= size * 22
}

#[tokio::test]
async fn a_large_call_costs_little_more_than_twice_its_size() {
    let (shim, session) = Shim::with_session("").await;
    let mut holds = true;
    let text = |size: usize| "x".repeat(size);
    for size in [9 << 20, 15 << 20, MAX_MESSAGE - 1024] {
        for accept in ["application/json", "text/event-stream", "application/json, text/event-stream"] {
            let call = |method: &str, params: &str| {
                format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}","params":{{{params}}}}}"#)
            };
            let about = |what: &str| format!("{what} of {} MiB as {accept}", size >> 20);
            let echo = call("echo", &format!(r#""text":"{}""#, text(size)));
            holds &= check(&shim, &session, &about("an echo"), accept, echo, size).await;
            let script = call("script", &format!(r#""sizes":[{size}]"#));
            holds &= check(&shim, &session, &about("an answer"), accept, script, size).await;
            let progress = r#"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":$TOKEN,\"progress\":1}}\n"#;
            let script = call(
                "script",
                &format!(r#""_meta":{{"progressToken":1}},"lines":["{progress}"],"sizes":[{size}]"#),
            );
            holds &= check(&shim, &session, &about("an answer after progress"), accept, script, size).await;
        }
    }
    assert!(holds, "a call costs more than 2.2 times its size; which is above");
    shim.stop().await;
}
