//! `berth dtma upgrade`: another binary for the service, while it serves.

use std::time::Duration;

use crate::args::UpgradeArgs;
use crate::commands::child::reachable;
use crate::error::CliError;
use crate::output::Output;
use crate::service::{self, Programs, SERVICE, SOCKET, Units};

/// Replaces it, or leaves or brings back the one before.
pub(crate) fn run(args: &UpgradeArgs, output: Output) -> Result<(), CliError> {
    check_host()?;
    let root = std::path::Path::new("/");
    let programs = Programs::below(root);
    let listen = Units::below(root).read(SOCKET).as_deref().and_then(service::listen_address);
    let (Some(before), Some(listen)) = (programs.current(), listen) else {
        return Err(CliError::failed(format!("`{SERVICE}` is not installed on this host"))
            .with_hint("`berth dtma install` installs it"));
    };
    let new = programs.place(&args.file)?;
    if new == before {
        output.say("this binary is the service's already");
        return Ok(());
    }
    let version = match service::check_version(&programs.path(&new)) {
        Ok(version) => version,
        Err(error) => {
            programs.discard(&new)?;
            return Err(error);
        }
    };
    let within = Duration::from_secs(args.within);
    service::switch(&programs, (&new, &before), reachable(listen), within, output)?;
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
