//! The way to a host that nobody can dial: it opens a connection to the control plane and serves its own API on it, over
//! HTTP/2 with the roles swapped. Lost, it is opened again.

use std::time::Duration;

use api::dtma::{TUNNEL_PATH, TUNNEL_PROTOCOL};
use domain::backoff::Backoff;
use domain::secret::Secret;
use hop::tls::Pin;
use reqwest::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use reqwest::{StatusCode, Url};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::heartbeat::{self, jittered};
use crate::http::Front;
use crate::instance::chain;
use crate::proxy::Proxy;

/// One that was open for so long has done its work: the next is opened soon.
const PROVEN: Duration = Duration::from_mins(1);

/// The tunnel's address at a control plane.
///
/// # Errors
/// Why the text is not the address of one.
pub(crate) fn url_of(control_url: &str, pin: Option<Pin>) -> Result<Url, String> {
    heartbeat::place(control_url, pin, TUNNEL_PATH)
}

/// A control plane that has not answered by then did not get it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Keeps a tunnel open until `stop`; then lets what is under way finish. One on which nothing comes for `quiet` is asked for a
/// sign of life, and given up when none comes.
pub(crate) async fn run(
    url: Url,
    (pin, proxy): (Option<Pin>, Option<Proxy>),
    token: Secret,
    quiet: Duration,
    front: Front,
    stop: CancellationToken,
) {
    // An upgraded connection has no end, so there is no time limit on the whole of it.
    let client = match heartbeat::http_client(&url, pin, proxy.as_ref(), |builder| {
        builder.connect_timeout(PATIENCE)
    }) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(error, "no tunnel can be opened from this host");
            return;
        }
    };
    let mut failures = 0;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let outcome = match open(&client, &url, &token).await {
            Ok((stream, within)) => {
                tracing::info!(%url, ?within, "the tunnel is open");
                let (front, stop) = (front.clone(), stop.cancelled());
                let served = match within {
                    Within::Upgrade => hop::serve::serve_tunnel(stream, front, quiet, stop).await,
                    Within::WebSocket => {
                        let stream = hop::websocket::client(stream).await;
                        hop::serve::serve_tunnel(stream, front, quiet, stop).await
                    }
                };
                served.map_err(|e| chain(&e))
            }
            Err(error) => Err(error),
        };
        if stop.is_cancelled() {
            return;
        }
        failures = if PROVEN <= begun.elapsed() { 1 } else { failures + 1 };
        let error = outcome.err().unwrap_or_else(|| "the control plane ended it".to_owned());
        if failures == 1 {
            tracing::warn!(%url, error, "there is no tunnel; this host goes on alone and keeps trying");
        } else {
            tracing::debug!(%url, error, failures, "there is no tunnel yet");
        }
        tokio::select! {
            () = tokio::time::sleep(jittered(Backoff::OWN.wait(failures).min(quiet))) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What a tunnel's bytes pass in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Upgrade,
    WebSocket,
}

/// Opens one, in a WebSocket where a proxy between lets nothing else through.
async fn open(
    client: &reqwest::Client,
    url: &Url,
    token: &Secret,
) -> Result<(reqwest::Upgraded, Within), String> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(TUNNEL_PROTOCOL));
    let first = ask(client, url, token, headers).await?;
    if first.status() == StatusCode::SWITCHING_PROTOCOLS {
        let stream = first.upgrade().await.map_err(|error| chain(&error.without_url()))?;
        return Ok((stream, Within::Upgrade));
    }
    // The control plane's own word: asked otherwise it says no other.
    let is_own =
        matches!(first.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT);
    if is_own {
        return Err(format!("it answered {} and opens none", first.status()));
    }
    let (headers, expected) = hop::websocket::ask();
    let second = ask(client, url, token, headers).await?;
    if second.status() == StatusCode::SWITCHING_PROTOCOLS
        && hop::websocket::is_accepted(second.headers(), &expected)
    {
        let stream = second.upgrade().await.map_err(|error| chain(&error.without_url()))?;
        return Ok((stream, Within::WebSocket));
    }
    Err(format!(
        "it answered {} and opens none, and {} to a WebSocket; is a proxy between that passes neither `Upgrade: {TUNNEL_PROTOCOL}` nor \
         `Upgrade: websocket`?",
        first.status(),
        second.status()
    ))
}

async fn ask(
    client: &reqwest::Client,
    url: &Url,
    token: &Secret,
    headers: HeaderMap,
) -> Result<reqwest::Response, String> {
    let request = client.get(url.clone()).bearer_auth(token.expose()).headers(headers);
    tokio::time::timeout(PATIENCE, request.send())
        .await
        .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| chain(&error.without_url()))
}
