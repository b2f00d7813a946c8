//! What one sandboxed program may have: the document on the helper's command line. It holds no secret.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Everything the helper enforces. What is listed is enforced or the program is not started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What the probe found this host to grant.
    pub enforce: Enforce,
    /// The user (and group) to become; only root can.
    pub uid: Option<u32>,
    /// Files and directories to read and execute.
    pub read: Vec<PathBuf>,
    /// Directories to read, write and execute.
    pub write: Vec<PathBuf>,
    /// Small files that only Berth's user can read and the program must: copied into its root.
    pub copy: Vec<PathBuf>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Resource limits.
    pub limits: ResourceLimits,
    /// Whether it has a network of its own, with nothing in it but its loopback address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_network: bool,
}

/// The protections of one host, as the probe found them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent answer of the kernel")]
pub struct Enforce {
    /// A user namespace gives an ordinary user the right to make the others.
    pub user_namespace: bool,
    /// A root of its own that holds the allow-list and nothing else; with it come own IPC objects and host name.
    pub mount_namespace: bool,
    /// A process tree of its own, which dies as a whole.
    pub pid_namespace: bool,
    /// A user of its own for each instance.
    pub own_uid: bool,
    /// Landlock's file rules.
    pub landlock: bool,
    /// Landlock's scopes: no signal to, and no abstract socket of, anything outside.
    pub landlock_scopes: bool,
    /// System calls that a server has no business with are refused.
    pub system_call_filter: bool,
}

impl Enforce {
    /// Whether anything at all keeps a program from files that its user can read.
    pub fn hides_files(&self) -> bool {
        self.mount_namespace || self.landlock
    }
}

/// Resource limits (`setrlimit`); absent means inherited. Core dumps are always off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceLimits {
    /// Processes and threads of the program's user. Enforced only where that user is the program's own, since
    /// it would otherwise count what is not the program's.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Writable private memory of each process, in bytes. Address space is not limited: V8 reserves gigabytes
    /// that it never touches.
    pub data_bytes: Option<u64>,
}

/// The parts of the system that every program may read, as far as this host has them.
pub fn system_paths() -> Vec<PathBuf> {
    const DIRECTORIES: &[&str] =
        &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
    // Named one by one: /etc also holds keys, shadows and tokens.
    const ETC: &[&str] = &[
        "alternatives",
        "ca-certificates",
        "debian_version",
        "fonts",
        "gai.conf",
        "group",
        "host.conf",
        "hosts",
        "ld.so.cache",
        "ld.so.conf",
        "ld.so.conf.d",
        "localtime",
        "lsb-release",
        "mime.types",
        "nsswitch.conf",
        "os-release",
        "passwd",
        "pki/ca-trust/extracted",
        "pki/tls/cert.pem",
        "pki/tls/certs",
        "protocols",
        "redhat-release",
        "resolv.conf",
        "services",
        "ssl/cert.pem",
        "ssl/certs",
        "ssl/openssl.cnf",
        "timezone",
    ];
    let etc = ETC.iter().map(|name| Path::new("/etc").join(name));
    DIRECTORIES.iter().map(PathBuf::from).chain(etc).filter(|path| path.exists()).collect()
}
