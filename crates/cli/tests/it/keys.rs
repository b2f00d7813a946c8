//! The master key: changed under a running control plane, in the middle of it, and given from outside.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::platform::Platform;

use crate::BERTH;

const PATIENCE: Duration = Duration::from_mins(1);

fn versions(platform: &Platform) -> Vec<(u64, u64)> {
    let status = platform.json(&["key", "status"]);
    assert_eq!(status["lost"], 0, "{status}");
    let number = |one: &Value, name: &str| one[name].as_u64().unwrap();
    let all = status["versions"].as_array().unwrap();
    all.iter().map(|one| (number(one, "version"), number(one, "sealed"))).collect()
}

#[test]
fn a_change_that_is_killed_is_finished_by_the_next_start() {
    let mut platform = Platform::start(BERTH);
    for n in 0..5 {
        platform.ok_with(&["secret", "set", &format!("S{n}"), "--stdin"], &format!("hunter2-{n}\n"));
    }
    let said = platform.ok(&["key", "status"]);
    assert!(said.contains("seals what is new"), "{said}");
    let before = versions(&platform);
    assert_eq!((before.len(), before[0].0), (1, 1));
    let all = before[0].1;

    // Under the running control plane, which goes on without a restart.
    platform.ok(&["key", "rotate"]);
    assert_eq!(versions(&platform), [(1, 0), (2, all)]);
    platform.ok(&["deploy", "welcome", "--name", "keyed"]);
    platform.wait_for("keyed", "running");

    // Killed as soon as the key has its next version.
    let mut rotation =
        platform.command(&["key", "rotate"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let file = platform.data().join("control/master.key");
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&file).unwrap().contains("\n3 ") {
        assert!(Instant::now() < deadline, "the key has no third version");
    }
    rotation.kill().unwrap();
    rotation.wait().unwrap();
    let between = versions(&platform);
    assert_eq!(between.iter().map(|(_, sealed)| sealed).sum::<u64>(), all, "{between:?}");
    platform.crash();
    platform.up();
    while versions(&platform) != [(1, 0), (3, all)] {
        assert!(Instant::now() < deadline, "{:?}", versions(&platform));
        std::thread::sleep(Duration::from_millis(50));
    }
    // What was sealed at first is still what it was, and running instances take calls.
    while !platform.run(&["call", "keyed", "echo", r#"{"message":"hi"}"#]).status.success() {
        assert!(Instant::now() < deadline, "`keyed` takes no calls");
    }
    platform.ok(&["deploy", "npm:not-there@1.0.0", "--name", "uses", "--secret", "X=secret:S0"]);
}

#[test]
fn a_key_from_the_environment_lies_in_no_file() {
    let key = "7e".repeat(32);
    let platform = Platform::start_in(BERTH, &[], &[("BERTH_MASTER_KEY", &key)]);
    assert!(!platform.data().join("control/master.key").exists());
    assert_eq!(platform.files_with(&key), [] as [std::path::PathBuf; 0]);
    let dtma = std::fs::read(format!("/proc/{}/environ", platform.own("dtma"))).unwrap();
    assert!(!String::from_utf8_lossy(&dtma).contains(&key), "the host agent need not know it");
    let rotated = platform.command(&["key", "rotate"]).env("BERTH_MASTER_KEY", &key).output().unwrap();
    let said = String::from_utf8_lossy(&rotated.stderr).into_owned();
    assert!(rotated.status.code() == Some(1) && said.contains("add a line to it there"), "{said}");
    let other =
        platform.command(&["key", "status"]).env("BERTH_MASTER_KEY", "00".repeat(32)).output().unwrap();
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(said.contains("not the master key of this installation") && !said.contains(&key), "{said}");
}
