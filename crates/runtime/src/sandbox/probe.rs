//! Which protections this host grants, found by trying each for real in a process of its own.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use domain::status::Protection;
use landlock::{ABI, LandlockStatus, RulesetStatus};
use rustix::process::{Resource, WaitOptions};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::policy::{Enforce, Policy, ResourceLimits, system_paths};
use super::sys::{self, Fork};
use super::{Failure, confine, filter, make_namespaces, root, wait};

/// Makes the helper probe and answer on standard output.
pub(super) const FLAG: &str = "--probe";

/// What a network namespace is used for.
const NO_NETWORK: &str =
    "processes with `egress` `none` reach nothing but themselves; others have the host's network";

/// What the host grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// For policies.
    pub enforce: Enforce,
    /// Whether a program can be given a network of its own.
    pub network_namespace: bool,
    /// For people.
    pub protections: Vec<Protection>,
}

/// Probes this host through the helper of `berth`, a path to a binary whose `__sandbox` runs [`super::run`].
///
/// # Errors
/// When the helper cannot be run or answers nonsense.
pub fn probe(berth: &Path) -> io::Result<Probe> {
    let output = Command::new(berth)
        .args(["__sandbox", FLAG])
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    serde_json::from_slice(&output.stdout)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {e}", output.status)))
}

/// Probes and prints; the exit code.
pub(super) fn answer() -> i32 {
    let answer = serde_json::to_vec(&find()).map_err(io::Error::from);
    match answer.and_then(|answer| io::stdout().write_all(&answer)) {
        Ok(()) => 0,
        Err(_) => super::EXIT_SANDBOX,
    }
}

fn find() -> Probe {
    let root = rustix::process::geteuid().is_root();
    let mut enforce = Enforce::default();
    let mut protections = Vec::new();
    let mut say = |name: &str, granted: bool, detail: String| {
        protections.push(Protection { name: name.to_owned(), granted, detail });
        granted
    };

    // Root needs none to make the others, and its servers get a user of their own instead.
    if !root {
        let user = attempt(|| make_namespaces(&with(|e| e.user_namespace = true)));
        enforce.user_namespace = say("user namespace", user.is_ok(), describe(&user, "as an ordinary user"));
    }

    let base = enforce;
    let pid = attempt(|| tree(&with(|e| *e = Enforce { pid_namespace: true, ..base })));
    enforce.pid_namespace = say(
        "process namespace",
        pid.is_ok(),
        describe(&pid, "servers see and signal only their own processes"),
    );

    let own_root = |pid_namespace: bool| {
        attempt(|| tree(&with(|e| *e = Enforce { pid_namespace, mount_namespace: true, ..base })))
    };
    let mut mount = own_root(enforce.pid_namespace);
    if mount.is_err() && enforce.pid_namespace {
        // A container's masked /proc forbids a fresh one, and with it this combination.
        let without = own_root(false);
        if without.is_ok() {
            enforce.pid_namespace = false;
            protections.retain(|p| p.name != "process namespace");
            protections.push(Protection {
                name: "process namespace".to_owned(),
                granted: false,
                detail: describe(&mount, ""),
            });
            mount = without;
        }
    }
    let mut say = |name: &str, granted: bool, detail: String| {
        protections.push(Protection { name: name.to_owned(), granted, detail });
        granted
    };
    enforce.mount_namespace =
        say("own root", mount.is_ok(), describe(&mount, "servers see an allow-list of files and no others"));

    let own_uid = if !root {
        Err("Berth does not run as root".to_owned())
    } else if enforce.mount_namespace {
        attempt(|| confine::become_user(crate::identity::HIGHEST))
    } else {
        // Berth's directories are closed to every other user, a server's own among them.
        Err("needs an own root".to_owned())
    };
    enforce.own_uid = say("own user", own_uid.is_ok(), describe(&own_uid, "each instance has its own"));

    let abi = landlock_abi();
    enforce.landlock = say(
        "Landlock",
        abi.is_some(),
        abi.map_or_else(|| "the kernel does not enforce it".to_owned(), |abi| format!("ABI {abi}")),
    );
    enforce.landlock_scopes = say(
        "Landlock scopes",
        abi.is_some_and(|abi| abi >= 6),
        if abi.is_some_and(|abi| abi >= 6) {
            "no signals to and no abstract sockets of anything outside".to_owned()
        } else {
            "needs Landlock ABI 6 (Linux 6.12)".to_owned()
        },
    );

    let filtered = attempt(|| {
        rustix::thread::set_no_new_privs(true).map_err(Failure::of("set no_new_privs"))?;
        filter::install().map_err(Failure::of("install the filter"))?;
        match sys::unshare(UnshareFlags::NEWUSER) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
            _ => Err(Failure::new("rely on the filter", io::ErrorKind::Other.into())),
        }
    });
    enforce.system_call_filter =
        say("system call filter", filtered.is_ok(), describe(&filtered, "on the server and all it starts"));

    let network = attempt(|| own_network(base));
    let network_namespace = say("network namespace", network.is_ok(), describe(&network, NO_NETWORK));

    let privileges = attempt(|| {
        rustix::thread::set_no_new_privs(true).map_err(Failure::of("set no_new_privs"))?;
        confine::drop_capabilities(rustix::thread::CapabilitySet::empty())
    });
    say("no new privileges", privileges.is_ok(), describe(&privileges, "and no capabilities"));

    let limits = attempt(|| {
        confine::limit(&ResourceLimits { open_files: Some(64), ..ResourceLimits::default() }, false)?;
        match rustix::process::getrlimit(Resource::Nofile).current {
            Some(64) => Ok(()),
            _ => Err(Failure::new("rely on limits", io::ErrorKind::Other.into())),
        }
    });
    say(
        "resource limits",
        limits.is_ok(),
        describe(&limits, "open files, core dumps, memory when asked for"),
    );

    Probe { enforce, network_namespace, protections }
}

