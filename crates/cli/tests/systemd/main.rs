//! Machines that boot, with a real systemd. Here the service of a host: installed, upgraded under load, taken back when the new
//! binary does not work, and uninstalled.

#![expect(clippy::expect_used, reason = "a test has nobody to hand an error to")]

mod containers;
mod droplets;
mod join;
mod waves;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use testkit::docker::engine;
use testkit::host::{Api, Enrolled};
use testkit::systemd::Machine;
use testkit::wait;

/// The binary under test.
const BERTH: &str = env!("CARGO_BIN_EXE_berth");
const SERVICE: &str = "berth-dtma.service";

/// Connections that are made as fast as they are answered, each of a thread in the machine's network.
struct Hammer {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Hammer {
    fn start(machine: &Machine<'_>, api: &Api) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let health = (0..3).map(|_| {
            let (api, over, answered, enter) =
                (api.clone(), Arc::clone(&over), Arc::clone(&answered), machine.network());
            std::thread::spawn(move || {
                enter();
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(api.health().expect("a connection and an answer"), 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let calls = {
            let (api, over, enter) = (api.clone(), Arc::clone(&over), machine.network());
            std::thread::spawn(move || {
                enter();
                let mut session = api.session();
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(session.call("echo", &json!({"message": "again"})), "again");
                }
            })
        };
        let mut threads: Vec<_> = health.collect();
        threads.push(calls);
        Self { over, answered, threads }
    }

    /// Waits for some more answers.
    fn more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait::until("answers", || (before + 50 < self.answered.load(Ordering::Relaxed)).then_some(()));
    }

    /// Ends it; how many were answered. Not one connection may have been refused or reset.
    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no connection was refused or reset");
        }
        self.answered.load(Ordering::Relaxed)
    }
}

/// A file of the test's directory that everybody may execute.
fn program(dir: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_service_is_installed_upgraded_taken_back_and_uninstalled() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let berth = fs::read(BERTH).expect("the binary");
    let first = program(dir.path(), "first", &berth);
    // Another digest, the same program.
    let second = program(dir.path(), "second", &[&berth[..], b"\0"].concat());
    let ends = program(
        dir.path(),
        "ends",
        b"#!/bin/sh\n[ \"$1\" = --version ] && echo 'berth 9.9.9' && exit\nexit 3\n",
    );
    let hangs = program(
        dir.path(),
        "hangs",
        b"#!/bin/sh\n[ \"$1\" = --version ] && echo 'berth 9.9.8' && exit\nexec sleep 1000\n",
    );
    let none = program(dir.path(), "none", b"no program at all");
    let fixture = Path::new(BERTH).with_file_name("fixture");
    fs::copy(fixture, dir.path().join("fixture")).expect("the fixture server: `cargo build -p fixture`");

    let machine = Machine::boot(engine(), &[dir.path()]);
    let unit = |property: &str| {
        machine.ok(&["systemctl", "show", "--value", "--property", property, SERVICE]).trim().to_owned()
    };
    // Not enrolled yet: it waits. Twice is as once.
    let install = [text(&first), "dtma", "install", "--runtime", "process"];
    machine.ok(&install);
    let host = Enrolled::write(&machine.root().join("var/lib/berth"));
    machine.ok(&install);
    machine.ok(&install);
    assert_eq!((&*unit("ActiveState"), &*unit("NRestarts")), ("active", "0"));
    let main = unit("MainPID");

    machine.enter_network();
    let address: SocketAddr = "127.0.0.1:30000".parse().expect("an address");
    let api = Api::new(address, &host.token);
    api.deploy_file(&dir.path().join("fixture"));
    let mut session = api.session();
    assert_eq!(session.call("echo", &json!({"message": "before"})), "before");
    let shim = host.shim();
    let exe = || machine.ok(&["readlink", &format!("/proc/{shim}/exe")]).trim().to_owned();
    let of_first = exe();
    assert!(of_first.starts_with("/usr/local/lib/berth/sha256-"), "{of_first}");
    let group = machine.ok(&["cat", &format!("/proc/{shim}/cgroup")]);
    assert!(group.contains("berth.slice") && !group.contains(SERVICE), "{group}");

    let hammer = Hammer::start(&machine, &api);
    hammer.more();
    let said = machine.run(&["berth", "dtma", "upgrade", text(&second)]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("runs version"), "{said}");
    hammer.more();
    let upgraded = unit("MainPID");
    assert_ne!(main, upgraded);
    let running = machine.ok(&["readlink", &format!("/proc/{upgraded}/exe")]);
    assert_ne!(running.trim(), of_first);
    assert_eq!((host.shim(), exe()), (shim, of_first.clone()), "the shim is the same, of the same binary");
    assert_eq!(session.call("echo", &json!({"message": "after"})), "after");

    // Binaries that do not work: the third is told before anything is changed.
    for (file, options, expected) in [
        (&ends, &[][..], "ended with status 3"),
        (&hangs, &["--within", "3"], "did not serve within 3 seconds"),
        (&none, &[], "nothing was changed"),
    ] {
        let mut command = vec!["berth", "dtma", "upgrade", text(file)];
        command.extend(options);
        let output = machine.run(&command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
        let pid = unit("MainPID");
        assert_eq!(machine.ok(&["readlink", &format!("/proc/{pid}/exe")]), running, "{said}");
        hammer.more();
    }
    let answered = hammer.end();
    println!("{answered} connections, none refused");
    assert_eq!(session.call("echo", &json!({"message": "still"})), "still");
    assert_eq!(host.shim(), shim);

    // What nothing runs of goes; what the shim runs of, and the way back, stay.
    let reply = api.ask("POST", "/v1/cleanup", "", r#"{"dry_run":false}"#).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let kept = machine.ok(&["ls", "/usr/local/lib/berth"]);
    assert_eq!(kept.lines().filter(|name| name.starts_with("sha256-")).count(), 2, "{kept}");

    let said = machine.run(&["berth", "dtma", "uninstall"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("berth.slice"));
    assert!(api.health().is_err(), "nobody listens any more");
    machine.ok(&["kill", "-0", &shim.to_string()]);
    machine.ok(&["systemctl", "stop", "berth.slice"]);
    wait::until("the end of the shim", || {
        (!machine.run(&["kill", "-0", &shim.to_string()]).status.success()).then_some(())
    });
}
