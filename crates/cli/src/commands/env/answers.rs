//! Whether others can reach the control plane: asked before anything is made for a host that could not report.

use std::time::Duration;

use api::server::Server;
use hop::tls::Pin;

use super::enrol::is_loopback;
use crate::client::{Client, http_client, innermost};
use crate::error::CliError;

/// How long the public address may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// As [`check`], for a machine that is certainly another one.
///
/// # Errors
/// As [`check`], and when the public address is this machine's alone.
pub(super) async fn check_elsewhere(client: &Client) -> Result<(), CliError> {
    let server: Server = client.get("/server").await?;
    if is_loopback(&server.public_url) {
        let message = format!("a droplet would be told {}, which is this machine alone", server.public_url);
        return Err(CliError::failed(message).with_hint(
            "nothing was made: start the control plane with `--https-listen` on an address that others reach, and \
             with `--public-url` where they see another one",
        ));
    }
    check(client).await
}

/// Asks the public address, unless this command came over it, or it is one that is only for tries on one machine.
///
/// # Errors
/// When this Berth does not answer there, with what to do.
pub(super) async fn check(client: &Client) -> Result<(), CliError> {
    let server: Server = client.get("/server").await?;
    let url = &server.public_url;
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
        .with_hint(
            "start it with `--https-listen` on an address that hosts reach and `--public-url` as they see it; \
             `--no-check` goes on where only this machine cannot reach it",
        ))
}
