//! `berth shim`: the process beside one MCP server. The DTMA starts it, with its configuration on standard input.

use shim::ShimError;

use crate::error::CliError;

/// Serves until it is told to stop. It has a runtime and a log of its own: there are many shims, so each is small.
pub(crate) fn run() -> Result<(), CliError> {
    shim::read_config(std::io::stdin().lock()).and_then(shim::start).map_err(|error| match error {
        ShimError::Config { .. } => {
            CliError::usage(error.to_string()).with_hint("shims are started by the DTMA, not by people")
        }
        error => CliError::because("the shim ended", error),
    })
}
