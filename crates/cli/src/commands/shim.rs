//! `berth shim`: the process beside one MCP server. The DTMA starts it, with its configuration on standard input.

use std::io::Read as _;

use domain::shim::ShimConfig;

use crate::error::CliError;

/// Serves until it is told to stop.
pub(crate) async fn run() -> Result<(), CliError> {
    let mut text = Vec::new();
    std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|e| CliError::because("cannot read the configuration on standard input", e))?;
    // The parser's message may hold a piece of the text, and with it a secret: only the place is told.
    let config: ShimConfig = serde_json::from_slice(&text).map_err(|e| {
        CliError::usage(format!(
            "standard input holds no configuration of a shim (line {}, column {}); the DTMA starts shims",
            e.line(),
            e.column()
        ))
    })?;
    drop(text);
    shim::run(config).await.map_err(|e| CliError::because("the shim ended", e))
}
