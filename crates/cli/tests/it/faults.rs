//! `kill -9` of each part in turn while calls run: it comes back by itself, and others never notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use testkit::mcp::Mcp;
use testkit::platform::Platform;
use testkit::processes;
use testkit::wait;

use crate::BERTH;

/// A killed part of Berth must be back within this.
const BACK: Duration = Duration::from_secs(10);

/// Ten calls a second on one instance until stopped.
struct Caller {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl Caller {
    fn start(platform: &Platform, instance: &str) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (url, token) = (platform.mcp_url(instance), platform.token().to_owned());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut errors = vec![];
                let mut beat = tokio::time::interval(Duration::from_millis(100));
                let client = Mcp::open(&url, &token).await.unwrap();
                while !stopped.load(Ordering::Relaxed) {
                    beat.tick().await;
                    let message = format!("call {}", count.load(Ordering::Relaxed));
                    match client.call("echo", json!({"message": message})).await {
                        Ok(result)
                            if result["content"][0]["text"]
                                .as_str()
                                .is_some_and(|t| t.contains(&message)) =>
                        {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(other) => errors.push(format!("a wrong answer to {message}: {other}")),
                        Err(error) => errors.push(format!("{error:#}")),
                    }
                }
                errors
            })
        });
        Self { stop, answered, thread }
    }

    /// Waits for some calls more, so that a fault falls among them.
    fn some_calls(&self) {
        let from = self.answered.load(Ordering::Relaxed);
        wait::until("answers", || (from + 5 <= self.answered.load(Ordering::Relaxed)).then_some(()));
    }

    fn errors(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Kills what `pid` names while calls run on `victim` and on `welcome`; `victim` ends running with another process, and
/// `welcome` had no error.
#[track_caller]
fn check(platform: &Platform, part: &str, pid: impl Fn(&Platform) -> u32) {
    let bystander = Caller::start(platform, "welcome");
    let caller = Caller::start(platform, "victim");
    bystander.some_calls();
    let old = pid(platform);
    processes::kill(old);
    wait::within(BACK, "another process", || (pid(platform) != old).then_some(()));
    platform.wait_for("victim", "running");
    wait::within(BACK, "an answer of the victim", || {
        let output = platform.run(&["call", "victim", "echo", r#"{"message":"hi"}"#]);
        (output.status.success() && String::from_utf8_lossy(&output.stdout).contains("hi")).then_some(())
    });
    bystander.some_calls();
    // Calls in flight at the kill fail at once, and later ones until the server is back; that they end at all is seen
    // by the thread's end.
    drop(caller.errors());
    assert_eq!(bystander.errors(), [""; 0], "`welcome` noticed the end of the {part}");
}

#[test]
fn each_part_comes_back_and_others_do_not_notice() {
    let platform = Platform::start(BERTH);
    // A shared process is there whether anybody calls or not.
    platform.ok(&["deploy", "everything", "--name", "victim", "--mode", "shared", "--wait"]);
    let word = "server-everything/dist/index.js";
    check(&platform, "server", |platform| platform.server(word));
    check(&platform, "shim", |platform| platform.shim(word));
    check(&platform, "DTMA", |platform| platform.own("dtma"));

    // While the gateway itself is down nobody can be answered; the listener is kept, so the calls wait instead of failing.
    let old = platform.own("server");
    let (shim, server) = (platform.shim(word), platform.server(word));
    processes::kill(old);
    wait::within(BACK, "another control plane", || (platform.own("server") != old).then_some(()));
    platform.wait_for("victim", "running");
    assert!(platform.ok(&["call", "victim", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    assert_eq!(
        (platform.shim(word), platform.server(word)),
        (shim, server),
        "servers outlive the control plane"
    );
}

#[test]
fn an_ended_session_stays_ended_when_its_shim_is_killed_and_others_go_on() {
    let platform = Platform::start(BERTH);
    let shim = platform.shim("__welcome");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (url, token) = (platform.mcp_url("welcome"), platform.token());
    let (ended, kept) = runtime.block_on(async {
        let ended = Mcp::open(&url, token).await.unwrap();
        assert_eq!(ended.end().await.unwrap(), 204);
        (ended, Mcp::open(&url, token).await.unwrap())
    });
    processes::kill(shim);
    wait::within(BACK, "another shim", || (platform.shim("__welcome") != shim).then_some(()));
    platform.wait_for("welcome", "running");
    let ping = testkit::mcp::request(1, "ping", &json!({}));
    let status = |client: &Mcp| runtime.block_on(client.post(&ping)).unwrap().status;
    wait::within(BACK, "an answer", || (status(&kept) == 200).then_some(()));
    assert_eq!(status(&ended), 404);
}

#[test]
fn a_server_dies_with_its_shim_and_a_call_in_flight_ends_at_once() {
    let platform = Platform::start(BERTH);
    let (shim, server) = (platform.shim("__welcome"), platform.server("__welcome"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Mcp::open(&platform.mcp_url("welcome"), platform.token()).await.unwrap();
        let arguments = json!({"steps": 600, "delay_ms": 1000});
        let params = json!({"name": "progress", "arguments": arguments, "_meta": {"progressToken": "p"}});
        let mut stream = client.stream(&testkit::mcp::request(77, "tools/call", &params)).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("notifications/progress") {
            let chunk = stream.chunk().await.unwrap().expect("progress, before the answer ends");
            seen.push_str(&String::from_utf8_lossy(&chunk));
        }
        processes::kill(shim);
        let rest = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
        tokio::time::timeout(BACK, rest).await.expect("the answer ends with its shim");
    });
    wait::within(BACK, "the server's end", || (!processes::is_alive(server)).then_some(()));
    platform.wait_for("welcome", "running");
}
