//! A Docker engine for tests: a private dockerd for each test process, with a network, containers and images that nobody
//! else sees, and images made of single files, without a registry.
//!
//! It lives in network and mount namespaces of its own, so that neither its bridges and packet filters nor its containerd
//! meet another engine's. It ends with the test process, however that ends, and takes its containers along.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use rustix::process::Signal;
use serde_json::Value;

use crate::{processes, wait};

/// How long an engine may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs dockerd, again when it was killed, until the standard input ends. That is a pipe whose other end only the test
/// process has. What dockerd leaves behind when it was killed is found by its directory and by its control group.
const KEEPER: &str = r#"
home=$1
group=${home##*/}
ip link set lo up
mkdir -p /run/containerd
mount -t tmpfs tmpfs /run/containerd
if [ -n "$2" ]; then
    mkdir -p "$home/data"
    mount -t tmpfs -o "size=$2" tmpfs "$home/data"
fi
if [ -n "$3" ]; then
    # Its containers' root is this user, whom only this tree of mounts knows.
    chmod 711 "$home"
    for file in passwd group subuid subgid; do
        cat "/etc/$file" >"$home/$file"
        case $file in
            passwd) echo "dockremap:x:$3:$3::/:/bin/false" ;;
            group) echo "dockremap:x:$3:" ;;
            *) echo "dockremap:$3:65536" ;;
        esac >>"$home/$file"
        mount --bind "$home/$file" "/etc/$file"
    done
    set -- "$1" "$2" --userns-remap=dockremap
fi
(
    while [ ! -e "$home/stop" ]; do
        dockerd --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/docker.pid" \
            --host "unix://$home/docker.sock" --cgroup-parent "/$group" --shutdown-timeout 5 --log-level warn $3 </dev/null
        # Its containerd dies with it. Where nobody reaps that at once, the next dockerd would take it for a living one and
        # wait for it in vain.
        tries=0
        while containerd=$(cat "$home/exec/containerd/containerd.pid") && [ $tries -lt 100 ] \
            && grep -q '^State:[[:space:]]*[^ZX]' "/proc/$containerd/status"; do
            sleep 0.05
            tries=$((tries + 1))
        done
        rm -f "$home/exec/containerd/containerd.pid"
        sleep 0.1
    done
) &
loop=$!
cat >/dev/null
touch "$home/stop"
engine=$(cat "$home/docker.pid")
kill "$engine"
# A test may have stopped it where it was, and failed.
kill -CONT "$engine"
tries=0
while kill -0 "$engine" && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -9 "$engine"
wait $loop
groups="/sys/fs/cgroup/$group /sys/fs/cgroup/*/$group"
cat $(find $groups -name cgroup.procs) </dev/null | sort -u | while read -r pid; do kill -9 "$pid"; done
for process in /proc/[0-9]*; do
    tr '\0' ' ' <"$process/cmdline" | grep -q "^[a-z/0-9-]*containerd.*$home" && kill -9 "${process##*/}"
done
# What was killed lets go of its files in a moment.
tries=0
while [ -e "$home" ] && [ $tries -lt 50 ]; do
    umount -l -R "$home/data"
    rm -rf "$home"
    sleep 0.1
    tries=$((tries + 1))
done
find $groups -depth -type d -exec rmdir {} ';'
"#;

/// The test process's engine; started at the first call.
///
/// # Panics
/// When none can be started; the message says what to install.
pub fn engine() -> &'static Docker {
    static ENGINE: OnceLock<Docker> = OnceLock::new();
    ENGINE.get_or_init(|| match Docker::start() {
        Ok(docker) => docker,
        Err(error) => panic!("{error:#}"),
    })
}

/// A running engine. It ends when this is dropped, and when the process ends in whatever way.
#[derive(Debug)]
pub struct Docker {
    home: PathBuf,
    /// Absent for an engine that another one keeps.
    keeper: Option<Child>,
}

