//! Several hosts for tests, each with processes, mounts, a network and a Docker engine of its own, on one switch, where the
//! control plane is too. A host's cable can be pulled and its power cut.
//!
//! Nothing of it is in the machine's own network. All of it ends with the test process, however that ends, and what the
//! hosts had on their disks is removed then.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::docker::Docker;
use crate::{processes, wait};

/// The control plane's address on the switch.
pub const CONTROL: &str = "10.91.0.1";
/// Lines of each log that a failed test prints.
const LAST_WORDS: usize = 40;

/// The switch: a bridge with the control plane's address, until the standard input ends, which it does with the test
/// process. The hosts end by the same sign, and their disks are removed here.
const SWITCH: &str = r#"
home=$1
ip link set lo up
ip link add br0 type bridge
ip addr add 10.91.0.1/24 dev br0
ip link set br0 up && touch "$home/ready"
cat >/dev/null
tries=0
while [ -e "$home" ] && [ $tries -lt 100 ]; do
    rm -rf "$home"
    sleep 0.1
    tries=$((tries + 1))
done
"#;

/// One power-on of a host: [`HOST`] as the first process of its own namespaces, and afterwards the control groups of what was
/// killed there.
const POWER: &str = r#"
home=$1
group=$2
unshare --net --mount --pid --fork --kill-child --mount-proc /bin/sh -c "$4" sh "$@"
tries=0
while [ $tries -lt 50 ] && [ -n "$(find /sys/fs/cgroup -maxdepth 2 -name "$group")" ]; do
    find $(find /sys/fs/cgroup -maxdepth 2 -name "$group") -depth -type d -exec rmdir {} ';'
    sleep 0.1
    tries=$((tries + 1))
done
"#;

/// What runs on a host from its start: an engine, and once it is told how a DTMA, both again when they end. It ends with the
/// standard input, and the kernel ends everything with it.
const HOST: &str = r#"
home=$1
group=$2
berth=$3
ip link set lo up
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd
# What a reboot empties.
rm -rf "$home/exec" "$home/docker.pid" "$home/docker.sock"
while :; do
    dockerd --data-root "$home/docker" --exec-root "$home/exec" --pidfile "$home/docker.pid" \
        --host "unix://$home/docker.sock" --cgroup-parent "/$group" --log-level warn </dev/null >>"$home/dockerd.log" 2>&1
    sleep 0.1
done &
while :; do
    [ -e "$home/options" ] && DOCKER_HOST="unix://$home/docker.sock" "$berth" dtma --data "$home/berth" \
        $(cat "$home/options") --heartbeat-ms "$5" </dev/null >>"$home/dtma.log" 2>&1
    sleep 0.1
done &
cat >/dev/null
"#;

/// The hosts and the switch between them.
#[derive(Debug)]
pub struct Hosts {
    home: PathBuf,
    switch: Child,
    all: Vec<Host>,
}

/// One host. Its number begins at 1.
#[derive(Debug)]
pub struct Host {
    number: usize,
    home: PathBuf,
    berth: PathBuf,
    heartbeat_ms: u64,
    switch: u32,
    /// While it has power.
    power: Option<Child>,
    docker: Docker,
}

impl Hosts {
    /// Starts so many and waits until their engines answer. Their DTMAs report every `heartbeat_ms`, once they are enrolled and told to run.
    ///
    /// # Panics
    /// When Docker is not installed, this is not root, or something does not start in time.
    pub fn start(berth: &str, count: usize, heartbeat_ms: u64) -> Self {
        assert!(rustix::process::geteuid().is_root(), "hosts need root: run the tests as root");
        for (program, package) in [("/usr/sbin/dockerd", "docker.io"), ("/usr/sbin/ip", "iproute2")] {
            assert!(Path::new(program).exists(), "{program} is missing: run `apt-get install {package}`");
        }
        let home = tempfile::Builder::new().prefix("berth-hosts-").tempdir().expect("a directory").keep();
        let switch = Command::new("unshare")
            .args(["--net", "/bin/sh", "-c", SWITCH, "sh"])
            .arg(&home)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("`unshare` starts");
        let mut hosts = Self { home, switch, all: Vec::new() };
        wait::until("the switch", || hosts.home.join("ready").exists().then_some(()));
        for number in 1..=count {
            let home = hosts.home.join(number.to_string());
            fs::create_dir(&home).expect("a host's directory");
            let docker = Docker::at(home.clone());
            let switch = hosts.switch.id();
            let mut host =
                Host { number, home, berth: berth.into(), heartbeat_ms, switch, power: None, docker };
            host.boot();
            hosts.all.push(host);
        }
        for host in &hosts.all {
            host.until_docker();
        }
        hosts
    }

