//! A hostile server under each set of protections: as root, as an ordinary user, and with Landlock alone. The same
//! attempts are made without a sandbox, where they work: so each row can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use runtime::sandbox::policy::{Enforce, Policy, ResourceLimits, system_paths};
use runtime::sandbox::probe::Probe;
use serde::Deserialize;
use tempfile::TempDir;

use crate::support::helper;

/// An ordinary user when the tests run as root.
const NOBODY: u32 = 65_534;
/// An instance's own user.
const OWN: u32 = 1_234_567;
const PYTHON: &str = "/usr/bin/python3";

/// What works without a sandbox for anybody, and so must be the sandbox's doing when it fails.
const REAL_FOR_ALL: &[&str] = &[
    "read the database",
    "read the master key",
    "read client.toml",
    "read the DTMA's token",
    "read the DTMA's key",
    "read another instance's files",
    "write another instance's files",
    "list the control plane's directory",
    "read /proc/PID/environ",
    "read /proc/PID/mem",
    "read /proc/PID/maps",
    "enter /proc/PID/root",
    "enter /proc/PID/cwd",
    "list /proc/PID/fd",
    "signal another process",
    "signal by a descriptor",
    "trace another process",
    "connect to a socket by path",
    "connect to an abstract socket",
    "write the package",
    "change the package",
    "make a user namespace",
];
const OWN_THINGS: &str = "use what is its own";

#[derive(Debug, Deserialize)]
struct Row {
    attempt: String,
    worked: bool,
    how: String,
}

/// A data directory, a process and sockets such as Berth's, all of one user; and that user's helper.
struct Victim {
    directory: TempDir,
    user: Option<u32>,
    process: Child,
    abstract_name: String,
    _sockets: (UnixListener, UnixListener),
}

