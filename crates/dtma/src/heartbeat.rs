//! Tells the control plane what is, on a period and at once on change. When nobody answers, the host goes on alone.

use std::net::IpAddr;
use std::time::Duration;

use api::dtma::{HEARTBEAT_PATH, HeartbeatAnswer};
use domain::backoff::Backoff;
use domain::ids::EnvironmentId;
use domain::program::ProgramDigest;
use domain::secret::Secret;
use domain::status::Heartbeat;
use domain::time::Timestamp;
use hop::tls::Pin;
use reqwest::Url;
use tokio::time::Instant;

use crate::config::Config;
use crate::instance::{chain, now};
use crate::instances::Instances;
use crate::leases::Moment;
use crate::metrics::{HeartbeatLabels, Truth};
use crate::proxy::Proxy;
use crate::system::Meter;
use crate::usage::Gauge;

/// Changes that come together go out together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// The shortest time between two heartbeats that tell no more than how far an install is.
const PROGRESS_PERIOD: Duration = Duration::from_millis(500);
/// The first heartbeat waits so long for instances that were not looked at yet; a shim that hangs takes 5 s.
const FIRST_LOOK: Duration = Duration::from_secs(6);
/// A control plane that has not answered by then did not get it, or two periods where they are short.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where to report and as whom.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// The control plane's heartbeat address.
    pub(crate) url: Url,
    /// The control plane's key, when no authority knows its certificate.
    pub(crate) pin: Option<Pin>,
    /// The way out of a host that has no other.
    pub(crate) proxy: Option<Proxy>,
    /// This environment.
    pub(crate) environment: EnvironmentId,
    /// The environment's token.
    pub(crate) token: Secret,
    /// The longest time between two heartbeats.
    pub(crate) period: Duration,
    /// Measures this host.
    pub(crate) meter: Meter,
    /// Measures the instances.
    pub(crate) gauge: Gauge,
    /// The binary that this is, where it can be replaced.
    pub(crate) program: Option<ProgramDigest>,
}

impl Reporter {
    /// That of this host, as it was configured.
    pub(crate) fn of(
        config: &Config,
        url: Url,
        meter: Meter,
        gauge: Gauge,
        program: Option<ProgramDigest>,
    ) -> Self {
        Self {
            url,
            pin: config.tls_pin,
            proxy: config.proxy.clone(),
            environment: config.environment,
            token: config.token.clone(),
            period: config.heartbeat,
            meter,
            gauge,
            program,
        }
    }
}

/// The heartbeat address of a control plane.
///
/// # Errors
/// Why the text is not the address of one.
pub(crate) fn url_of(control_url: &str, pin: Option<Pin>) -> Result<Url, String> {
    place(control_url, pin, HEARTBEAT_PATH)
}

/// An address of a control plane.
///
/// # Errors
/// Why the text is not the address of one.
pub(crate) fn place(control_url: &str, pin: Option<Pin>, path: &str) -> Result<Url, String> {
    let url = Url::parse(control_url).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("it must begin with `http://` or `https://` and name a host".to_owned());
    }
    if pin.is_some() && url.scheme() != "https" {
        return Err("its key is known by a pin, so it must begin with `https://`".to_owned());
    }
    url.join(path).map_err(|error| error.to_string())
}

/// Reports until dropped.
pub(crate) async fn run(mut reporter: Reporter, instances: Instances) {
    let timeout = TIMEOUT.min(reporter.period * 2);
    // A connection is not kept between two heartbeats: it would be most of what an idle host weighs in the control plane.
    let client = match http_client(&reporter.url, reporter.pin, reporter.proxy.as_ref(), |builder| {
        builder.timeout(timeout).pool_max_idle_per_host(0)
    }) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error, "no heartbeat can be sent from this host");
            return;
        }
    };
    instances.seen(FIRST_LOOK).await;
    let started_at = now();
    let mut sequence = 0;
    let mut failures = 0;
    let mut said = String::new();
    loop {
        let sent_at = Instant::now();
        sequence += 1;
        let outcome = send(&client, &mut reporter, &instances, started_at, sequence).await;
        instances
            .shared()
            .metrics
            .heartbeats
            .get_or_create(&HeartbeatLabels { taken: Truth(outcome.is_ok()) })
            .inc();
        match outcome {
            Ok(()) => {
                if 0 < failures {
                    tracing::info!(failures, "the control plane takes heartbeats again");
                }
                failures = 0;
                let changes = &instances.shared().changes;
                let progressed = async {
                    changes.progress.notified().await;
                    tokio::time::sleep_until(sent_at + PROGRESS_PERIOD).await;
                };
                tokio::select! {
                    () = tokio::time::sleep_until(sent_at + reporter.period) => {}
                    () = progressed => {}
                    () = changes.urgent.notified() => tokio::time::sleep(DEBOUNCE).await,
                }
            }
            Err(error) => {
                failures += 1;
                // A refusal after a time of silence is news, and has another remedy.
                if failures == 1 || error != said {
                    tracing::warn!(url = %reporter.url, error, "the control plane takes no heartbeat; this host goes on alone and keeps trying");
                }
                said = error;
                // All that changed meanwhile goes out with the next one, so a change does not shorten the wait.
                tokio::time::sleep(jittered(Backoff::OWN.wait(failures).min(reporter.period))).await;
            }
        }
    }
}

