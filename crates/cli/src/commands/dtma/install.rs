//! `berth dtma install`: the host agent as a service of this host. Doing it again changes what differs and nothing else.

use std::path::Path;

use super::pin::own_pin;
use crate::args::{Connection, InstallArgs};
use crate::commands::child::reachable;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::output::Output;
use crate::service::{self, Place, Programs, SERVICE, SOCKET, Settings, Units, systemctl};

/// The data directory of a service.
pub(super) const DATA: &str = "/var/lib/berth";

/// Does it, or prints the units.
pub(crate) fn run(args: &InstallArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    install(args, connection, false, output)
}

/// Does it for a host that was enrolled just now: a service that runs already is started again, because it reads its token when it
/// starts.
pub(super) fn enrolled(args: &InstallArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    install(args, connection, true, output)
}

fn install(
    args: &InstallArgs,
    connection: &Connection,
    is_enrolled_anew: bool,
    output: Output,
) -> Result<(), CliError> {
    super::check_listen(args.listen, args.insecure_http || args.tls, "--listen")?;
    if args.listen.port() == 0 {
        return Err(CliError::usage("a service needs a port that stays: `--listen` has none"));
    }
    let data = connection.data.as_deref().unwrap_or(Path::new(DATA));
    let files = Settings { data, args }.files()?;
    if args.print {
        let texts: Vec<String> =
            files.iter().map(|(name, text)| format!("# /etc/systemd/system/{name}\n{text}")).collect();
        return output.data(texts.join("\n").trim_end());
    }
    let own =
        std::env::current_exe().map_err(|e| CliError::because("cannot tell which program this is", e))?;
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    let (programs, units) = (Programs::below(root), Units::below(root));
    let within_root = root.join(data.strip_prefix("/").unwrap_or(data));
    if args.root.is_some() {
        crate::data_dir::make(&within_root)?;
        programs.make_current(&programs.place(&own)?)?;
        programs.link_command()?;
        units.write(&files)?;
        units.link()?;
        output.say(&format!("`{SERVICE}` starts with the host below `{}`", root.display()));
        return Ok(());
    }
    super::upgrade::check_host()?;
    crate::data_dir::make(data)?;
    let before = programs.current();
    let new = programs.place(&own)?;
    if before.is_none() {
        programs.make_current(&new)?;
    }
    programs.link_command()?;
    let is_new_address = units.read(SOCKET).is_some_and(|found| files.iter().all(|(_, text)| *text != found));
    let changed = units.write(&files)?;
    if changed {
        systemctl(&["daemon-reload"])?;
    }
    systemctl(&["enable", "--quiet", SOCKET, SERVICE])?;
    if !data.join("dtma/token").exists() {
        programs.make_current(&new)?;
        output.say(&format!("installed; this host is not enrolled yet, so `{SERVICE}` waits"));
        output.hint(&format!(
            "once `{}` is an enrolled host's: systemctl start {SOCKET} {SERVICE}",
            data.display()
        ));
        return Ok(());
    }
    let pin = args.tls.then(|| own_pin(&DataDir::new(data))).transpose()?;
    let place = Place { address: reachable(args.listen), pin };
    if is_new_address {
        // A socket takes another address only when it is started.
        systemctl(&["stop", SOCKET, SERVICE])?;
    }
    systemctl(&["start", SOCKET])?;
    if let Some(before) = before.filter(|before| *before != new) {
        service::switch(&programs, (&new, &before), place, service::DEFAULT_LIMIT, output)?;
    } else {
        systemctl(&[if changed || is_enrolled_anew { "restart" } else { "start" }, SERVICE])?;
        service::wait_until_it_serves(&programs.path(&new), place, service::DEFAULT_LIMIT)?;
    }
    output.say(&format!("`{SERVICE}` serves on {}", args.listen));
    Ok(())
}