impl Victim {
    fn new(user: Option<u32>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        for (path, content) in [
            ("data/control/berth.db", "rows"),
            ("data/control/master.key", "key"),
            ("data/client.toml", "token"),
            ("data/dtma/token", "token"),
            ("data/dtma/key", "key"),
            ("data/dtma/instances/other/work/notes", "notes"),
            ("data/dtma/packages/sha256-0/code.js", "code"),
            ("data/dtma/instances/own/work/hostile.py", include_str!("hostile.py")),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
        }
        fs::copy(helper(), root.join("berth")).unwrap();
        let by_path = UnixListener::bind(root.join("data/dtma/shim.sock")).unwrap();
        let abstract_name = format!("berth-test-{}", root.file_name().unwrap().display());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_name = UnixListener::bind_addr(&address).unwrap();
        if let Some(user) = user {
            give(&root.join("data"), user);
        }
        fs::set_permissions(root.join("data"), fs::Permissions::from_mode(0o700)).unwrap();
        let process = as_user(user, Command::new("sleep").arg("600").env("TOKEN", "secret")).spawn().unwrap();
        Self { directory, user, process, abstract_name, _sockets: (by_path, by_name) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn work(&self) -> PathBuf {
        self.path("data/dtma/instances/own/work")
    }

    fn probe(&self) -> Probe {
        let output = as_user(self.user, Command::new(self.path("berth")).args(["__sandbox", "--probe"]))
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn policy(&self, enforce: Enforce) -> Policy {
        let uid = enforce.own_uid.then_some(OWN);
        if let Some(uid) = uid {
            give(&self.work(), uid);
            for directory in ["data/dtma/packages/sha256-0", "data/dtma/packages/sha256-0/code.js"] {
                fs::set_permissions(self.path(directory), fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let mut read = system_paths();
        read.push(self.path("data/dtma/packages/sha256-0"));
        Policy {
            enforce,
            uid,
            read,
            write: vec![self.work()],
            copy: Vec::new(),
            cwd: self.work(),
            limits: ResourceLimits { processes: Some(64), open_files: Some(256), data_bytes: None },
            no_network: false,
        }
    }

    /// The hostile server, in the sandbox when there is a policy.
    fn attack(&self, policy: Option<&Policy>) -> BTreeMap<String, Row> {
        let target = serde_json::json!({
            "data": self.path("data"),
            "pid": self.process.id(),
            "socket": self.path("data/dtma/shim.sock"),
            "abstract": self.abstract_name,
            "package": self.path("data/dtma/packages/sha256-0"),
        });
        let mut command = match policy {
            Some(policy) => self.sandboxed(policy),
            None => Command::new(PYTHON),
        };
        if policy.is_some() {
            command.arg(PYTHON);
        }
        let output = as_user(self.user, &mut command)
            .arg(self.work().join("hostile.py"))
            .arg(target.to_string())
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.lines().map(|line| serde_json::from_str::<Row>(line).unwrap());
        rows.map(|row| (row.attempt.clone(), row)).collect()
    }

    fn sandboxed(&self, policy: &Policy) -> Command {
        let mut command = Command::new(self.path("berth"));
        command.args(["__sandbox", &serde_json::to_string(policy).unwrap(), "--"]);
        command
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn as_user(user: Option<u32>, command: &mut Command) -> &mut Command {
    command.env_clear().current_dir("/");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command
}

fn give(path: &Path, user: u32) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), user);
        }
    }
    chown(path, Some(user), Some(user)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The users that these tests can be: root and an ordinary one, or the one that runs them.
fn users() -> Vec<Option<u32>> {
    if is_root() { vec![None, Some(NOBODY)] } else { vec![None] }
}

/// Everything is refused but `except`, and everything that is listed as real works without a sandbox.
#[track_caller]
fn check(user: Option<u32>, change: impl FnOnce(&mut Enforce), except: &[&str]) {
    let victim = Victim::new(user);
    let bare = victim.attack(None);
    for attempt in REAL_FOR_ALL {
        assert!(bare[*attempt].worked, "without a sandbox: {:?}", bare[*attempt]);
    }
    let mut enforce = victim.probe().enforce;
    change(&mut enforce);
    let rows = victim.attack(Some(&victim.policy(enforce)));
    assert_eq!(rows.len(), bare.len(), "every attempt was made");
    let worked: BTreeSet<&str> = rows.values().filter(|row| row.worked).map(|row| &*row.attempt).collect();
    let mut expected: BTreeSet<&str> = except.iter().copied().collect();
    expected.insert(OWN_THINGS);
    let how: Vec<_> = rows.values().filter(|row| row.worked).map(|row| (&row.attempt, &row.how)).collect();
    assert_eq!(worked, expected, "user {user:?}, {enforce:?}: {how:?}");
}

#[test]
fn everything_is_refused() {
    for user in users() {
        check(user, |_| (), &[]);
    }
}

#[test]
fn each_layer_holds_alone() {
    for user in users() {
        // Landlock and the filter only: what runs in a container that forbids namespaces. Sockets with a path are
        // not Landlock's business before ABI 9; the shim asks for its key.
        let landlock_only = |enforce: &mut Enforce| {
            enforce.user_namespace = false;
            enforce.mount_namespace = false;
            enforce.pid_namespace = false;
            enforce.own_uid = false;
        };
        let remains: &[&str] = if user.is_none() && is_root() {
            &["become root", "connect to a socket by path"]
        } else {
            &["connect to a socket by path"]
        };
        check(user, landlock_only, remains);
        // Namespaces only: what runs on a kernel without Landlock. Abstract sockets belong to the network.
        let namespaces_only = |enforce: &mut Enforce| {
            enforce.landlock = false;
            enforce.landlock_scopes = false;
        };
        check(user, namespaces_only, &["connect to an abstract socket"]);
    }
}

/// A server that hides in a session of its own, ignores every signal, and keeps the test's pipe open while it lives.
const SURVIVOR: &str = "
import os, signal, time
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.write(1, b'hidden')
        time.sleep(600)
time.sleep(600)
";

#[test]
fn nothing_survives_the_helper() {
    for user in users() {
        let victim = Victim::new(user);
        let policy = victim.policy(victim.probe().enforce);
        let mut command = victim.sandboxed(&policy);
        let mut helper =
            as_user(user, command.args([PYTHON, "-c", SURVIVOR])).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = helper.stdout.take().unwrap();
        let mut word = [0; 6];
        output.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hidden");
        helper.kill().unwrap();
        helper.wait().unwrap();
        let (tell, gone) = mpsc::channel();
        thread::spawn(move || {
            let _ = output.read_to_end(&mut Vec::new());
            let _ = tell.send(());
        });
        // The end of the pipe is the death of the last process that held it.
        gone.recv_timeout(Duration::from_secs(20)).expect("a process survived");
    }
}

#[test]
fn the_helper_ends_as_the_server_does() {
    #[track_caller]
    fn check(victim: &Victim, policy: &Policy, script: &str, code: i32) {
        let mut command = victim.sandboxed(policy);
        let command = as_user(victim.user, command.args(["/bin/sh", "-c", script]));
        assert_eq!(command.status().unwrap().code(), Some(code), "{script}");
    }
    for user in users() {
        let victim = Victim::new(user);
        let policy = victim.policy(victim.probe().enforce);
        check(&victim, &policy, "exit 0", 0);
        check(&victim, &policy, "exit 7", 7);
        check(&victim, &policy, "kill -9 $$", 137);
        check(&victim, &policy, "test $(ulimit -n) = 256", 0);
        check(&victim, &policy, "ls /proc/self/fd | wc -l | grep -qx 4", 0);
        check(&victim, &policy, "touch $PWD/own && touch /tmp/own", 0);
        let mut impossible = policy.clone();
        impossible.cwd = "/no/such/directory".into();
        check(&victim, &impossible, "exit 0", 125);
    }
}

#[test]
fn signals_reach_the_server() {
    for user in users() {
        let victim = Victim::new(user);
        let policy = victim.policy(victim.probe().enforce);
        let script = "trap 'exit 42' TERM; echo ready; for i in $(seq 400); do sleep 0.05; done; exit 1";
        let mut command = victim.sandboxed(&policy);
        let mut helper =
            as_user(user, command.args(["/bin/sh", "-c", script])).stdout(Stdio::piped()).spawn().unwrap();
        helper.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        let pid = rustix::process::Pid::from_child(&helper);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(helper.wait().unwrap().code(), Some(42));
    }
}
