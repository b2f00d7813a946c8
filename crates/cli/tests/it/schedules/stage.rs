//! A platform with instances of every kind, and what is done with one more of them while somebody dies.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use testkit::docker::Docker;
use testkit::mcp::Mcp;
use testkit::platform::Platform;
use testkit::registry::Registry;
use testkit::wait;

use super::invariants;
use super::plan::Kind;
use crate::BERTH;
use crate::conformance::fixture;

/// Whatever was killed, all must be as it is wanted within this.
const SETTLED: Duration = Duration::from_secs(90);
/// The one thing that only the host's owner can mend, and how is in the status: then it is done, once.
const REMEDY: &str = "`systemctl restart docker` frees it";
/// What dockerd 20.10 says for good of a container that it was removing when containerd was killed: it has no name any more and
/// no process, and goes when the engine is started again. Nobody can take it away before.
const STUCK: &str = "is \"removing\"";
/// The names of the images, the first for standard input and output and HTTP.
const SERVER: &str = "stdio:1";
const TOOL: &str = "tool:1";

/// An instance and what is wanted of it.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) running: bool,
    /// Opened before anything was killed.
    pub(super) session: Option<Mcp>,
    /// Of a tool.
    pub(super) port: u16,
}

/// Everything that is there.
pub(super) struct Stage {
    pub(super) platform: Platform,
    pub(super) docker: &'static Docker,
    /// Whether everything runs in containers, or images alone.
    pub(super) all_contained: bool,
    /// `welcome` and the standing ones first, the one that is acted on last.
    pub(super) members: Vec<Member>,
    pub(super) tokio: tokio::runtime::Runtime,
    pub(super) networks_before: Vec<String>,
    pub(super) pulled: String,
    _registry: Registry,
    _padding: tempfile::TempDir,
}