impl Docker {
    /// Starts a dockerd and waits until it answers.
    ///
    /// # Errors
    /// When Docker is not installed or does not start; the message has its last words.
    pub fn start() -> Result<Self> {
        Self::start_on("", "")
    }

    /// As [`Docker::start`], with a disk of its own of so many MiB for images and containers.
    ///
    /// # Errors
    /// As there.
    pub fn start_small(mebibytes: u32) -> Result<Self> {
        Self::start_on(&format!("{mebibytes}m"), "")
    }

    /// As [`Docker::start`], with `userns-remap`: root in its containers is an ordinary user.
    ///
    /// # Errors
    /// As there.
    pub fn start_remapping() -> Result<Self> {
        Self::start_on("", "231072")
    }

    fn start_on(size: &str, user: &str) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a private Docker engine needs root: run the tests as root"
        );
        ensure!(
            ["/usr/bin/dockerd", "/usr/sbin/dockerd"].iter().any(|path| Path::new(path).exists()),
            "Docker is not installed: run `apt-get install docker.io`"
        );
        let home = tempfile::Builder::new().prefix("berth-docker-").tempdir()?.keep();
        let mut log = tempfile::tempfile()?;
        let keeper = Command::new("unshare")
            .args(["--net", "--mount", "/bin/sh", "-c", KEEPER, "sh"])
            .arg(&home)
            .arg(size)
            .arg(user)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .current_dir(&home)
            .process_group(0)
            .spawn()
            .context("`unshare` cannot be started")?;
        let mut docker = Self { home, keeper: Some(keeper) };
        let deadline = Instant::now() + PATIENCE;
        while !docker.answers() {
            let ended = match &mut docker.keeper {
                Some(keeper) => keeper.try_wait()?.is_some(),
                None => false,
            };
            if ended || deadline < Instant::now() {
                let mut said = String::new();
                log.rewind()?;
                log.read_to_string(&mut said)?;
                bail!("dockerd does not answer:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(docker)
    }

    /// The engine whose socket is, or will be, in this directory, and which somebody else keeps.
    pub(crate) fn at(home: PathBuf) -> Self {
        Self { home, keeper: None }
    }

    /// Where it keeps images and containers, as this process sees it.
    pub fn data(&self) -> PathBuf {
        let path = self.home.join("data");
        // In its own tree of mounts.
        Path::new("/proc")
            .join(self.pid().to_string())
            .join("root")
            .join(path.strip_prefix("/").unwrap_or(&path))
    }

    /// Whether it answers.
    pub(crate) fn answers(&self) -> bool {
        self.request("GET", "/_ping", &[]).is_ok()
    }

    /// The value of `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.home.join("docker.sock").display())
    }

    /// Makes an image of files (path in the image, path here; all executable) with the changes of a Dockerfile, such as
    /// `ENTRYPOINT ["/server"]`.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn image(&self, name: &str, files: &[(&str, &Path)], changes: &[&str]) {
        let files =
            files.iter().map(|(target, source)| (*target, fs::read(source).expect("a file for the image")));
        self.import(name, &tar(files), changes);
    }

    /// Makes an image of an archive of its files, with the changes of a Dockerfile.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn import(&self, name: &str, archive: &[u8], changes: &[&str]) {
        let (repo, tag) = name.split_once(':').expect("a name with a tag");
        let mut path = format!("/images/create?fromSrc=-&repo={repo}&tag={tag}");
        for change in changes {
            path = format!("{path}&changes={}", percent_encoded(change));
        }
        // The engine does not read what pads an archive after its two last blocks, and resets a connection on it.
        let end =
            archive.iter().rposition(|&byte| byte != 0).unwrap_or_default().next_multiple_of(512) + 1024;
        let archive = &archive[..end.min(archive.len())];
        let (status, answer) = self.request("POST", &path, archive).expect("the engine answers");
        assert!(status == 200 && !answer.contains("errorDetail"), "{name}: {status}: {answer}");
    }

    /// Makes an image as a Dockerfile says, with these files beside it, which everybody may execute. Nothing in it has a
    /// network.
    ///
    /// # Panics
    /// When a step fails.
    pub fn build(&self, name: &str, dockerfile: &str, files: &[(&str, &str)]) {
        let files = files.iter().copied().chain([("Dockerfile", dockerfile)]);
        let archive = tar(files.map(|(path, text)| (path, text.as_bytes().to_vec())));
        let path = format!("/build?t={name}&networkmode=none");
        let (status, answer) = self.request("POST", &path, &archive).expect("the engine answers");
        assert!(status == 200 && !answer.contains("errorDetail"), "{name}: {status}: {answer}");
    }

    /// Says something to a port of the engine's loopback address, and what is answered until the other side ends; `None`
    /// when nobody listens there.
    ///
    /// # Panics
    /// When the answer does not end.
    pub fn talk(&self, port: u16, said: &[u8]) -> Option<String> {
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        let mut stream = self.in_its_network(connect)?;
        stream.set_read_timeout(Some(wait::PATIENCE)).expect("a timeout");
        stream.write_all(said).ok()?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("{port} does not end"),
            // What took the connection for somebody who is away.
            Err(_) => None,
            Ok(_) => Some(String::from_utf8_lossy(&answer).into_owned()),
        }
    }

    /// Does something in the engine's network, whose loopback address the published ports are on.
    ///
    /// # Panics
    /// When it cannot be entered, or what is done panics.
    pub fn in_its_network<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.pid())).expect("its network");
        // A thread of its own, which ends there: no other of this process may find itself in another network.
        let there = std::thread::scope(|scope| {
            let act = || {
                rustix::thread::move_into_link_name_space(network.as_fd(), None).expect("its network");
                act()
            };
            scope.spawn(act).join()
        });
        there.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Loads an empty image for another kind of machine, such as `riscv64`.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn foreign_image(&self, name: &str, architecture: &str) {
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
            "config": {"Entrypoint": ["/server"]},
        });
        let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": []}]);
        let files = [("config.json", config), ("manifest.json", manifest)];
        let archive = tar(files.map(|(path, content)| (path, content.to_string().into_bytes())));
        let (status, answer) = self.request("POST", "/images/load", &archive).expect("the engine answers");
        assert!(status == 200 && !answer.contains("errorDetail"), "{name}: {status}: {answer}");
    }

    /// Every container, running or not, as `GET /containers/json` has it.
    ///
    /// # Panics
    /// When the engine does not answer.
    pub fn containers(&self) -> Vec<Value> {
        let list = self.get("/containers/json?all=1").expect("the list of containers");
        list.as_array().expect("an array").clone()
    }

    /// An object of the engine by its path; `None` when there is none.
    ///
    /// # Panics
    /// When the engine does not answer.
    pub fn get(&self, path: &str) -> Option<Value> {
        let (status, text) = self.request("GET", path, &[]).expect("the engine answers");
        (status == 200).then(|| serde_json::from_str(&text).expect("JSON"))
    }

    /// Pushes an image; `None` when its registry does not take it.
    ///
    /// # Panics
    /// When the engine does not answer.
    pub fn push(&self, name: &str, tag: &str, (user, password): (&str, &str)) -> Option<()> {
        let login = serde_json::json!({"username": user, "password": password}).to_string();
        let login = base64::engine::general_purpose::URL_SAFE.encode(login);
        let path = format!("/images/{name}/push?tag={tag}");
        let (status, text) = self
            .request_with("POST", &path, &format!("X-Registry-Auth: {login}\r\n"), &[])
            .expect("the engine answers");
        (status == 200 && !text.contains("errorDetail")).then_some(())
    }

    /// Asks with a JSON body, or with none for null; the answer must be a success.
    ///
    /// # Panics
    /// When it is not.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        // A body that the engine does not read would make it reset the connection.
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, text) = self.request("POST", path, body.as_bytes()).expect("the engine answers");
        assert!((200..300).contains(&status), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Removes something; it must be there.
    ///
    /// # Panics
    /// When it is not.
    pub fn delete(&self, path: &str) {
        let (status, text) = self.request("DELETE", path, &[]).expect("the engine answers");
        assert!((200..300).contains(&status), "{path}: {status}: {text}");
    }

    /// The process id of dockerd.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn pid(&self) -> u32 {
        wait::until("dockerd", || {
            let pid = fs::read_to_string(self.home.join("docker.pid")).ok()?.trim().parse().ok()?;
            processes::is_alive(pid).then_some(pid)
        })
    }

    /// `kill -9` of dockerd; another one is started. Waits until that answers.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn crash(&self) {
        self.end(Signal::KILL);
    }

    /// As `systemctl restart docker` does it. Waits until the other one answers.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn restart(&self) {
        self.end(Signal::TERM);
    }

    fn end(&self, signal: Signal) {
        let pid = self.pid();
        processes::signal(pid, signal);
        wait::until("another dockerd", || (self.pid() != pid).then_some(()));
        self.wait();
    }

    /// Waits until dockerd answers and has its containerd.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait(&self) {
        wait::until("an answer of dockerd", || self.request("GET", "/_ping", &[]).ok());
        wait::until("its containerd", || self.containerd());
    }

    /// The process id of its containerd, which it starts again when it was killed; `None` while there is none.
    pub fn containerd(&self) -> Option<u32> {
        let home = self.home.display().to_string();
        let is_it = |process: &processes::Process| {
            process.arguments.first().is_some_and(|program| program.ends_with("containerd"))
                && process.arguments.iter().any(|argument| argument.starts_with(&home))
        };
        processes::all().into_iter().find(is_it).map(|process| process.pid)
    }

    /// The processes of each container, by the container's id, whatever the engine knows of them.
    pub fn processes(&self) -> BTreeMap<String, Vec<processes::Process>> {
        let group = self.home.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let group = format!("/{group}/");
        let mut found: BTreeMap<String, Vec<processes::Process>> = BTreeMap::new();
        for process in processes::all() {
            // One that has ended meanwhile is in no group.
            let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
            let container = groups.lines().find_map(|line| line.split_once(&group)?.1.split('/').next());
            if let Some(container) = container {
                found.entry(container.to_owned()).or_default().push(process);
            }
        }
        found
    }

    /// Stops dockerd where it is (SIGSTOP), or lets it go on (SIGCONT).
    pub fn freeze(&self, frozen: bool) {
        processes::signal(self.pid(), if frozen { Signal::STOP } else { Signal::CONT });
    }

    /// HTTP/1.0, so that an answer ends with its connection and is in one piece.
    fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<(u16, String)> {
        self.request_with(method, path, "", body)
    }

    fn request_with(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(self.home.join("docker.sock"))?;
        let kind = if ["/images/create", "/images/load", "/build"].iter().any(|tar| path.starts_with(tar)) {
            "application/x-tar"
        } else {
            "application/json"
        };
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: docker\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{headers}\r\n"
        )?;
        // An engine that refuses says why, and reads no further.
        let sent = stream.write_all(body);
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        if answer.is_empty() {
            sent.and(read.map(drop))?;
        }
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        drop(keeper.stdin.take());
        // The keeper ends once the engine has; there is nothing to do about one that does not.
        let _ = keeper.wait();
    }
}

fn tar<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, content) in files {
        archive.extend(tar_header(path, content.len()));
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// The header of a file that everybody may execute, as POSIX has it (ustar).
fn tar_header(path: &str, length: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path.trim_start_matches('/'));
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, "00000000000\0");
    // The sum is made with spaces in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded + char::from(byte).to_string().as_str()
        } else {
            format!("{encoded}%{byte:02X}")
        }
    })
}
