//! Two machines that boot are upgraded by their control plane: with a program that works, under calls, and with one that does not, which
//! stops at the first.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use testkit::docker::engine;
use testkit::droplets::{Droplets, GATEWAY};
use testkit::platform::Platform;
use testkit::systemd::Machine;
use testkit::{processes, wait};

use crate::{BERTH, SERVICE, program, text};

const NAMES: [&str; 2] = ["one", "two"];

fn calls(
    platform: &Platform,
    instance: &str,
    (tool, arguments, answer): (&str, &str, &str),
) -> Result<(), String> {
    let output = platform.run(&["call", instance, tool, arguments]);
    if output.status.success() && String::from_utf8_lossy(&output.stdout) == answer {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A call that is answered at once.
const QUICK: (&str, &str, &str) = ("echo", r#"{"message":"hi"}"#, "hi\n");
/// One that is under way when its host's agent is to end.
const LONG: (&str, &str, &str) = ("progress", r#"{"steps":3,"delay_ms":1000}"#, "took 3 steps\n");

/// Process id and binary of a machine's host agent.
fn agent(machine: &Machine<'_>) -> (String, String) {
    let pid =
        machine.ok(&["systemctl", "show", "--value", "--property", "MainPID", SERVICE]).trim().to_owned();
    let exe = machine.ok(&["readlink", &format!("/proc/{pid}/exe")]).trim().to_owned();
    (pid, exe)
}

fn outdated(platform: &Platform) -> Vec<bool> {
    NAMES.iter().map(|name| platform.json(&["env", "show", name])["outdated"] == true).collect()
}

/// State and reason of each host of the last upgrade.
fn hosts(upgrade: &Value) -> Vec<(String, String)> {
    let hosts = upgrade["hosts"].as_array().expect("hosts");
    let text = |host: &Value, field: &str| host[field].as_str().unwrap_or_default().to_owned();
    hosts.iter().map(|host| (text(host, "state"), text(host, "message"))).collect()
}

#[test]
fn hosts_are_upgraded_in_waves_and_a_bad_program_stops_at_the_first() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let berth = fs::read(BERTH).expect("the binary");
    // Another digest, the same program.
    let offered = program(dir.path(), "offered", &[&berth[..], b"\0"].concat());
    drop(berth);
    let droplets = Droplets::start(engine(), &[]);
    let public = format!("{GATEWAY}:0");
    let arguments = ["--runtime", "process", "--https-listen", &public];
    let platform = Platform::start_within(
        BERTH,
        &[&arguments[..], &["--upgrade-program", text(&offered)]].concat(),
        &[],
        Some(engine().pid()),
    );
    let machines: Vec<Machine<'_>> =
        [("one", 201, &["--address", "10.90.0.201:30000"][..]), ("two", 202, &[])]
            .into_iter()
            .map(|(name, last, options)| {
                let machine = droplets.host(name, last);
                let line = platform.ok(&[&["env", "add", "host", "--name", name], options].concat());
                machine.ok(&["sh", "-c", line.trim()]);
                platform.ok(&["deploy", "welcome", "--name", &format!("at-{name}"), "--env", name, "--wait"]);
                machine
            })
            .collect();
    wait::until("both to be outdated", || (outdated(&platform) == [true, true]).then_some(()));
    assert!(platform.ok(&["env", "list"]).contains("outdated"));
    let first: Vec<_> = machines.iter().map(agent).collect();

    // Both, the one that is dialled and the one in its tunnel, are called all the while.
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers = [("one", QUICK), ("one", LONG), ("two", QUICK), ("two", LONG)].map(|(name, call)| {
            let (platform, over) = (&platform, &over);
            let caller = scope.spawn(move || {
                let (mut answered, mut refused) = (0, Vec::new());
                while !over.load(Ordering::Relaxed) {
                    match calls(platform, &format!("at-{name}"), call) {
                        Ok(()) => answered += 1,
                        Err(why) => refused.push(why),
                    }
                }
                (answered, refused)
            });
            (name, call.0, caller)
        });
        let done = platform.run(&["env", "upgrade", "one", "two", "--wave", "1,100%", "--wait", "--json"]);
        over.store(true, Ordering::Relaxed);
        assert!(done.status.success(), "{done:?}");
        for (name, tool, caller) in callers {
            let (answered, refused) = caller.join().expect("a caller");
            assert!(
                0 < answered && refused.is_empty(),
                "{tool} at {name}: {answered} answered, not {refused:?}"
            );
        }
    });
    let good: Vec<_> = machines.iter().map(agent).collect();
    for ((before, after), name) in first.iter().zip(&good).zip(NAMES) {
        assert!(before.0 != after.0 && before.1 != after.1, "{name}: {before:?} {after:?}");
        wait::until("a call", || calls(&platform, &format!("at-{name}"), QUICK).ok());
    }
    assert_eq!(outdated(&platform), [false, false]);
    let again = platform.run(&["env", "upgrade", "--all"]);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("no environment has to be upgraded"),
        "{again:?}"
    );

    // One that ends at once, and a control plane that is killed while it is sent and tried.
    fs::remove_file(&offered).expect("the file");
    program(
        dir.path(),
        "offered",
        b"#!/bin/sh\n[ \"$1\" = --version ] && echo 'berth 9.9.9' && exit\nexit 3\n",
    );
    processes::kill(platform.own("server"));
    wait::until("both to be outdated again", || (outdated(&platform) == [true, true]).then_some(()));
    platform.ok(&["env", "upgrade", "--all", "--wave", "1"]);
    processes::kill(platform.own("server"));
    let output = platform.run(&["env", "upgrade", "--wait", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("ended with status 3"), "{said}");
    let upgrade: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = hosts(&upgrade);
    assert!(upgrade["state"] == "failed" && found[0].0 == "failed", "{upgrade}");
    assert!(found[0].1.contains("taken back"), "{upgrade}");
    assert_eq!(found[1], ("waiting".to_owned(), String::new()));
    let after: Vec<_> = machines.iter().map(agent).collect();
    assert_eq!(after[0].1, good[0].1, "the one before serves again");
    assert_eq!(after[1], good[1], "the second is untouched");
    for name in NAMES {
        wait::until("a call", || calls(&platform, &format!("at-{name}"), QUICK).ok());
    }
}
