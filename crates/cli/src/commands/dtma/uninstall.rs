//! `berth dtma uninstall`: no service any more. What it ran and what it stored is not its own to remove.

use std::path::Path;

use crate::error::CliError;
use crate::output::Output;
use crate::service::{Programs, SERVICE, SLICE, SOCKET, Units, systemctl};

/// Stops and removes it, and says what stays.
pub(crate) fn run(output: Output) -> Result<(), CliError> {
    super::upgrade::check_host()?;
    let (programs, units) = (Programs::below(Path::new("/")), Units::below(Path::new("/")));
    let service = units.read(SERVICE).unwrap_or_default();
    if units.read(SOCKET).is_some() || !service.is_empty() {
        systemctl(&["disable", "--quiet", "--now", SOCKET, SERVICE])?;
    }
    if !units.remove()? {
        output.say("there is no service of Berth's on this host");
        return Ok(());
    }
    systemctl(&["daemon-reload"])?;
    programs.unlink_command()?;
    output.say("the service is gone");
    let data = service.split(" --data ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("its data");
    output.hint(&format!(
        "running instances stay until `systemctl stop {SLICE}`, containers until they are removed; `{data}` and \
         `/usr/local/lib/berth` are for you to remove"
    ));
    Ok(())
}
