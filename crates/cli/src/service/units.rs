//! The two unit files, and writing them.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::{SERVICE, SOCKET};
use crate::args::{InstallArgs, PackagesChoice};
use crate::error::{CliError, io_failure};

/// Where units of a host's own lie.
const DIRECTORY: &str = "etc/systemd/system";

/// What a service is started with that serves TLS.
const TLS: &str = "--tls";

/// What the units say.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    /// The data directory, absolute.
    pub(crate) data: &'a Path,
    /// What was asked for.
    pub(crate) args: &'a InstallArgs,
}

/// The unit files of one host.
#[derive(Debug)]
pub(crate) struct Units {
    directory: PathBuf,
}

impl Settings<'_> {
    /// Both unit files, by name.
    ///
    /// # Errors
    /// When the data directory's path cannot stand in a unit.
    pub(crate) fn files(&self) -> Result<[(&'static str, String); 2], CliError> {
        let plain =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:=?&[]~+,@".contains(c));
        let data =
            self.data.to_str().filter(|data| data.starts_with('/') && plain(data)).ok_or_else(|| {
                CliError::usage("the data directory of a service is an absolute path without spaces or signs")
                    .with_hint("take `--data /var/lib/berth`")
            })?;
        if self.args.control_url.as_deref().is_some_and(|url| !plain(url)) {
            return Err(CliError::usage("`--control-url` is no plain address"));
        }
        Ok([(SERVICE, self.service(data)), (SOCKET, self.socket(data))])
    }

    fn service(&self, data: &str) -> String {
        let args = self.args;
        let runtime = args.runtime.to_possible_value();
        let mut command = format!(
            "/usr/local/bin/berth dtma --service --data {data} --listen {} --runtime {} --cleanup-at {}",
            args.listen,
            runtime.as_ref().map_or("auto", |value| value.get_name()),
            args.cleanup_at
        );
        if args.packages == PackagesChoice::FromControl {
            command.push_str(" --packages from-control");
        }
        if args.insecure_http {
            command.push_str(" --insecure-http");
        }
        if args.tls {
            command.push(' ');
            command.push_str(TLS);
        }
        if let Some(url) = &args.control_url {
            command.push_str(" --control-url ");
            command.push_str(url);
        }
        if args.tunnel {
            command.push_str(" --tunnel");
        }
        format!(
            "# Written by `berth dtma install`, which writes it anew.
[Unit]
Description=Berth host agent (DTMA)
Requires={SOCKET}
After={SOCKET} network-online.target docker.service
Wants=network-online.target
# A host that is not enrolled yet has nothing to serve.
ConditionPathExists={data}/dtma/token
# It is started again for ever: a service that is given up would close its socket.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={command}
Restart=always
RestartSec=1
TimeoutStartSec=60
TimeoutStopSec=30
WatchdogSec=60
# Shims run in scopes of {slice}, so what is left here when it ends are installs, which begin anew.
KillMode=mixed
UMask=0077
# Where the logins of registries lie.
Environment=HOME=/root
LimitNOFILE=65536
TasksMax=infinity
# It makes namespaces, users' files and containers, so it stays root; what it never does is taken away.
NoNewPrivileges=yes
ProtectSystem=full
ReadWritePaths=-/usr/local/lib/berth
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
RestrictRealtime=yes
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_TIME CAP_SYS_BOOT CAP_SYS_RAWIO CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_WAKE_ALARM

[Install]
WantedBy=multi-user.target
",
            slice = super::SLICE,
        )
    }

    fn socket(&self, data: &str) -> String {
        format!(
            "# Written by `berth dtma install`, which writes it anew.
[Unit]
Description=Berth host agent (DTMA), its address
ConditionPathExists={data}/dtma/token

[Socket]
ListenStream={}
FileDescriptorName=berth-dtma
Backlog=4096
NoDelay=yes
# However often the service is started again, the address stays.
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
",
            self.args.listen
        )
    }
}

impl Units {
    /// The units of the host whose file system begins at `root`.
    pub(crate) fn below(root: &Path) -> Self {
        Self { directory: root.join(DIRECTORY) }
    }

    /// Writes what differs, each file whole or not at all; whether anything did.
    pub(crate) fn write(&self, files: &[(&'static str, String)]) -> Result<bool, CliError> {
        fs::create_dir_all(&self.directory)
            .map_err(|e| io_failure("make the directory", &self.directory, e))?;
        let mut changed = false;
        for (name, text) in files {
            let path = self.directory.join(name);
            if fs::read_to_string(&path).is_ok_and(|found| found == *text) {
                continue;
            }
            changed = true;
            self.replace(&path, text).map_err(|e| io_failure("write", &path, e))?;
        }
        Ok(changed)
    }

    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.as_file().sync_all()?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Enables both without systemd's help, for a host that does not run.
    pub(crate) fn link(&self) -> Result<(), CliError> {
        for (unit, target) in [(SERVICE, "multi-user.target.wants"), (SOCKET, "sockets.target.wants")] {
            let wants = self.directory.join(target);
            fs::create_dir_all(&wants).map_err(|e| io_failure("make the directory", &wants, e))?;
            let link = wants.join(unit);
            match std::os::unix::fs::symlink(Path::new("/").join(DIRECTORY).join(unit), &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(io_failure("make the link", &link, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes both; whether any was there.
    pub(crate) fn remove(&self) -> Result<bool, CliError> {
        let mut any = false;
        for unit in [SERVICE, SOCKET] {
            let path = self.directory.join(unit);
            match fs::remove_file(&path) {
                Ok(()) => any = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_failure("remove", &path, error)),
            }
        }
        Ok(any)
    }

    /// Where the service listens and, when it serves TLS there, its data directory; `None` when it is not installed.
    pub(crate) fn listens(&self) -> Option<(SocketAddr, Option<PathBuf>)> {
        let address = listen_address(&self.read(SOCKET)?)?;
        let service = self.read(SERVICE)?;
        let command = service.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
        let words: Vec<&str> = command.split(' ').collect();
        let data = words.iter().position(|word| *word == "--data").and_then(|at| words.get(at + 1));
        Some((address, data.filter(|_| words.contains(&TLS)).map(PathBuf::from)))
    }

    /// A unit's text; `None` when it is not there.
    pub(crate) fn read(&self, unit: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(unit)).ok()
    }
}

/// The address in a socket unit.
fn listen_address(socket: &str) -> Option<SocketAddr> {
    socket.lines().find_map(|line| line.strip_prefix("ListenStream="))?.trim().parse().ok()
}
