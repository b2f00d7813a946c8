//! `berth env check`: what a machine's host agent finds there, with what to do.

use api::dtma::Check;

use super::path_of;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Asks the machine, and says what was found.
pub(super) async fn run(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let checks: Vec<Check> = client.get(&format!("{}/checks", path_of(name))).await?;
    show(&checks, &format!("keeps `{name}` from being what it should"), output)
}

/// Prints checks; what fails is an error: so many things, and what `they` do.
pub(crate) fn show(checks: &[Check], they: &str, output: Output) -> Result<(), CliError> {
    if output.json() {
        output.document(&checks)?;
    } else {
        let lines: Vec<String> = checks.iter().map(ToString::to_string).collect();
        output.data(&lines.join("\n"))?;
    }
    match checks.iter().filter(|check| check.is_failed()).count() {
        0 => Ok(()),
        1 => Err(CliError::failed(format!("one thing {they}"))),
        failed => Err(CliError::failed(format!("{failed} things {}", they.replacen("keeps", "keep", 1)))),
    }
}
