//! Whether others can reach the control plane: asked before anything is made for a host that could not report.

use std::time::Duration;

use api::server::Server;
use hop::tls::Pin;

use super::enrol::is_loopback;
use crate::client::{Client, http_client, innermost};
use crate::error::CliError;

/// How long the public address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done to set it right.
const HINT: &str = "start it with `--https-listen` on an address that hosts reach and `--public-url` as they see it; \
                    `--no-check` goes on where only this machine cannot reach it";

/// Which host is to be told the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// One that is there. It may be this machine itself, for a try.
    Host,
    /// One that is ordered, and paid for whether it can report or not.
    Order,
}

/// Asks the public address, unless this command came over it.
///
/// # Errors
/// When this Berth does not answer there, with what to do.
pub(super) async fn check(whom: For, client: &Client) -> Result<(), CliError> {
    let server: Server = client.get("/server").await?;
    let url = &server.public_url;
    if is_loopback(url) && whom == For::Order {
        return Err(CliError::failed(format!(
            "the machine would be told {url}, which is the control plane's machine alone"
        ))
        .with_hint(HINT));
    }
    if *url == client.settings().url || is_loopback(url) {
        return Ok(());
    }
    let pin: Option<Pin> = server.tls_pin.as_deref().and_then(|pin| pin.parse().ok());
    let asked = http_client(url, pin)?.get(format!("{url}/healthz")).timeout(PATIENCE).send().await;
    let why = match asked {
        Ok(answer) if answer.status().is_success() => return Ok(()),
        Ok(answer) => format!("it answered {}", answer.status()),
        Err(error) => innermost(&error.without_url()),
    };
    Err(CliError::failed(format!("hosts would be told {url}, and this Berth does not answer there: {why}"))
        .with_hint(HINT))
}
