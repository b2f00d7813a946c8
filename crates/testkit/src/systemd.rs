//! Machines that boot: containers of the test's Docker engine with a stock Debian in them, systemd as the first process,
//! cloud-init and Docker installed. `cargo xtask` makes the image.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::docker::Docker;
use crate::wait;

/// Names the archive of the root file system.
pub const VARIABLE: &str = "BERTH_MACHINE";
/// The image of all machines.
const IMAGE: &str = "berth-machine:1";
/// How long a machine may take to boot when others are busy.
const BOOT: Duration = Duration::from_mins(3);

/// A running machine; powered off when dropped.
#[derive(Debug)]
pub struct Machine<'a> {
    docker: &'a Docker,
    id: String,
    pid: u32,
}

impl<'a> Machine<'a> {
    /// Boots one that sees the directories `shown` read-only at the same paths.
    ///
    /// # Panics
    /// When there is no image, or it does not boot.
    pub fn boot(docker: &'a Docker, shown: &[&Path]) -> Self {
        if docker.get(&format!("/images/{IMAGE}/json")).is_none() {
            let archive = std::env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_default();
            assert!(
                archive.exists(),
                "{VARIABLE} names no image of a machine: run `cargo xtask test --full`, which makes one"
            );
            let archive = std::fs::read(archive).expect("the image of a machine");
            docker.import(IMAGE, &archive, &[r#"CMD ["/machine-init"]"#]);
        }
        let binds: Vec<String> = shown.iter().map(|path| format!("{0}:{0}:ro", path.display())).collect();
        let body = json!({
            "Image": IMAGE, "StopSignal": "SIGRTMIN+3",
            "Volumes": {"/var/lib/docker": {}},
            "HostConfig": {
                "Binds": binds,
                // As privileged as a container can be where CAP_SYS_RESOURCE is not to be had.
                "CapAdd": ["ALL"], "CapDrop": ["SYS_RESOURCE"],
                "SecurityOpt": ["seccomp=unconfined"], "MaskedPaths": [], "ReadonlyPaths": [],
                "CgroupnsMode": "private",
                "Tmpfs": {"/run": "exec", "/run/lock": "", "/tmp": "exec"},
            },
        });
        let made = docker.post("/containers/create", &body);
        let id = made["Id"].as_str().expect("an id").to_owned();
        docker.post(&format!("/containers/{id}/start"), &Value::Null);
        let found = docker.get(&format!("/containers/{id}/json")).expect("the container");
        let pid = found["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid");
        let machine = Self { docker, id, pid };
        wait::within(BOOT, "a booted machine", || {
            let state = machine.run(&["systemctl", "is-system-running"]);
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            ["running", "degraded"].contains(&state.as_str()).then_some(())
        });
        machine
    }

    /// Where its file system is seen from here.
    pub fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.pid).into()
    }

    /// Runs a program in it to the end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .arg(format!("--target={}", self.pid))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd=/", "--"])
            .args(command)
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()
            .expect("`nsenter` starts")
    }

    /// Runs a program in it that must succeed; its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, command: &[&str]) -> String {
        let output = self.run(command);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}{}",
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Moves the thread that calls into the machine's network, for good: its addresses are the machine's from then on.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn enter_network(&self) {
        enter_network(self.pid);
    }

    /// As [`Machine::enter_network`], for a thread that has no machine.
    pub fn network(&self) -> impl Fn() + Send + Clone + use<> {
        let pid = self.pid;
        move || enter_network(pid)
    }
}

fn enter_network(pid: u32) {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/net")).expect("its network");
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root may enter it");
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.run(&["journalctl", "--no-pager", "--lines=80", "--unit=berth-dtma*"]);
            eprintln!("--- the machine's journal\n{}", String::from_utf8_lossy(&log.stdout));
        }
        self.docker.delete(&format!("/containers/{}?force=1&v=1", self.id));
    }
}
