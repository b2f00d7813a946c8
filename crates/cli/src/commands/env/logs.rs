//! `berth env logs`: what a machine's host agent itself says.

use super::path_of;
use crate::client::Client;
use crate::commands::{interrupts, logs};
use crate::error::CliError;
use crate::output::Output;

/// Copies the lines as they come. Ctrl-C ends following, and is no failure.
pub(super) async fn run(
    name: &str,
    follow: bool,
    tail: u32,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let mut interrupts = interrupts()?;
    let lines = client.stream(&format!("{}/log?tail={tail}&follow={follow}", path_of(name))).await?;
    logs::copy(lines, &mut interrupts, client, output).await
}