fn with(change: impl FnOnce(&mut Enforce)) -> Policy {
    let mut policy = Policy { read: system_paths(), cwd: PathBuf::from("/"), ..Policy::default() };
    change(&mut policy.enforce);
    policy
}

impl Policy {
    fn without_network(self) -> Self {
        Self { no_network: true, ..self }
    }
}

/// A network with nothing in it but its loopback address.
fn own_network(base: Enforce) -> Result<(), Failure> {
    make_namespaces(&with(|e| *e = base).without_network())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let reached = listener.and_then(|listener| TcpStream::connect(listener.local_addr()?));
    reached.map_err(Failure::of("reach its own loopback address"))?;
    let interfaces = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    match interfaces.lines().skip(2).count() {
        1 => Ok(()),
        _ => Err(Failure::new("leave the host's network", io::ErrorKind::Other.into())),
    }
}

/// Namespaces, a first process inside, and a root when asked for.
fn tree(policy: &Policy) -> Result<(), Failure> {
    make_namespaces(policy)?;
    let inside = attempt(|| {
        if policy.enforce.pid_namespace && rustix::process::getpid().as_raw_nonzero().get() != 1 {
            return Err(Failure::new("be the first process", io::ErrorKind::Other.into()));
        }
        if policy.enforce.mount_namespace {
            root::enter(policy)?;
            if fs::metadata("/var").is_ok() || fs::metadata("/etc/shadow").is_ok() {
                return Err(Failure::new("hide the host's files", io::ErrorKind::Other.into()));
            }
        }
        Ok(())
    });
    inside.map_err(|why| Failure::new("go inside", io::Error::other(why)))
}

/// The ABI that this kernel enforces, tried on a file that every other check can read.
fn landlock_abi() -> Option<i32> {
    let (reader, writer) = rustix::pipe::pipe().ok()?;
    let tried = attempt(|| {
        let status = confine::restrict(&[], true)
            .map_err(|e| Failure::new("restrict this process", io::Error::other(e)))?;
        let enforced = status.ruleset != RulesetStatus::NotEnforced && fs::read_dir("/").is_err();
        let LandlockStatus::Available { effective_abi, kernel_abi } = status.landlock else {
            return Err(Failure::new("use Landlock", io::ErrorKind::Unsupported.into()));
        };
        if !enforced {
            return Err(Failure::new("rely on Landlock", io::ErrorKind::Other.into()));
        }
        let abi = kernel_abi.unwrap_or_else(|| number(effective_abi));
        rustix::io::write(&writer, &abi.to_ne_bytes()).map_err(Failure::of("answer"))?;
        Ok(())
    });
    tried.ok()?;
    let mut abi = [0_u8; 4];
    (rustix::io::read(&reader, &mut abi) == Ok(4)).then(|| i32::from_ne_bytes(abi))
}

fn number(abi: ABI) -> i32 {
    abi as i32
}

fn describe(result: &Result<(), String>, granted: &str) -> String {
    match result {
        Ok(()) => granted.to_owned(),
        Err(why) => why.clone(),
    }
}

/// Does something irrevocable in a process of its own; why it failed.
fn attempt(what: impl FnOnce() -> Result<(), Failure>) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let (reader, writer) = rustix::pipe::pipe().map_err(|e| text(e.into()))?;
    match sys::fork().map_err(text)? {
        Fork::Child => {
            drop(reader);
            let code = match what() {
                Ok(()) => 0,
                Err(failure) => {
                    let why = format!("cannot {}: {}", failure.step, failure.source);
                    // Nobody reads it only when the probe itself is gone.
                    let _ = rustix::io::write(&writer, why.as_bytes());
                    1
                }
            };
            std::process::exit(code)
        }
        Fork::Parent(child) => {
            drop(writer);
            let mut why = Vec::new();
            io::Read::read_to_end(&mut fs::File::from(reader), &mut why).map_err(text)?;
            let status = wait(Some(child), WaitOptions::empty()).map_err(|failure| failure.to_string())?;
            match status.and_then(|(_, status)| status.exit_status()) {
                Some(0) => Ok(()),
                _ if why.is_empty() => Err("the attempt was ended by the kernel".to_owned()),
                _ => Err(String::from_utf8_lossy(&why).into_owned()),
            }
        }
    }
}
