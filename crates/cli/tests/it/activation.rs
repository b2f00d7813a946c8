//! `berth dtma` under a service manager: it takes the listening socket that is handed to it, says when it serves and when
//! it ends, and another one in its place finds the connections of meanwhile. The manager is the test.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use testkit::host::{Api, Enrolled};
use testkit::{processes, wait};

use crate::BERTH;

/// Hands standard input over as descriptor 3, as a service manager does.
const HAND_OVER: &str = r#"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=berth-dtma.socket; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES
exec "$@" 3<&0 </dev/null"#;

/// A listening socket, and where the service tells what it does.
struct Manager {
    dir: tempfile::TempDir,
    listener: TcpListener,
    told: UnixDatagram,
    host: Enrolled,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let told = UnixDatagram::bind(dir.path().join("notify")).expect("a socket");
        told.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
        let host = Enrolled::write(&dir.path().join("data"));
        Self { dir, listener, told, host }
    }

    fn api(&self) -> Api {
        Api::new(self.listener.local_addr().expect("an address"), &self.host.token)
    }

    /// Starts the service on a listener, and gives what it says within its life.
    fn start(&self, listener: OwnedFd, arguments: &[&str]) -> Service {
        let child = Command::new("/bin/sh")
            .args(["-c", HAND_OVER, "sh", BERTH, "dtma", "--runtime", "process", "--data"])
            .arg(self.dir.path().join("data"))
            .args(arguments)
            .env("NOTIFY_SOCKET", self.dir.path().join("notify"))
            .env("WATCHDOG_USEC", "300000")
            .stdin(Stdio::from(listener))
            .stderr(Stdio::piped())
            .spawn()
            .expect("`berth dtma` starts");
        Service(child)
    }

    fn serve(&self) -> Service {
        let service = self.start(OwnedFd::from(self.listener.try_clone().expect("a second handle")), &[]);
        self.wait_for("READY=1");
        service
    }

    /// Waits until the service tells this.
    fn wait_for(&self, line: &str) {
        wait::until(line, || self.hear().lines().any(|told| told == line).then_some(()));
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.told.recv(&mut buffer).expect("something is told in time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

/// Killed when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn fixture() -> PathBuf {
    Path::new(BERTH).with_file_name("fixture")
}

#[test]
fn the_next_one_takes_over_socket_calls_and_sessions() {
    let manager = Manager::new();
    let api = manager.api();
    let mut first = manager.serve();
    manager.wait_for("WATCHDOG=1");
    api.deploy_file(&fixture());
    let mut session = api.session();
    assert_eq!(session.call("echo", &json!({"message": "before"})), "before");
    let shim = manager.host.shim();
    let handed = api.listening_socket();
    let sockets = std::fs::read_dir(format!("/proc/{shim}/fd"))
        .expect("the shim's descriptors")
        .filter_map(|entry| std::fs::read_link(entry.expect("a descriptor").path()).ok())
        .filter(|target| *target == handed)
        .count();
    assert_eq!(sockets, 0, "what is handed to the DTMA is not the shim's");

    // A call under way when the end is asked for, and many that come while nobody is there to take them.
    let waiting = {
        let mut session = session.clone();
        std::thread::spawn(move || session.call("wait", &json!({"ms": 1500})))
    };
    manager.host.wait_until_busy();
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let hammers: Vec<_> = (0..4)
        .map(|_| {
            let (api, over, answered) = (api.clone(), Arc::clone(&over), Arc::clone(&answered));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(api.health().expect("a connection and an answer"), 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    wait::until("answers", || (20 < answered.load(Ordering::Relaxed)).then_some(()));

    processes::signal(first.0.id(), Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert!(first.0.wait().expect("a child of ours").success());
    assert_eq!(waiting.join().expect("no panic"), "waited", "a call under way is finished");
    let before = answered.load(Ordering::Relaxed);
    let _second = manager.serve();
    wait::until("answers of the second", || (before + 20 < answered.load(Ordering::Relaxed)).then_some(()));
    over.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.join().expect("no connection was refused or reset");
    }

    assert_eq!(session.call("echo", &json!({"message": "after"})), "after");
    assert!(processes::is_alive(shim), "its shim is the same");
    api.shut_down();
    wait::until("the end of the shim", || (!processes::is_alive(shim)).then_some(()));
}

#[test]
fn what_is_handed_over_must_be_a_listening_address_that_may_be_had() {
    let manager = Manager::new();
    let check = |socket: OwnedFd, expected: &str| {
        let mut service = manager.start(socket, &[]);
        let status = service.0.wait().expect("a child of ours");
        let mut said = String::new();
        let mut stderr = service.0.stderr.take().expect("it is piped");
        std::io::Read::read_to_string(&mut stderr, &mut said).expect("text");
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    };
    let everywhere = TcpListener::bind("0.0.0.0:0").expect("a free port");
    check(everywhere.into(), "can be reached from other machines");
    let silent = UnixDatagram::unbound().expect("a socket");
    check(silent.into(), "is not one listening TCP socket");
    manager.told.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
    assert!(manager.told.recv(&mut [0; 64]).is_err(), "nothing was ever ready");
}
