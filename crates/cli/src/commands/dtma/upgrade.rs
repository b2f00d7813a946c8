//! `berth dtma upgrade`: another binary for the service, while it serves.

use std::time::Duration;

use api::dtma::UpgradeOutcome;

use super::pin::own_pin;
use crate::args::UpgradeArgs;
use crate::commands::child::reachable;
use crate::data_dir::{self, DataDir};
use crate::error::CliError;
use crate::output::Output;
use crate::service::{self, Place, Programs, SERVICE, Units};

/// Replaces it, or leaves or brings back the one before. The host agent that asked finds in a file what became of it.
pub(crate) fn run(args: &UpgradeArgs, output: Output) -> Result<(), CliError> {
    let done = replace(args, output);
    if let (Some(file), Some(attempt)) = (&args.outcome, args.attempt) {
        let failure = done.as_ref().err().map(ToString::to_string);
        let text = serde_json::to_string(&UpgradeOutcome { attempt, failure })
            .map_err(|e| CliError::because("cannot write what became of it", e))?;
        data_dir::write_private(file, &text)?;
    }
    done
}

fn replace(args: &UpgradeArgs, output: Output) -> Result<(), CliError> {
    check_host()?;
    let root = std::path::Path::new("/");
    let programs = Programs::below(root);
    let (Some(before), Some((listen, data))) = (programs.current(), Units::below(root).listens()) else {
        return Err(CliError::failed(format!("`{SERVICE}` is not installed on this host"))
            .with_hint("`berth dtma install` installs it"));
    };
    let pin = data.map(|data| own_pin(&DataDir::new(&data))).transpose()?;
    let place = Place { address: reachable(listen), pin };
    let new = programs.place(&args.file)?;
    if new == before {
        output.say("this binary is the service's already");
        return Ok(());
    }
    // One that does not start stays for the next cleanup: it may be one that something runs of.
    let version = service::check_version(&programs.path(&new))?;
    let within = Duration::from_secs(args.within);
    service::switch(&programs, (&new, &before), place, within, output)?;
    output
        .say(&format!("`{SERVICE}` runs version {version} ({new}); running instances were left as they are"));
    Ok(())
}

/// Whether a service can be had here.
pub(super) fn check_host() -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::usage("only root can change the services of this host"));
    }
    if service::has_systemd() {
        return Ok(());
    }
    Err(CliError::failed("this host is not run by systemd")
        .with_hint("`berth dtma` runs under any other supervisor as well"))
}
