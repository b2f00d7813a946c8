//! Several hosts, each with an engine and a DTMA of its own, that the control plane dials: what goes on while one is cut off
//! or has no power, and how it comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::hosts::{CONTROL, Host, Hosts};
use testkit::mcp::Mcp;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// The hosts report this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// What a busy machine may add to a time that is promised.
const SLACK: Duration = Duration::from_secs(3);
/// A call to a host that is cut off is given up by then: ten seconds without an acknowledgement.
const BOUND: Duration = Duration::from_secs(12);

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Somebody who calls one instance, one call after the other.
struct Caller {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Caller {
    fn start(platform: &Platform, instance: &str, tool: &'static str, arguments: &Value) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, token) = (platform.mcp_url(instance), platform.token().to_owned());
        let (stopped, arguments) = (Arc::clone(&stop), arguments.clone());
        let thread = std::thread::spawn(move || {
            run(async {
                let client = Mcp::open(&url, &token).await.expect("a session");
                let (mut calls, mut errors) = (0, Vec::new());
                while !stopped.load(Ordering::Relaxed) {
                    calls += 1;
                    let call = tokio::time::timeout(BOUND, client.call(tool, arguments.clone())).await;
                    match call {
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => errors.push(error.to_string()),
                        Err(late) => errors.push(late.to_string()),
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                (calls, errors)
            })
        });
        Self { stop, thread }
    }

    /// Ends it; how often it called. No call may have failed.
    #[track_caller]
    fn end(self, who: &str) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (calls, errors) = self.thread.join().expect("it does not panic");
        assert!(
            errors.is_empty(),
            "{who}: {} of {calls} calls failed, the first: {}",
            errors.len(),
            errors[0]
        );
        calls
    }
}

/// How a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Dialled,
    Tunnel,
}

/// Makes a host an environment, as its owner does.
pub(crate) fn join(platform: &Platform, host: &Host, name: &str, way: Way) -> String {
    let address = format!("{}:30000", host.address());
    let add = ["env", "add", "host", "--name", name];
    let (add, options) = match way {
        Way::Dialled => (
            [&add[..], &["--address", &address, "--insecure-http"]].concat(),
            format!("--listen {address} --insecure-http"),
        ),
        Way::Tunnel => (add.to_vec(), "--tunnel --insecure-http".to_owned()),
    };
    let line = platform.ok(&add);
    assert!(
        line.contains(" --insecure-http ") && line.contains(&format!("--url {} ", platform.url())),
        "{line}"
    );
    let added = platform.json(&["env", "show", name]);
    let id = added["id"].as_str().expect("an id").to_owned();
    assert_eq!(added["status"], "awaiting_heartbeat");
    let url = platform.url();
    let enrol = ["dtma", "enrol", "--environment", &id, "--control-url", url, "--token-file", "-"];
    host.berth(&enrol, &platform.ok(&["env", "token", name]));
    host.run_dtma(&options);
    id
}

/// Waits until an environment has a status; how long that took.
#[track_caller]
pub(crate) fn until_environment(platform: &Platform, name: &str, status: &str) -> Duration {
    let start = Instant::now();
    wait::until(&format!("`{name}` to be {status}"), || {
        (platform.json(&["env", "show", name])["status"] == status).then_some(())
    });
    start.elapsed()
}

/// The container of an instance as its host's engine has it.
fn container(platform: &Platform, host: &Host, name: &str) -> Option<Value> {
    let id = platform.instance(name)?["id"].as_str()?.to_owned();
    host.docker().get(&format!("/containers/berth-{id}/json"))
}

/// What tells one run of a container from the next.
fn life(container: &Value) -> [Value; 3] {
    [container["Id"].clone(), container["State"]["StartedAt"].clone(), container["State"]["Pid"].clone()]
}

/// Answers of the gateway's own: status and message of a call that cannot be made, and how long it took.
fn refused(client: &Mcp) -> (u16, String, Duration) {
    let start = Instant::now();
    let call = testkit::mcp::request(9, "tools/call", &json!({"name": "test_simple_text", "arguments": {}}));
    let answer = run(client.post(&call)).expect("the gateway answers");
    let message = answer.message()["error"]["message"].as_str().expect("an error").to_owned();
    (answer.status, message, start.elapsed())
}

/// The platform, the hosts, and when it all began.
struct Fleet {
    platform: Platform,
    hosts: Hosts,
    ids: Vec<String>,
    begun: Instant,
}

const NAMES: [&str; 3] = ["first", "second", "third"];

impl Fleet {
    /// A control plane and three hosts that report to it.
    fn start() -> Self {
        let begun = Instant::now();
        let heartbeat = HEARTBEAT.as_millis().to_string();
        let mut hosts = Hosts::start(BERTH, 3, heartbeat.parse().expect("a number"));
        hosts.enter();
        let arguments = ["--runtime", "process", "--heartbeat-ms", &heartbeat];
        let platform = Platform::start_at(BERTH, &format!("{CONTROL}:8420"), &arguments, &[]);
        let ways = [Way::Dialled, Way::Tunnel, Way::Dialled];
        let ids = (NAMES.iter().zip(ways).enumerate())
            .map(|(i, (name, way))| join(&platform, hosts.host(i + 1), name, way))
            .collect();
        for name in NAMES {
            until_environment(&platform, name, "active");
        }
        let fleet = Self { platform, hosts, ids, begun };
        fleet.step("three environments are active");
        fleet
    }