impl Stage {
    /// A platform with one running instance of each kind and a stopped one.
    pub(super) fn set(docker: &'static Docker, runtime: &str) -> Self {
        let fixture = fixture();
        docker.image(SERVER, &[("/fixture", &fixture)], &[r#"ENTRYPOINT ["/fixture"]"#]);
        let command = r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#;
        docker.image(TOOL, &[("/fixture", &fixture)], &[r#"ENTRYPOINT ["/fixture"]"#, command]);
        // A layer of its own, so that each pull really fetches it.
        let padding = tempfile::tempdir().unwrap();
        let path = padding.path().join("padding");
        let mut noise = vec![];
        fs::File::open("/dev/urandom").unwrap().take(8 << 20).read_to_end(&mut noise).unwrap();
        fs::write(&path, noise).unwrap();
        docker.image(
            "pulled:1",
            &[("/fixture", &fixture), ("/padding", &path)],
            &[r#"ENTRYPOINT ["/fixture"]"#],
        );
        let registry = Registry::start(docker, 5000, false);
        let pulled = registry.take(docker, "pulled:1");
        docker.delete("/images/pulled:1");

        let networks_before = invariants::networks(docker);
        let platform = Platform::start_in(BERTH, &["--runtime", runtime], &[("DOCKER_HOST", &docker.host())]);
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut stage = Self {
            platform,
            docker,
            all_contained: runtime == "docker",
            members: vec![],
            tokio,
            networks_before,
            pulled,
            _registry: registry,
            _padding: padding,
        };
        stage.enter("welcome", Kind::File, true);
        let tool = ("tool", Kind::Tool);
        let others = [("http", Kind::Http), ("file", Kind::File), ("resting", Kind::Stdio)];
        stage.deploy(&[&[("stdio", Kind::Stdio), tool][..], &others].concat());
        stage.stop("resting");
        let (url, token) = (stage.platform.url().to_owned(), stage.platform.token().to_owned());
        for member in stage.members.iter_mut().filter(|member| member.running && member.kind != Kind::Tool) {
            let url = format!("{url}/mcp/default/{}", member.name);
            member.session = Some(stage.tokio.block_on(Mcp::open(&url, &token)).unwrap());
        }
        assert!(invariants::get(docker, port_of("tool"), "/keep/treasure").is_some());
        stage.settle();
        stage
    }

    /// Ends everything the right way; nothing stays on the engine.
    pub(super) fn strike(mut self) {
        for member in std::mem::take(&mut self.members) {
            self.platform.ok(&["remove", &member.name, "--yes"]);
        }
        self.settle();
    }

    /// Kills everything of the host at once, and starts Berth again.
    pub(super) fn crash(&mut self) {
        let engine = self.docker.pid();
        let containerd = self.docker.containerd();
        let in_containers = self.docker.processes();
        let pids = in_containers.values().flatten().map(|process| process.pid);
        for pid in [engine].into_iter().chain(containerd).chain(pids) {
            testkit::processes::kill(pid);
        }
        self.platform.crash();
        self.platform.up();
        // It listens elsewhere now.
        for member in &mut self.members {
            let url = self.platform.mcp_url(&member.name);
            member.session = member.session.as_ref().map(|session| session.at(&url));
        }
    }

    /// Waits until all is as it is wanted.
    #[track_caller]
    pub(super) fn settle(&self) {
        self.docker.wait();
        let mut deadline = Instant::now() + SETTLED;
        let mut told = false;
        loop {
            let problems = invariants::problems(self);
            if problems.is_empty() {
                return;
            }
            let says = |words: &str| problems.iter().any(|problem| problem.contains(words));
            // A removal takes a moment; one that the engine forgot takes for ever.
            let is_late = deadline.saturating_duration_since(Instant::now()) < SETTLED / 2;
            if !told && (says(REMEDY) || (is_late && says(STUCK))) {
                told = true;
                self.docker.restart();
                deadline = Instant::now() + SETTLED;
                continue;
            }
            assert!(Instant::now() < deadline, "after {SETTLED:?}:\n  {}", problems.join("\n  "));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(super) fn is_contained(&self, member: &Member) -> bool {
        self.all_contained || member.kind != Kind::File
    }

    pub(super) fn instance_dir(&self, id: &str) -> PathBuf {
        self.platform.data().join("dtma/instances").join(id)
    }

    /// Takes an instance that the control plane tells of for one that is wanted.
    pub(super) fn enter(&mut self, name: &str, kind: Kind, running: bool) {
        let instance = self.platform.instance(name).expect("the instance");
        let id = instance["id"].as_str().expect("an id").to_owned();
        let port = port_of(name);
        self.members.push(Member { name: name.to_owned(), kind, id, running, session: None, port });
    }

    /// Deploys some, and waits until they run.
    pub(super) fn deploy(&mut self, all: &[(&str, Kind)]) {
        for (name, kind) in all {
            let arguments = self.deployment(name, *kind, false);
            // Not `--wait`: containerd may be on its way back, which would be told as an error, rightly.
            self.platform.ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            self.enter(name, *kind, true);
        }
        for (name, _) in all {
            self.wait_until_it_runs(name);
        }
    }

    /// Its port may be one that the engine keeps from a schedule before.
    fn wait_until_it_runs(&self, name: &str) {
        let told = wait::until("it runs, or the remedy is told", || {
            let instance = self.platform.instance(name)?;
            let is_told = instance["message"].as_str().is_some_and(|message| message.contains(REMEDY));
            (is_told || instance["status"] == "running").then_some(is_told)
        });
        if told {
            self.docker.restart();
        }
        self.platform.wait_for(name, "running");
    }

    /// Stops one, and waits until it is.
    pub(super) fn stop(&mut self, name: &str) {
        self.platform.ok(&["stop", name]);
        self.platform.wait_for(name, "stopped");
        self.members.iter_mut().find(|member| member.name == name).expect("it is there").running = false;
    }

    pub(super) fn deployment(&self, name: &str, kind: Kind, pulled: bool) -> Vec<String> {
        let image = |own: &str| format!("oci:{}", if pulled { &self.pulled } else { own });
        let mut words: Vec<String> = ["deploy", "--name", name].map(str::to_owned).into();
        let mut add = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        match kind {
            Kind::Stdio => add(&[&image(SERVER), "--mode", "shared"]),
            Kind::Http => add(&[
                &image(SERVER),
                "--mode",
                "shared",
                "--transport",
                "http",
                "--arg=--transport",
                "--arg=http",
                "--arg=--listen",
                "--arg=127.0.0.1:{port}",
            ]),
            Kind::File => add(&[&format!("file:{}", fixture().display()), "--mode", "shared"]),
            Kind::Tool => {
                add(&[&image(TOOL), "--tool", "--volume", "data:/data", "--health", "http:80/health"]);
                add(&["--publish", &format!("{}:80", port_of(name))]);
                if pulled {
                    add(&["--arg=--tool", "--arg=/data", "--arg=--listen", "--arg=0.0.0.0:80"]);
                }
            }
        }
        words
    }
}

/// Where a tool of this name is published.
pub(super) fn port_of(name: &str) -> u16 {
    // The acts of a schedule are numbered.
    let number = name.rsplit('-').next().and_then(|number| number.parse::<u16>().ok());
    number.map_or(7190, |number| 7191 + number)
}

/// What lies in a directory; nothing when there is none.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
