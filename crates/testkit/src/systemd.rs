//! Machines that boot: containers of the test's Docker engine with a stock Debian in them, systemd as the first process,
//! cloud-init and Docker installed. `cargo xtask` makes the image.

use std::fs;
use std::net::Ipv4Addr;
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

/// What a machine is started with.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// Directories that it sees read-only at the same paths.
    pub shown: &'a [&'a Path],
    /// Its name.
    pub hostname: &'a str,
    /// A network of the engine and its address there; absent: the engine's own.
    pub network: Option<(&'a str, Ipv4Addr)>,
    /// Its number at its provider, whose cloud-init then runs; absent: none does.
    pub serial: Option<u64>,
    /// Names that it finds at an address, as `name:address`.
    pub names: &'a [String],
}

/// A machine; gone with its disk when dropped.
#[derive(Debug)]
pub struct Machine<'a> {
    docker: &'a Docker,
    id: String,
}

impl<'a> Machine<'a> {
    /// Boots one that sees the directories `shown` read-only at the same paths.
    ///
    /// # Panics
    /// When there is no image, or it does not boot.
    pub fn boot(docker: &'a Docker, shown: &[&Path]) -> Self {
        let machine = Self::start(docker, &Options { shown, ..Options::default() });
        machine.wait();
        machine
    }

    /// Switches one on.
    ///
    /// # Panics
    /// When there is no image.
    pub fn start(docker: &'a Docker, options: &Options<'_>) -> Self {
        if docker.get(&format!("/images/{IMAGE}/json")).is_none() {
            let archive = std::env::var_os(VARIABLE).map(PathBuf::from).unwrap_or_default();
            assert!(
                archive.exists(),
                "{VARIABLE} names no image of a machine: run `cargo xtask test`, which makes one"
            );
            let archive = std::fs::read(archive).expect("the image of a machine");
            docker.import(IMAGE, &archive, &[r#"CMD ["/machine-init"]"#]);
        }
        let binds: Vec<String> =
            options.shown.iter().map(|path| format!("{0}:{0}:ro", path.display())).collect();
        let serial: Vec<String> = options.serial.iter().map(|id| format!("MACHINE_ID={id}")).collect();
        let mut body = json!({
            "Image": IMAGE, "StopSignal": "SIGRTMIN+3", "Hostname": options.hostname, "Env": serial,
            "Volumes": {"/var/lib/docker": {}},
            "HostConfig": {
                "Binds": binds,
                "ExtraHosts": options.names,
                // As privileged as a container can be where CAP_SYS_RESOURCE is not to be had.
                "CapAdd": ["ALL"], "CapDrop": ["SYS_RESOURCE"],
                "SecurityOpt": ["seccomp=unconfined"], "MaskedPaths": [], "ReadonlyPaths": [],
                "CgroupnsMode": "private",
                "Tmpfs": {"/run": "exec", "/run/lock": "", "/tmp": "exec"},
            },
        });
        if let Some((network, address)) = options.network {
            body["HostConfig"]["NetworkMode"] = network.into();
            body["NetworkingConfig"] = json!({
                "EndpointsConfig": {network: {"IPAMConfig": {"IPv4Address": address}}},
            });
        }
        let made = docker.post("/containers/create", &body);
        let machine = Self { docker, id: made["Id"].as_str().expect("an id").to_owned() };
        machine.power("start");
        machine
    }

    /// `start`, `stop`, `restart` or `kill`, which pulls the plug.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn power(&self, what: &str) {
        self.docker.post(&format!("/containers/{}/{what}", self.id), &Value::Null);
    }

    /// Waits until it has booted.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait(&self) {
        wait::within(BOOT, "a booted machine", || {
            let state = self.run(&["systemctl", "is-system-running"]);
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            ["running", "degraded"].contains(&state.as_str()).then_some(())
        });
    }

    /// The process id of its first process; 0 while it is off.
    fn pid(&self) -> u32 {
        let found = self.docker.get(&format!("/containers/{}/json", self.id)).expect("the container");
        found["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a pid")
    }

    /// Where its file system is seen from here.
    pub fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.pid()).into()
    }

    /// Runs a program in it to the end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, command: &[&str]) -> Output {
        Command::new("nsenter")
            .arg(format!("--target={}", self.pid()))
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wdns=/", "--"])
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
        enter_network(self.pid());
    }

    /// As [`Machine::enter_network`], for a thread that has no machine.
    pub fn network(&self) -> impl Fn() + Send + Clone + use<> {
        let pid = self.pid();
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
            for command in [
                &["journalctl", "--no-pager", "--lines=80", "--unit=berth-dtma*"][..],
                &["tail", "--lines=60", "/var/log/cloud-init-output.log"],
            ] {
                let log = self.run(command);
                eprintln!("--- on the machine, {}\n{}", command[0], String::from_utf8_lossy(&log.stdout));
            }
        }
        self.docker.delete(&format!("/containers/{}?force=1&v=1", self.id));
    }
}
