//! A platform with instances of every kind, and what is done with one more of them while somebody dies.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::docker::Docker;
use testkit::mcp::Mcp;
use testkit::platform::Platform;
use testkit::registry::Registry;
use testkit::wait;

use super::plan::{Kind, Moment, Step, Victim};
use super::{invariants, victims};
use crate::BERTH;
use crate::conformance::fixture;

/// Whatever was killed, all must be as it is wanted within this.
const SETTLED: Duration = Duration::from_mins(1);
/// A call is answered or fails within this, whoever dies meanwhile.
const CALL_ENDS: Duration = Duration::from_secs(20);
/// How long a call of the fixture's `wait` takes.
const CALL_MS: u64 = 700;
/// The moments of a start follow each other; one that does not come was jumped over.
const COMES: Duration = Duration::from_secs(5);
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
    pulled: String,
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
        for (name, kind) in
            [("stdio", Kind::Stdio), ("http", Kind::Http), ("file", Kind::File), ("tool", Kind::Tool)]
        {
            stage.deploy(name, kind);
        }
        stage.deploy("resting", Kind::Stdio);
        stage.stop("resting");
        let (url, token) = (stage.platform.url().to_owned(), stage.platform.token().to_owned());
        for member in stage.members.iter_mut().filter(|member| member.running && member.kind != Kind::Tool) {
            let url = format!("{url}/mcp/default/{}", member.name);
            member.session = Some(stage.tokio.block_on(Mcp::open(&url, &token)).unwrap());
        }
        assert!(invariants::get(docker, stage.members[4].port, "/keep/treasure").is_some());
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

    /// Takes a step and sees that all is as wanted afterwards. Says whether the moment came.
    pub(super) fn take(&mut self, name: &str, step: &Step) -> &'static str {
        self.prepare(name, step);
        let before = self.files(name);
        let running = victims::running(self);
        let act = self.begin(name, step);
        let came = self.wait_for(step, name, &before);
        // The moment is random, and that is the point.
        std::thread::sleep(step.after);
        let mut killed = victims::kill(self, step.victim, name);
        if let Some((second, later)) = step.second {
            if (step.victim, second) == (Victim::Dtma, Victim::ControlPlane) {
                victims::start_without_control_plane(self, later);
            } else {
                std::thread::sleep(later);
                killed.append(&mut victims::kill(self, second, name));
            }
        }
        self.finish(name, step, act);
        self.settle();
        victims::check_spared(self, &running, step, &killed);
        if self.member(name).is_some() {
            self.platform.ok(&["remove", name, "--yes"]);
            self.members.retain(|member| member.name != name);
        }
        match (came, killed.is_empty()) {
            (true, false) => "hit ",
            (true, true) => "none",
            (false, _) => "late",
        }
    }

    /// Kills everything of the host at once.
    pub(super) fn crash(&mut self) {
        let engine = self.docker.pid();
        let containerd = self.docker.containerd();
        let in_containers = self.docker.processes();
        let pids = in_containers.values().flatten().map(|process| process.pid);
        for pid in [engine].into_iter().chain(containerd).chain(pids) {
            testkit::processes::kill(pid);
        }
        self.platform.crash();
    }

    /// Waits until all is as it is wanted.
    #[track_caller]
    pub(super) fn settle(&self) {
        self.docker.wait();
        let deadline = Instant::now() + SETTLED;
        loop {
            let problems = invariants::problems(self);
            if problems.is_empty() {
                return;
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

    fn enter(&mut self, name: &str, kind: Kind, running: bool) {
        let instance = self.platform.instance(name).expect("the instance");
        let id = instance["id"].as_str().expect("an id").to_owned();
        let port = port_of(name);
        self.members.push(Member { name: name.to_owned(), kind, id, running, session: None, port });
    }

    fn deploy(&mut self, name: &str, kind: Kind) {
        let arguments = self.deployment(name, kind, false);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // Not `--wait`: containerd may be on its way back, which would be told as an error, rightly.
        self.platform.ok(&arguments);
        self.platform.wait_for(name, "running");
        self.enter(name, kind, true);
    }

    fn stop(&mut self, name: &str) {
        self.platform.ok(&["stop", name]);
        self.platform.wait_for(name, "stopped");
        self.members.iter_mut().find(|member| member.name == name).expect("it is there").running = false;
    }

    fn deployment(&self, name: &str, kind: Kind, pulled: bool) -> Vec<String> {
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

    /// Brings the instance to where the step begins.
    fn prepare(&mut self, name: &str, step: &Step) {
        match step.moment {
            Moment::Pull => {
                if self.docker.get(&format!("/images/{}/json", self.pulled)).is_some() {
                    // A container that is just going may still have it.
                    wait::until("the end of its containers", || {
                        let list = self.docker.containers();
                        (!list.iter().any(|found| found["Image"] == self.pulled)).then_some(())
                    });
                    self.docker.delete(&format!("/images/{}", self.pulled));
                }
            }
            Moment::Create => {}
            Moment::Start => {
                self.deploy(name, step.kind);
                self.stop(name);
            }
            Moment::Probe | Moment::Call | Moment::Stop | Moment::Remove => self.deploy(name, step.kind),
        }
    }

    fn words(&self, name: &str, step: &Step) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match step.moment {
            Moment::Pull => self.deployment(name, step.kind, true),
            Moment::Create => self.deployment(name, step.kind, false),
            Moment::Start => owned(&["start", name]),
            Moment::Probe => owned(&["restart", name]),
            Moment::Call => vec![],
            Moment::Stop => owned(&["stop", name]),
            Moment::Remove => owned(&["remove", name, "--yes"]),
        }
    }

    fn begin(&self, name: &str, step: &Step) -> Act {
        if step.moment == Moment::Call {
            return self.call(name, step.kind);
        }
        let words = self.words(name, step);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.platform.command(&words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Act::Command(command.spawn().expect("`berth` starts"))
    }

    /// A call that takes its time; returns when it is on its way.
    fn call(&self, name: &str, kind: Kind) -> Act {
        let (url, token) = (self.platform.mcp_url(name), self.platform.token().to_owned());
        let (docker, port) = (self.docker, port_of(name));
        let (ready, begun) = mpsc::channel();
        let (tell, answer) = mpsc::channel();
        std::thread::spawn(move || {
            if kind == Kind::Tool {
                ready.send(()).unwrap();
                let kept = invariants::get(docker, port, "/kept");
                return drop(tell.send(kept.map(drop).ok_or_else(|| "no answer".to_owned())));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let answer = runtime.block_on(async {
                let client = Mcp::open(&url, &token).await.map_err(|error| format!("{error:#}"))?;
                ready.send(()).unwrap();
                let result = client.call("wait", json!({"ms": CALL_MS})).await;
                let result = result.map_err(|error| format!("{error:#}"))?;
                if result["content"][0]["text"] == "waited" {
                    Ok(())
                } else {
                    Err(format!("wrong: {result}"))
                }
            });
            // Nobody listens once the test has failed.
            drop(tell.send(answer));
        });
        begun.recv_timeout(CALL_ENDS).expect("a session before anything is killed");
        Act::Call(answer)
    }

    /// Waits for the moment; whether it came.
    fn wait_for(&self, step: &Step, name: &str, before: &BTreeMap<&'static str, String>) -> bool {
        let word = match step.moment {
            Moment::Pull => "spec.json",
            Moment::Create | Moment::Start if step.kind != Kind::File || self.all_contained => "container",
            Moment::Create | Moment::Start => "record.json",
            Moment::Probe => "shim.pid",
            Moment::Call | Moment::Stop | Moment::Remove => return true,
        };
        let deadline = Instant::now() + COMES;
        while Instant::now() < deadline {
            let now = self.files(name);
            if now.contains_key(word) && now.get(word) != before.get(word) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// What the disk has of an instance, of one that is new here too.
    fn files(&self, name: &str) -> BTreeMap<&'static str, String> {
        let dir = if let Some(member) = self.member(name) {
            self.instance_dir(&member.id)
        } else {
            let all = names(&self.platform.data().join("dtma/instances"));
            let new = all.into_iter().find(|id| self.members.iter().all(|member| member.id != *id));
            let Some(new) = new else { return BTreeMap::new() };
            self.instance_dir(&new)
        };
        let read = |word: &'static str| Some((word, fs::read_to_string(dir.join(word)).ok()?));
        ["spec.json", "container", "record.json", "shim.pid"].into_iter().filter_map(read).collect()
    }

    /// Sees what became of what was begun, and does it again where the control plane died before it said yes. What it
    /// said yes to must come true.
    fn finish(&mut self, name: &str, step: &Step, act: Act) {
        let said_yes = match act {
            Act::Command(mut child) => {
                let ended =
                    wait::until("the end of the command", || child.try_wait().expect("a child of ours"));
                ended.success()
            }
            Act::Call(answer) => {
                let answer = answer.recv_timeout(CALL_ENDS).expect("a call ends, whoever dies");
                let harmless = |victim: Victim| match victim {
                    Victim::Dtma => true,
                    Victim::Containerd | Victim::Dockerd => step.kind == Kind::File && !self.all_contained,
                    Victim::Server | Victim::Shim | Victim::ControlPlane => false,
                };
                if harmless(step.victim) && step.second.is_none_or(|(second, _)| harmless(second)) {
                    assert_eq!(answer, Ok(()), "a call that nobody of its way died under");
                }
                return;
            }
        };
        let words = self.words(name, step);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let is_there = wait::until("the list", || {
            let output = self.platform.run(&["list", "--json"]);
            let list: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            Some(list.as_array()?.iter().any(|item| item["name"] == name))
        });
        let is_done = said_yes
            || match step.moment {
                Moment::Pull | Moment::Create => is_there,
                Moment::Remove => !is_there,
                _ => false,
            };
        if !is_done {
            wait::until("a yes", || self.platform.run(&words).status.success().then_some(()));
        }
        match step.moment {
            Moment::Pull | Moment::Create => self.enter(name, step.kind, true),
            Moment::Remove => self.members.retain(|member| member.name != name),
            _ => {
                let member = self.members.iter_mut().find(|member| member.name == name);
                member.expect("it is there").running = step.moment != Moment::Stop;
            }
        }
    }
}

/// What was begun.
enum Act {
    Command(std::process::Child),
    Call(mpsc::Receiver<Result<(), String>>),
}

/// Where a tool of this name is published.
fn port_of(name: &str) -> u16 {
    if name == "tool" { 7190 } else { 7191 }
}

/// What lies in a directory; nothing when there is none.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
