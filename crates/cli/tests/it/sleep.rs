//! Servers that nobody uses sleep: their processes are gone, their lists are there, and the next call wakes them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::mcp::{Mcp, request};
use testkit::platform::Platform;
use testkit::{processes, wait};

use crate::BERTH;
use crate::conformance::fixture;

/// A server whose processes are known by its name, and that does not start while there is a file `broken` where it works.
fn server(dir: &Path, name: &str) -> String {
    let (server, program) = (dir.join(name), format!("fixture-{name}"));
    std::fs::create_dir(&server).unwrap();
    std::fs::copy(fixture(), server.join(&program)).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ -e \"$HOME/broken\" ]; then echo 'no such database' >&2; exit 3; fi\nexec \"${{0%/*}}/{program}\"\n"
    );
    std::fs::write(server.join(name), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(server.join(name), executable).unwrap();
    format!("file:{}", server.display())
}

struct Sleepy<'a> {
    platform: &'a Platform,
    name: &'a str,
    client: Mcp,
    modern: Mcp,
    list: Value,
    modern_list: Value,
}

impl<'a> Sleepy<'a> {
    async fn new(platform: &'a Platform, name: &'a str) -> Self {
        let (url, token) = (platform.mcp_url(name), platform.token());
        let (client, modern) = (Mcp::open(&url, token).await.unwrap(), Mcp::modern(&url, token));
        let mut this = Self { platform, name, client, modern, list: Value::Null, modern_list: Value::Null };
        this.call().await;
        (this.list, this.modern_list) = this.lists().await;
        assert!(this.list["tools"].to_string().contains("test_simple_text"), "{}", this.list);
        this
    }

    async fn lists(&self) -> (Value, Value) {
        let mut lists = Vec::new();
        for client in [&self.client, &self.modern] {
            let answer = client.post(&request(7, "tools/list", &json!({}))).await.unwrap();
            assert_eq!(answer.status, 200, "{}: {}", self.name, answer.text);
            lists.push(answer.message()["result"].clone());
        }
        (lists[0].clone(), lists[1].clone())
    }

    async fn call(&self) {
        let answer = self.client.call("test_simple_text", json!({})).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error:#}", self.name));
        assert!(answer["content"][0]["text"].to_string().contains("simple text"), "{}: {answer}", self.name);
    }

    /// The server's processes, without its shim and what confines it.
    fn processes(&self) -> Vec<u32> {
        let word = format!("fixture-{}", self.name);
        let all = self.platform.processes();
        let its = all.iter().filter(|process| process.has(&word) && !process.has("__sandbox"));
        its.map(|process| process.pid).collect()
    }

    fn asleep(&self) {
        self.platform.wait_for(self.name, "asleep");
        wait::until("the end of its processes", || self.processes().is_empty().then_some(()));
    }

    /// Everything that is answered for it while it sleeps.
    async fn is_answered_for(&self) {
        let (url, token) = (self.platform.mcp_url(self.name), self.platform.token());
        let newcomer = Mcp::open(&url, token).await.unwrap();
        let theirs = newcomer.post(&request(1, "tools/list", &json!({}))).await.unwrap();
        assert_eq!(theirs.message()["result"], self.list, "{}: to one who comes now", self.name);
        let ping = self.client.post(&request(2, "ping", &json!({}))).await.unwrap();
        assert_eq!((ping.status, &ping.message()["result"]), (200, &json!({})), "{}", self.name);
        assert_eq!(self.lists().await, (self.list.clone(), self.modern_list.clone()), "{}", self.name);
        assert_eq!(self.processes(), [0; 0], "{}: nothing was woken", self.name);
        assert_eq!(self.platform.instance(self.name).unwrap()["status"], "asleep");
    }

    /// Where it works.
    fn work(&self) -> PathBuf {
        let id = self.platform.instance(self.name).unwrap()["id"].as_str().unwrap().to_owned();
        self.platform.data().join("dtma/instances").join(id).join("work")
    }

    fn memory(&self) -> Option<u64> {
        self.platform.instance(self.name)?["metrics"]["memory_bytes"].as_u64()
    }
}

#[test]
fn servers_sleep_are_answered_for_and_wake() {
    let dir = tempfile::tempdir().unwrap();
    let platform = Platform::start(BERTH);
    let kinds = [("shared", &["--mode", "shared"][..]), ("own", &[]), ("http", &["--transport", "http"])];
    for (name, more) in kinds {
        let package = server(dir.path(), name);
        platform.ok(&[&["deploy", &package, "--name", name, "--sleep", "10s", "--wait"], more].concat());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut all = Vec::new();
        for (name, _) in kinds {
            all.push(Sleepy::new(&platform, name).await);
        }
        let before: Vec<Option<u64>> =
            all.iter().map(|one| wait::until("what it uses", || one.memory().map(Some))).collect();
        for one in &all {
            one.asleep();
        }
        for (one, before) in all.iter().zip(before) {
            one.is_answered_for().await;
            let name = one.name;
            wait::until("memory that is free", || one.memory().filter(|now| Some(*now) < before));
            let shown = platform.ok(&["status", name]);
            for words in ["asleep", "after 10 s without use"] {
                assert!(shown.contains(words), "{name}: no `{words}` in {shown}");
            }
        }

        // A DTMA that comes while they sleep lets them sleep.
        let (dtma, shim) = (platform.own("dtma"), shims(&platform));
        processes::kill(dtma);
        wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
        for one in &all {
            one.asleep();
            one.is_answered_for().await;
        }
        assert_eq!(shims(&platform), shim, "they are taken over");
        for one in &all {
            one.call().await;
            assert_eq!(one.processes().len(), 1, "{}", one.name);
            platform.wait_for(one.name, "running");
        }

        // Stopped while it sleeps, and started again.
        let one = &all[0];
        one.asleep();
        platform.ok(&["stop", one.name]);
        platform.wait_for(one.name, "stopped");
        platform.ok(&["start", one.name]);
        platform.wait_for(one.name, "running");
        one.call().await;

        // One that cannot be woken says why, until it can.
        for one in &all {
            let name = one.name;
            one.asleep();
            std::fs::write(one.work().join("broken"), "").unwrap();
            let error = one.client.call("test_simple_text", json!({})).await.unwrap_err().to_string();
            assert!(error.contains("503"), "{name}: {error}");
            let seen = platform.wait_for(name, "error_runtime");
            assert!(seen["message"].to_string().contains("no such database"), "{name}: {seen}");
            std::fs::remove_file(one.work().join("broken")).unwrap();
            let deadline = std::time::Instant::now() + wait::PATIENCE;
            while one.client.call("test_simple_text", json!({})).await.is_err() {
                assert!(std::time::Instant::now() < deadline, "{name} never comes back");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            platform.wait_for(name, "running");
        }
    });
}

/// All shims.
fn shims(platform: &Platform) -> Vec<u32> {
    let all = platform.processes();
    let shims = all.iter().filter(|process| process.arguments.get(1).is_some_and(|word| word == "shim"));
    let mut shims: Vec<u32> = shims.map(|process| process.pid).collect();
    shims.sort_unstable();
    shims
}