    #[expect(clippy::print_stderr, reason = "what a failed test shows beside its message")]
    fn step(&self, what: &str) {
        eprintln!("{:5.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// An instance on each, and a container tool on the third.
    fn deploy(&mut self) {
        let entry = r#"ENTRYPOINT ["/fixture"]"#;
        let listen = r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#;
        for number in [1, 3] {
            let docker = self.hosts.host(number).docker();
            docker.image("stdio:1", &[("/fixture", &fixture())], &[entry]);
            docker.image("tool:1", &[("/fixture", &fixture())], &[entry, listen]);
        }
        for arguments in [
            &["oci:stdio:1", "--name", "one", "--env", "first"][..],
            &["welcome", "--name", "two", "--env", "second"],
            &["oci:stdio:1", "--name", "three", "--env", "third"],
            &[
                &["oci:tool:1", "--tool", "--name", "tool", "--env", "third", "--publish", "7180:80"][..],
                &["--health", "http:80/health", "--volume", "d:/data"],
            ]
            .concat(),
        ] {
            self.platform.ok(&[&["deploy", "--wait"], arguments].concat());
        }
        self.step("four instances run");
        let shown = self.platform.ok(&["env", "show", "third"]);
        for word in ["10.91.0.13:30000", "three (running)", "tool (running)", "protection", "heartbeat"] {
            assert!(shown.contains(word), "no `{word}` in {shown}");
        }
        let table = self.platform.ok(&["env", "list"]);
        for word in ["first", "second", "third", "(its own tunnel)", "(the control plane's machine)"] {
            assert!(table.contains(word), "no `{word}` in {table}");
        }
    }

    /// What a host says of another is refused.
    fn check_tokens(&self) {
        let token = self.platform.ok(&["env", "token", "first"]);
        let heartbeat = json!({
            "environment": self.ids[1], "dtma_version": "0", "sequence": 1, "started_at": 1, "instances": [],
            "protections": [], "system": {"cpu_load_percent": 0.0, "cores": 1, "uptime_seconds": 1,
                "memory": {"total_bytes": 1, "active_bytes": 0, "free_bytes": 1, "used_bytes": 0}},
        });
        let beat = Mcp::new(&format!("{}/api/v1/dtma/heartbeat", self.platform.url()), token.trim());
        assert_eq!(run(beat.post(&heartbeat)).expect("an answer").status, 403);
    }

    fn session(&self, instance: &str) -> Mcp {
        run(Mcp::open(&self.platform.mcp_url(instance), self.platform.token())).expect("a session")
    }

    fn life_of(&mut self, number: usize, instance: &str) -> [Value; 3] {
        let found = container(&self.platform, self.hosts.host(number), instance);
        life(&found.expect("its container"))
    }

    /// The third host is cut off, while a call to it is on its way, and plugged in again.
    fn cut_off_and_back(&mut self) {
        let three = self.session("three");
        run(three.call("test_simple_text", json!({}))).expect("it answers");
        let before = self.life_of(3, "three");
        self.hosts.host(3).cut();
        self.step("the third host is cut off");
        let cut = Instant::now();
        let in_flight = {
            let three = three.clone();
            std::thread::spawn(move || refused(&three))
        };
        until_environment(&self.platform, "third", "unresponsive");
        let noticed = cut.elapsed();
        self.step("it is unresponsive");
        assert!(noticed <= HEARTBEAT * 3 + SLACK, "noticed after {noticed:?}");
        // The gateway's picture follows the rows within a moment.
        let words = "`third` does not report (unresponsive)";
        let (status, message, time) = wait::until("the gateway to know it", || {
            Some(refused(&three)).filter(|(_, message, _)| message.contains(words))
        });
        assert_eq!(status, 503, "{message}");
        assert!(time < SLACK, "refused after {time:?}");
        let shown = self.platform.json(&["env", "show", "third"])["message"].to_string();
        assert!(shown.contains("no heartbeat since"), "{shown}");
        self.wait_for_a_host_that_is_away();
        let (status, message, time) = in_flight.join().expect("it does not panic");
        self.step("what was on its way has failed");
        assert_eq!(status, 502, "{message}");
        assert!(message.contains("whether the call took effect is not known"), "{message}");
        assert!(time < BOUND, "given up after {time:?}");

        self.hosts.host(3).heal();
        self.step("it is plugged in");
        until_environment(&self.platform, "third", "active");
        self.step("it is active");
        run(three.call("test_simple_text", json!({}))).expect("its session goes on");
        assert_eq!(self.life_of(3, "three"), before, "nothing was restarted");
        self.platform.wait_for("late", "running");
        wait::until("the end of `tool`", || self.platform.instance("tool").is_none().then_some(()));
        let left = self.hosts.host(3).docker().containers();
        assert_eq!(left.len(), 2, "the tool's container is gone: {left:?}");
        self.step("what waited is done");
    }

    /// What is asked for meanwhile waits, and says why.
    fn wait_for_a_host_that_is_away(&self) {
        self.platform.ok(&["deploy", "oci:stdio:1", "--name", "late", "--env", "third"]);
        self.platform.ok(&["remove", "tool", "--yes"]);
        for (name, status) in [("late", "pending_deploy"), ("tool", "deleting")] {
            let found = self.platform.instance(name).expect("it waits");
            let message = found["message"].as_str().unwrap_or_default();
            let reasons = ["has not reported since", "its DTMA does not answer", "did not answer within"];
            assert!(reasons.iter().any(|reason| message.contains(reason)), "{found}");
            assert_eq!(found["status"], status);
        }
    }

    /// The first host loses power and boots again; nobody asks for anything.
    fn power_off_and_on(&mut self) {
        let one = self.session("one");
        let before = self.life_of(1, "one");
        self.hosts.host(1).off();
        self.step("the first host has no power");
        until_environment(&self.platform, "first", "unresponsive");
        self.step("it is unresponsive");
        self.hosts.host(1).on();
        until_environment(&self.platform, "first", "active");
        self.step("it is active");
        wait::until("an answer of `one`", || {
            let call = async { tokio::time::timeout(BOUND, one.call("test_simple_text", json!({}))).await };
            run(call).ok()?.ok()
        });
        self.step("its session goes on");
        let after = self.life_of(1, "one");
        assert_ne!(before[1], after[1], "it was started again");
        assert_eq!(self.hosts.host(1).docker().containers().len(), 1, "once");
        self.platform.wait_for("one", "running");
    }

    /// An environment goes when nothing is in it.
    fn remove(&self, environment: &str, instance: &str) {
        let kept = self.platform.run(&["env", "remove", environment, "--yes"]);
        let said = String::from_utf8_lossy(&kept.stderr);
        let words = format!("`{environment}` has an instance: `{instance}`");
        assert!(!kept.status.success() && said.contains(&words), "{said}");
        self.platform.ok(&["remove", instance, "--yes"]);
        wait::until("the instance's end", || self.platform.instance(instance).is_none().then_some(()));
        self.platform.ok(&["env", "remove", environment, "--yes"]);
        let left = self.platform.json(&["env", "list"]);
        assert!(left.as_array().expect("a list").iter().all(|one| one["name"] != environment), "{left}");
        self.step(&format!("`{environment}` is removed"));
    }
}

#[test]
fn three_hosts_one_cut_off_and_one_without_power() {
    let mut fleet = Fleet::start();
    fleet.deploy();
    fleet.check_tokens();
    let callers = [
        Caller::start(&fleet.platform, "one", "test_simple_text", &json!({})),
        Caller::start(&fleet.platform, "two", "echo", &json!({"message": "hi"})),
    ];
    fleet.cut_off_and_back();
    let [one, two] = callers;
    let made = (one.end("one"), two.end("two"));
    eprintln!("calls to the others meanwhile, none of which failed: {made:?}");
    assert!(20 < made.0 && 20 < made.1, "they called on: {made:?}");
    fleet.power_off_and_on();
    fleet.remove("first", "one");
    fleet.remove("second", "two");
}
