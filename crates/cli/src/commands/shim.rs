//! `berth shim`: the process beside one MCP server. The DTMA starts it, with its configuration on standard input, or, in a
//! container, from a socket: what comes over either is on no command line, on no disk and in nobody's listing.

use std::os::unix::net::UnixStream;

use shim::ShimError;

use crate::args::ShimArgs;
use crate::error::{CliError, io_failure};

/// Serves until it is told to stop. It has a runtime and a log of its own: there are many shims, so each is small.
pub(crate) fn run(args: &ShimArgs) -> Result<(), CliError> {
    let config = match &args.config_socket {
        None => shim::read_config(std::io::stdin().lock()),
        Some(path) => {
            let socket =
                UnixStream::connect(path).map_err(|e| io_failure("get the configuration from", path, e))?;
            let config = shim::read_config(socket);
            // It is over. The DTMA removes it too, unless it was killed between; there is nothing to do about one that stays.
            let _ = std::fs::remove_file(path);
            config
        }
    };
    if config.as_ref().is_ok_and(|config| config.filter) {
        // Before there is any thread: a filter is on the thread that puts it on and on those that it starts.
        runtime::sandbox::restrict_calls()
            .map_err(|e| CliError::because("the system call filter cannot be put on", e))?;
    }
    let started = config.and_then(|config| shim::start(config, runtime::memory::keep_giving_back()));
    started.map_err(|error| match error {
        ShimError::Config { .. } => {
            CliError::usage(error.to_string()).with_hint("shims are started by the DTMA, not by people")
        }
        error => CliError::because("the shim ended", error),
    })
}
