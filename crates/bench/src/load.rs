//! The load: sessions that call one after the other for a fixed time, and what came of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hop::address::Address;
use hop::pool::Pool;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};

use crate::processes;

/// Long enough that a figure repeats within a few percent.
pub(crate) const TIME: Duration = Duration::from_secs(4);
pub(crate) const WARM_UP: Duration = Duration::from_millis(700);
/// The text that goes there and must come back.
pub(crate) const MESSAGE: &str = "hello from the other side";

/// Where calls go and what they carry.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    /// Further headers of each request.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What came of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU of the watched processes, per call.
    pub(crate) cpu_us: f64,
}

/// Calls `target` from `sessions` sessions at once and watches the CPU of `pids`.
pub(crate) async fn run(target: &Target, sessions: usize, pids: &[u32]) -> anyhow::Result<Figures> {
    let start = Instant::now() + WARM_UP;
    let tasks: Vec<_> = (0..sessions).map(|_| tokio::spawn(session(target.clone(), start))).collect();
    tokio::time::sleep_until(start.into()).await;
    let before = processes::cpu(pids);
    tokio::time::sleep(TIME).await;
    let cpu = processes::cpu(pids).saturating_sub(before);
    let mut latencies = vec![];
    for task in tasks {
        latencies.extend(task.await??);
    }
    figures(latencies, cpu, TIME)
}

/// Sums up the latencies of the calls that were made in `time`.
pub(crate) fn figures(
    mut latencies: Vec<Duration>,
    cpu: Duration,
    time: Duration,
) -> anyhow::Result<Figures> {
    latencies.sort_unstable();
    let count = u32::try_from(latencies.len())?;
    let at = |share: usize| latencies.get(latencies.len() * share / 100).map(Duration::as_secs_f64);
    Ok(Figures {
        per_second: f64::from(count) / time.as_secs_f64(),
        p50_us: at(50).context("no call was answered")? * 1e6,
        p99_us: at(99).context("no call was answered")? * 1e6,
        cpu_us: cpu.as_secs_f64() * 1e6 / f64::from(count),
    })
}

/// From when to when latencies count.
fn window(start: Instant) -> (Instant, Instant) {
    (start, start + TIME)
}

async fn session(target: Target, start: Instant) -> anyhow::Result<Vec<Duration>> {
    let pool = Pool::new();
    // References know no sessions; whoever wants to know who calls does.
    let has_sessions = target.token.is_some() || !target.headers.is_empty();
    let session = if has_sessions { Some(open(&pool, &target).await?) } else { None };
    let (from, until) = window(start);
    let mut latencies = vec![];
    let mut id = 0_u64;
    loop {
        id += 1;
        let begun = Instant::now();
        if until <= begun {
            return Ok(latencies);
        }
        let body = call(id, "echo", MESSAGE, "");
        let answer = post(&pool, &target, session.as_ref(), body).await?.1;
        if !contains(&answer, MESSAGE.as_bytes()) {
            bail!("a wrong answer: {}", String::from_utf8_lossy(&answer));
        }
        if from <= begun {
            latencies.push(begun.elapsed());
        }
    }
}

/// The measured call. `meta` is a further member of `params`, with a comma behind it, or nothing.
pub(crate) fn call(id: u64, tool: &str, text: &str, meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{meta}"name":"{tool}","arguments":{{"message":"{text}"}}}}}}"#
    )
}

/// The message that opens a session.
pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"0"}}}"#;
/// The message after it.
pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

async fn open(pool: &Pool<Full<Bytes>>, target: &Target) -> anyhow::Result<HeaderValue> {
    let (session, answer) = post(pool, target, None, INITIALIZE.to_owned()).await?;
    let session = session.with_context(|| format!("no session: {}", String::from_utf8_lossy(&answer)))?;
    post(pool, target, Some(&session), INITIALIZED.to_owned()).await?;
    Ok(session)
}

async fn post(
    pool: &Pool<Full<Bytes>>,
    target: &Target,
    session: Option<&HeaderValue>,
    body: String,
) -> anyhow::Result<(Option<HeaderValue>, Bytes)> {
    let mut request = Request::post(&target.path)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    if let Some(token) = &target.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    for (name, value) in &target.headers {
        request = request.header(*name, value);
    }
    if let Some(session) = session {
        request = request.header("mcp-session-id", session);
    }
    let response = pool.send(&target.address, request.body(Full::new(Bytes::from(body)))?).await?;
    let session = response.headers().get("mcp-session-id").cloned();
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&answer));
    }
    Ok((session, answer))
}

/// Whether `needle` occurs in `haystack`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}