async fn send(
    client: &reqwest::Client,
    reporter: &mut Reporter,
    instances: &Instances,
    started_at: Timestamp,
    sequence: u64,
) -> Result<(), String> {
    // Before anything is looked at: what is granted counts from here.
    let sent = Moment::now();
    let mut reports = instances.reports();
    reporter.gauge.fill(&mut reports).await;
    let heartbeat = Heartbeat {
        environment: reporter.environment,
        dtma_version: env!("CARGO_PKG_VERSION").to_owned(),
        sequence,
        started_at,
        instances: reports,
        system: reporter.meter.measure(),
        protections: instances.shared().runtime.protections(),
        adopt: instances.adoptions(),
        removed: instances.shared().removed.list(),
        program: reporter.program.clone(),
    };
    let response = client
        .post(reporter.url.clone())
        .bearer_auth(reporter.token.expose())
        .json(&heartbeat)
        .send()
        .await
        .map_err(|error| chain(&error.without_url()))?;
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let status = response.status();
    let answer = response.bytes().await.map_err(|error| chain(&error.without_url()))?;
    let answer = read(&answer)
        .map_err(|error| format!("it answered {status}, and not as a control plane: {error}"))?;
    instances.shared().removed.forget(&heartbeat.removed);
    instances.granted(sent, &answer.leases);
    Ok(())
}

/// What an answer says. An empty one, or one of a control plane that knows no leases, grants none. What is no answer of a control plane's,
/// such as a proxy's page, says nothing of whether the heartbeat was taken: all stays as it was granted.
fn read(answer: &[u8]) -> Result<HeartbeatAnswer, serde_json::Error> {
    if answer.is_empty() { Ok(HeartbeatAnswer::default()) } else { serde_json::from_slice(answer) }
}

/// A host without a certificate store still reaches a control plane over plain HTTP: only HTTPS fails there, when it
/// is used. With a pin nobody but who has that key is spoken to. A control plane on this machine is not asked through a proxy of the
/// environment; one that was named for Berth is always used.
pub(crate) fn http_client(
    url: &Url,
    pin: Option<Pin>,
    proxy: Option<&Proxy>,
    limits: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, String> {
    let builder = || {
        let builder = reqwest::Client::builder()
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("berth-dtma/", env!("CARGO_PKG_VERSION")));
        let builder = match proxy {
            Some(proxy) => proxy.apply(builder),
            None if is_loopback(url) => builder.no_proxy(),
            None => builder,
        };
        limits(builder)
    };
    let made = match pin {
        Some(pin) => {
            let tls = hop::tls::client_config(Some(&pin)).map_err(|error| chain(&error))?;
            builder().tls_backend_preconfigured(tls).build()
        }
        None => builder().build().or_else(|_| builder().tls_certs_only([]).build()),
    };
    made.map_err(|error| chain(&error))
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Between half of a time and all of it, so that hosts that lost one control plane do not return as one.
pub(crate) fn jittered(time: Duration) -> Duration {
    // Without random bytes the full time is as good.
    time.mul_f64(getrandom::u32().map_or(1.0, |random| 0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |given: &str, expected: Result<&str, ()>| {
            let url = url_of(given, None);
            assert_eq!(url.as_ref().map(Url::as_str).map_err(|_| ()), expected, "{given}: {url:?}");
        };
        check("http://127.0.0.1:8420", Ok("http://127.0.0.1:8420/api/v1/dtma/heartbeat"));
        check("https://berth.example/", Ok("https://berth.example/api/v1/dtma/heartbeat"));
        check("127.0.0.1:8420", Err(()));
        check("unix:/x", Err(()));
        check("", Err(()));
    }

    #[test]
    fn answers() {
        let check = |given: &str, expected: Option<usize>| {
            let read = read(given.as_bytes());
            assert_eq!(read.as_ref().map(|answer| answer.leases.len()).ok(), expected, "{given}: {read:?}");
        };
        check("", Some(0));
        check("{}", Some(0));
        check(r#"{"leases":["01890a5d-ac96-774b-bcce-b302099a8057"],"later":1}"#, Some(1));
        check("<html>Welcome</html>", None);
        check(r#"{"leases":"all"}"#, None);
        check(r#"{"leases":["#, None);
    }

    #[test]
    fn loopback() {
        for (url, expected) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost:1", true),
            ("http://10.0.0.1:1", false),
            ("http://localhost.example", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn jitter_stays_in_bounds() {
        for _ in 0..100 {
            let time = jittered(Duration::from_secs(4));
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&time), "{time:?}");
        }
    }
}
