//! The root file system of the machines that tests boot: Debian as it is, with systemd, cloud-init, Docker and Node.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::{parts, run};

/// The suite of Debian that it is made of.
const SUITE: &str = "trixie";
/// What is in it beside the least.
const PACKAGES: &str = "systemd-sysv,dbus,cloud-init,iproute2,ca-certificates,curl,docker.io,docker-cli,iptables,nftables,procps,nodejs,python3-pip";
/// What no test reads.
const LEFT_OUT: [&str; 3] = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];
/// What makes it boot in a container.
const HOOK: &str = include_str!("machine.sh");

/// Makes it when it was not made, or was made otherwise; the archive's path.
pub(crate) fn make() -> anyhow::Result<PathBuf> {
    let dir = run::root().join("target/machine");
    let (archive, stamp) = (dir.join("root.tar"), dir.join("made"));
    let wanted = format!("{SUITE} {PACKAGES} {LEFT_OUT:?}\n{HOOK}");
    if archive.exists() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(archive);
    }
    parts::install_for_machines()?;
    eprintln!("making a machine in {} (some minutes, once)", dir.display());
    std::fs::create_dir_all(&dir).context("target/machine cannot be made")?;
    let draft = dir.join("draft.tar");
    let mut command = run::command("mmdebstrap", &["--quiet", "--variant=minbase"]);
    command.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(format!("--include={PACKAGES}"));
    command.arg(format!("--customize-hook={}", run::root().join("xtask/src/machine.sh").display()));
    command.arg(SUITE).arg(&draft);
    run::run(command)?;
    std::fs::rename(&draft, &archive)?;
    std::fs::write(stamp, wanted)?;
    Ok(archive)
}