    /// A host by its number, which begins at 1.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn host(&mut self, number: usize) -> &mut Host {
        &mut self.all[number - 1]
    }

    /// Moves the calling thread onto the switch, whose address there is [`CONTROL`]: what it and the threads and processes that
    /// it starts from then on listen on and connect to is there.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn enter(&self) {
        let file = fs::File::open(net_of(self.switch.id())).expect("the switch's network");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
    }
}

impl Hosts {
    /// Has whoever connects to [`CONTROL`] on this port of the switch reach an address of the machine's own network: the one way out
    /// of hosts that have no other.
    ///
    /// # Panics
    /// When the port cannot be listened on.
    pub fn lead(&self, port: u16, target: SocketAddr) {
        let listener = std::thread::scope(|scope| {
            // A socket stays in the network in which it was made.
            let made = scope.spawn(|| {
                self.enter();
                TcpListener::bind((CONTROL, port)).expect("a port of the switch")
            });
            made.join().expect("a thread of ours")
        });
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    if let Ok(far) = TcpStream::connect(target) {
                        copy_both(&near, &far);
                    }
                });
            }
        });
    }
}

/// Which packets between a host and the control plane are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All.
    Everything,
    /// Those of the host.
    ToControl,
    /// Those of the control plane.
    FromControl,
}

impl Host {
    /// Its address on the switch.
    pub fn address(&self) -> String {
        format!("10.91.0.{}", 10 + self.number)
    }

    /// Its Docker engine.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The same engine for whoever looks at it while other things are done with the host.
    pub fn engine(&self) -> Docker {
        Docker::at(self.home.clone())
    }

