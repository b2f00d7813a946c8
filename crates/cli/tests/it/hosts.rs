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
const SLACK: Duration = Duration::from_secs(2);
/// A call to a host that is cut off is given up by then: ten seconds without an acknowledgement.
const BOUND: Duration = Duration::from_secs(12);

fn run<T>(work: impl Future<Output = T>) -> T {
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
                    let call = tokio::time::timeout(SLACK, client.call(tool, arguments.clone())).await;
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

/// Makes a host an environment, as its owner does.
fn join(platform: &Platform, host: &Host, name: &str) -> String {
    let address = format!("{}:30000", host.address());
    let add = ["env", "add", "host", "--name", name, "--address", &address, "--insecure-http"];
    let steps = platform.ok(&add);
    let added = platform.json(&["env", "show", name]);
    let id = added["id"].as_str().expect("an id").to_owned();
    assert_eq!(added["status"], "awaiting_heartbeat");
    let url = platform.url();
    let enrol = ["dtma", "enrol", "--environment", &id, "--control-url", url, "--token-file", "-"];
    for said in
        [format!("berth {}", enrol.join(" ")), format!("berth dtma --listen {address} --insecure-http")]
    {
        assert!(steps.contains(&said), "no `{said}` in {steps}");
    }
    host.berth(&enrol, &platform.ok(&["env", "token", name]));
    id
}

/// Waits until an environment has a status; how long that took.
#[track_caller]
fn until_environment(platform: &Platform, name: &str, status: &str) -> Duration {
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

#[test]
fn three_hosts_one_cut_off_and_one_without_power() {
    let begun = Instant::now();
    let step = |what: &str| eprintln!("{:5.1} s  {what}", begun.elapsed().as_secs_f64());
    let mut hosts = Hosts::start(BERTH, 3, u64::try_from(HEARTBEAT.as_millis()).expect("it is short"));
    hosts.enter();
    step("three engines answer");
    let listen = format!("{CONTROL}:8420");
    let arguments = ["--runtime", "process", "--heartbeat-ms", "1000"];
    let platform = Platform::start_at(BERTH, &listen, &arguments, &[]);
    step("the control plane runs");
    let names = ["first", "second", "third"];
    let ids: Vec<String> =
        names.iter().enumerate().map(|(i, name)| join(&platform, hosts.host(i + 1), name)).collect();
    for name in names {
        until_environment(&platform, name, "active");
    }
    step("three environments are active");

    // An instance on each, and a container tool.
    let entry = r#"ENTRYPOINT ["/fixture"]"#;
    for number in [1, 3] {
        let docker = hosts.host(number).docker();
        docker.image("stdio:1", &[("/fixture", &fixture())], &[entry]);
        docker.image(
            "tool:1",
            &[("/fixture", &fixture())],
            &[entry, r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#],
        );
    }
    let tool = [
        "--tool",
        "--name",
        "tool",
        "--publish",
        "7180:80",
        "--health",
        "http:80/health",
        "--volume",
        "d:/data",
    ];
    for arguments in [
        &["oci:stdio:1", "--name", "one", "--env", "first", "--wait"][..],
        &["welcome", "--name", "two", "--env", "second", "--wait"],
        &["oci:stdio:1", "--name", "three", "--env", "third", "--wait"],
        &[&["oci:tool:1", "--env", "third", "--wait"], &tool[..]].concat(),
    ] {
        platform.ok(&[&["deploy"], arguments].concat());
    }
    step("four instances run");
    let shown = platform.ok(&["env", "show", "third"]);
    for word in
        ["10.91.0.13:30000", "three (running)", "tool (running)", "protection", env!("CARGO_PKG_VERSION")]
    {
        assert!(shown.contains(word), "no `{word}` in {shown}");
    }
    let listed = platform.ok(&["env", "list"]);
    assert!(names.iter().all(|name| listed.contains(name)), "{listed}");

    // A host's token speaks for itself alone.
    let token = platform.ok(&["env", "token", "first"]);
    let heartbeat = json!({
        "environment": ids[1], "dtma_version": "0", "sequence": 1, "started_at": 1, "instances": [], "protections": [],
        "system": {"cpu_load_percent": 0.0, "cores": 1, "uptime_seconds": 1,
            "memory": {"total_bytes": 1, "active_bytes": 0, "free_bytes": 1, "used_bytes": 0}},
    });
    let beat = Mcp::new(&format!("{}/api/v1/dtma/heartbeat", platform.url()), token.trim());
    assert_eq!(run(beat.post(&heartbeat)).expect("an answer").status, 403);

    let one = run(Mcp::open(&platform.mcp_url("one"), platform.token())).expect("a session");
    let three = run(Mcp::open(&platform.mcp_url("three"), platform.token())).expect("a session");
    run(three.call("test_simple_text", json!({}))).expect("it answers");
    let before = life(&container(&platform, hosts.host(3), "three").expect("its container"));
    let callers = [
        Caller::start(&platform, "one", "test_simple_text", &json!({})),
        Caller::start(&platform, "two", "echo", &json!({"message": "hi"})),
    ];

    // One host is cut off, while a call to it is on its way.
    hosts.host(3).cut();
    step("the third host is cut off");
    let cut = Instant::now();
    let in_flight = {
        let three = three.clone();
        std::thread::spawn(move || refused(&three))
    };
    until_environment(&platform, "third", "unresponsive");
    let noticed = cut.elapsed();
    step("it is unresponsive");
    assert!(noticed <= HEARTBEAT * 3 + SLACK, "noticed after {noticed:?}");
    let (status, message, took) = refused(&three);
    assert_eq!(status, 503, "{message}");
    assert!(message.contains("`third` does not report (unresponsive)"), "{message}");
    assert!(took < SLACK, "refused after {took:?}");
    let words = platform.json(&["env", "show", "third"])["message"].to_string();
    assert!(words.contains("no heartbeat since"), "{words}");

    // What is asked for meanwhile waits, and says why.
    platform.ok(&["deploy", "oci:stdio:1", "--name", "late", "--env", "third"]);
    platform.ok(&["remove", "tool", "--yes"]);
    for (name, status) in [("late", "pending_deploy"), ("tool", "deleting")] {
        wait::until("the reason", || {
            let message = platform.instance(name)?["message"].as_str()?.to_owned();
            let why = ["its DTMA does not answer", "did not answer within"];
            why.iter().any(|why| message.contains(why)).then_some(())
        });
        assert_eq!(platform.instance(name).expect("it waits")["status"], status);
    }
    let (status, message, took) = in_flight.join().expect("it does not panic");
    assert!(took < BOUND, "{took:?}: {status}: {message}");
    assert_eq!(status, 502, "{message}");
    assert!(message.contains("whether the call took effect is not known"), "{message}");
    step("what was on its way has failed");

    // It heals without a human, and nothing of it was restarted.
    hosts.host(3).heal();
    step("it is plugged in");
    until_environment(&platform, "third", "active");
    step("it is active");
    run(three.call("test_simple_text", json!({}))).expect("its session goes on");
    assert_eq!(life(&container(&platform, hosts.host(3), "three").expect("its container")), before);
    platform.wait_for("late", "running");
    wait::until("the end of `tool`", || platform.instance("tool").is_none().then_some(()));
    let left = hosts.host(3).docker().containers();
    assert_eq!(left.len(), 2, "the tool's container is gone: {left:?}");
    step("what waited is done");

    // Of all this the others saw nothing.
    let [one_calls, two_calls] = callers;
    let made = (one_calls.end("one"), two_calls.end("two"));
    assert!(20 < made.0 && 20 < made.1, "they called on: {made:?}");
    eprintln!("calls to the others: {made:?}");

    // Another loses power and boots again; nobody asks for anything.
    let before = life(&container(&platform, hosts.host(1), "one").expect("its container"));
    hosts.host(1).off();
    step("the first host has no power");
    until_environment(&platform, "first", "unresponsive");
    step("it is unresponsive");
    hosts.host(1).on();
    until_environment(&platform, "first", "active");
    step("it is active");
    wait::until("an answer of `one`", || {
        run(async { tokio::time::timeout(BOUND, one.call("test_simple_text", json!({}))).await.ok()?.ok() })
    });
    step("its session goes on");
    let after = life(&container(&platform, hosts.host(1), "one").expect("its container"));
    assert_ne!(before[2], after[2], "it was started again");
    assert_eq!(hosts.host(1).docker().containers().len(), 1, "once");
    platform.wait_for("one", "running");

    // An environment goes when nothing is in it.
    let kept = platform.run(&["env", "remove", "first", "--yes"]);
    let said = String::from_utf8_lossy(&kept.stderr);
    assert!(!kept.status.success() && said.contains("`first` has an instance: `one`"), "{said}");
    platform.ok(&["remove", "one", "--yes"]);
    wait::until("the end of `one`", || platform.instance("one").is_none().then_some(()));
    platform.ok(&["env", "remove", "first", "--yes"]);
    let names: Vec<Value> = platform
        .json(&["env", "list"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(names, ["local", "second", "third"]);
    step("done");
}
