//! The other side: hosts that have nothing to do but to be there.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::backoff::Backoff;
use hop::tls::Pin;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use serde_json::{Value, json};
use tokio::time::Instant;

/// As a DTMA reports.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// As long as a DTMA waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A tunnel that stood for so long was a good one.
const PROVEN: Duration = Duration::from_mins(1);
/// Between two lines of how many tunnels are open.
const TOLD: Duration = Duration::from_millis(50);

/// Runs all hosts of a file until it is killed; says how many tunnels are open, line by line.
pub(crate) async fn run(url: &str, pin: &str, file: &str) -> anyhow::Result<()> {
    crate::processes::allow_many_files()?;
    let pin: Pin = pin.parse().context("a pin")?;
    let hosts: Vec<Value> = serde_json::from_slice(&std::fs::read(file)?)?;
    let open = Arc::new(AtomicUsize::new(0));
    for (number, host) in hosts.into_iter().enumerate() {
        let (environment, token) = (host["environment"].clone(), host["token"].clone());
        let token = token.as_str().context("a token")?.to_owned();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(PATIENCE)
            // As a DTMA does, so that a heartbeat leaves no connection behind.
            .pool_max_idle_per_host(0)
            .tls_backend_preconfigured(hop::tls::client_config(Some(&pin))?)
            .build()?;
        let (tunnels, reports) = (client.clone(), client);
        let (url, open) = (url.to_owned(), Arc::clone(&open));
        let random = Random(AtomicU32::new(u32::try_from(number)? + 1));
        let first = HEARTBEAT.mul_f64(random.share());
        tokio::spawn(report(
            reports,
            format!("{url}/api/v1/dtma/heartbeat"),
            token.clone(),
            environment,
            first,
        ));
        tokio::spawn(keep(tunnels, format!("{url}/api/v1/dtma/tunnel"), token, random, open));
    }
    loop {
        println!("{}", open.load(Ordering::Relaxed));
        tokio::time::sleep(TOLD).await;
    }
}

/// Numbers that differ from host to host, and are the same in each run.
struct Random(AtomicU32);

impl Random {
    /// Between nothing and all.
    fn share(&self) -> f64 {
        let next = self.0.load(Ordering::Relaxed).wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0.store(next, Ordering::Relaxed);
        f64::from(next) / f64::from(u32::MAX)
    }

    /// Between half of a time and all of it.
    fn jittered(&self, time: Duration) -> Duration {
        time.mul_f64(f64::midpoint(self.share(), 1.0))
    }
}

/// Heartbeats of a host without instances. Hosts that were started at different times send theirs at different times.
async fn report(client: reqwest::Client, url: String, token: String, environment: Value, first: Duration) {
    tokio::time::sleep(first).await;
    for sequence in 1_u64.. {
        let body = json!({
            "environment": environment, "dtma_version": env!("CARGO_PKG_VERSION"), "sequence": sequence,
            "started_at": 1, "instances": [], "protections": [],
            "system": {
                "cpu_load_percent": 1.5, "cores": 2, "disk": null, "uptime_seconds": 9,
                "memory": { "total_bytes": 4, "active_bytes": 1, "free_bytes": 2, "used_bytes": 2 },
            },
        });
        let sent = client.post(&url).bearer_auth(&token).json(&body).timeout(PATIENCE).send().await;
        // A DTMA that was not heard tries again soon.
        let heard = sent.is_ok_and(|answer| answer.status().is_success());
        tokio::time::sleep(if heard { HEARTBEAT } else { Duration::from_secs(1) }).await;
    }
}

/// Keeps a tunnel open, as a DTMA does.
async fn keep(client: reqwest::Client, url: String, token: String, random: Random, open: Arc<AtomicUsize>) {
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let asked = client
            .get(&url)
            .bearer_auth(&token)
            .header("connection", "upgrade")
            .header("upgrade", "berth-tunnel")
            .send();
        if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, asked).await
            && answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Ok(stream) = answer.upgrade().await
        {
            open.fetch_add(1, Ordering::Relaxed);
            let nothing = service_fn(|_| async {
                let mut answer = Response::new(Full::new(Bytes::new()));
                *answer.status_mut() = StatusCode::NOT_FOUND;
                Ok::<_, Infallible>(answer)
            });
            // However it ends, it is opened again.
            let _ = hop::serve::serve_tunnel(stream, nothing, HEARTBEAT, std::future::pending()).await;
            open.fetch_sub(1, Ordering::Relaxed);
        }
        failures = if PROVEN <= begun.elapsed() { 1 } else { failures + 1 };
        tokio::time::sleep(random.jittered(Backoff::OWN.wait(failures).min(HEARTBEAT))).await;
    }
}