    /// Has its DTMA run with these options beside its data directory, now and after each start.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn run_dtma(&self, options: &str) {
        let beside = self.home.join("options.new");
        fs::write(&beside, options)
            .and_then(|()| fs::rename(beside, self.home.join("options")))
            .expect("a file");
    }

    /// Runs `berth` on it, with its data directory and a text on its standard input.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn berth(&self, arguments: &[&str], input: &str) {
        let mut child = Command::new("nsenter")
            .arg(format!("--target={}", self.init().expect("it has power")))
            .args(["--net", "--mount", "--pid"])
            .arg(&self.berth)
            .args(arguments)
            .arg("--data")
            .arg(self.home.join("berth"))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`nsenter` starts");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("a child of ours");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`berth {}` failed: {said}", arguments.join(" "));
    }

    /// What its DTMA logged so far.
    pub fn dtma_log(&self) -> String {
        fs::read_to_string(self.home.join("dtma.log")).unwrap_or_default()
    }

    /// Kills its DTMA, which is started again with the options of now.
    ///
    /// # Panics
    /// When there is none.
    pub fn restart_dtma(&self) {
        let all = processes::below(self.power.as_ref().expect("it has power").id());
        let is_dtma =
            |process: &&processes::Process| process.arguments.get(1).is_some_and(|command| command == "dtma");
        processes::kill(all.iter().find(is_dtma).expect("its DTMA").pid);
    }

    /// Pulls its cable.
    pub fn cut(&self) {
        self.on_switch(&format!("ip link set p{} down", self.number));
    }

    /// Puts its cable back.
    pub fn heal(&self) {
        self.on_switch(&format!("ip link set p{} up", self.number));
    }

    /// Has packets between it and the control plane lost, from now on.
    pub fn lose(&self, loss: Loss) {
        let (number, address) = (self.number, self.address());
        let chain = |hook: &str, matches: &str| {
            format!("chain {hook} {{ type filter hook {hook} priority 0; ip {matches} {address} drop; }};")
        };
        let (input, output) = (chain("input", "saddr"), chain("output", "daddr"));
        let chains = match loss {
            Loss::Everything => format!("{input} {output}"),
            Loss::ToControl => input,
            Loss::FromControl => output,
        };
        self.on_switch(&format!("nft 'table inet loss{number} {{ {chains} }}'"));
    }

    /// Ends [`Host::lose`].
    pub fn lose_nothing(&self) {
        self.on_switch(&format!("nft delete table inet loss{}", self.number));
    }

    /// Cuts its power: nobody on the switch hears of the end of its processes.
    ///
    /// # Panics
    /// When it had none, or something of it does not end in time.
    pub fn off(&mut self) {
        self.cut();
        processes::kill(self.init().expect("it has power"));
        let mut power = self.power.take().expect("it has power");
        wait::until("the end of its processes", || power.try_wait().expect("a child of ours"));
    }

    /// Gives it power again: it boots with what is on its disk.
    ///
    /// # Panics
    /// When it has power, or does not boot in time.
    pub fn on(&mut self) {
        assert!(self.power.is_none(), "it has power");
        self.boot();
        self.until_docker();
    }

    fn boot(&mut self) {
        let name = self.home.parent().and_then(Path::file_name).expect("a name").to_string_lossy();
        let power = Command::new("/bin/sh")
            .args(["-c", POWER, "sh"])
            .arg(&self.home)
            .arg(format!("{name}-{}", self.number))
            .arg(&self.berth)
            .arg(HOST)
            .arg(self.heartbeat_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.home.join("host.log")).expect("a log"))
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        self.power = Some(power);
        let init = wait::until("the host's first process", || self.init());
        let (number, address) = (self.number, self.address());
        // The port of an earlier life goes a moment after it.
        let plug = format!(
            "ip link del p{number}; ip link add p{number} type veth peer name eth0 address 02:00:00:00:00:{number:02x} netns {init} \
             && ip link set p{number} master br0 up"
        );
        wait::until("a port of the switch", || in_net(self.switch, &plug));
        let up = format!("ip addr add {address}/24 dev eth0 && ip link set eth0 up");
        assert!(in_net(init, &up).is_some(), "host {number} has no network");
    }

    fn until_docker(&self) {
        wait::until("its Docker engine", || self.docker.answers().then_some(()));
    }

    /// Its first process, as this machine counts: the child of `unshare`, in a network of its own.
    fn init(&self) -> Option<u32> {
        let all = processes::below(self.power.as_ref()?.id());
        let unshare =
            all.iter().find(|process| process.arguments.first().is_some_and(|name| name == "unshare"))?;
        let init = all.iter().find(|process| process.parent == unshare.pid)?.pid;
        let net = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        (net(&init.to_string())? != net("self")?).then_some(init)
    }

    fn on_switch(&self, script: &str) {
        assert!(in_net(self.switch, script).is_some(), "`{script}` failed on the switch");
    }

    fn print_logs(&self) {
        for name in ["host.log", "dockerd.log", "dtma.log"] {
            let text = fs::read(self.home.join(name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().rev().take(LAST_WORDS).collect();
            eprintln!("--- host {}: {name}", self.number);
            for line in lines.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.all.iter().for_each(Host::print_logs);
        }
        let mut powers: Vec<Child> = self.all.iter_mut().filter_map(|host| host.power.take()).collect();
        for power in &mut powers {
            drop(power.stdin.take());
        }
        // Each keeper ends by itself; there is nothing to do about one that does not.
        for power in &mut powers {
            let _ = power.wait();
        }
        drop(self.switch.stdin.take());
        let _ = self.switch.wait();
    }
}

/// Passes bytes both ways until both sides have ended.
pub(crate) fn copy_both(near: &TcpStream, far: &TcpStream) {
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        // However it ends, the other side is told so.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(near, far));
        copy(far, near);
    });
}

fn net_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// Runs a script in the network of a process; `None` when it fails.
fn in_net(pid: u32, script: &str) -> Option<()> {
    let status = Command::new("nsenter")
        .arg(format!("--net={}", net_of(pid).display()))
        .args(["/bin/sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("`nsenter` starts");
    status.success().then_some(())
}
