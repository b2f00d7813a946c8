//! Backups: made under a running control plane, restored where only that was lost, where everything was, and into the other database.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use testkit::platform::Platform;
use testkit::{processes, wait};

use crate::BERTH;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn answers(platform: &Platform) {
    wait::until("an answer of `kept`", || {
        platform.run(&["call", "kept", "echo", r#"{"message":"hi"}"#]).status.success().then_some(())
    });
}

#[test]
fn what_is_lost_comes_back() {
    let mut platform = Platform::start_with(BERTH, &["--https-listen", "127.0.0.1:0"]);
    platform.ok_with(&["secret", "set", "S0", "--stdin"], "hunter2-0\n");
    platform.ok(&["deploy", "welcome", "--name", "kept"]);
    platform.wait_for("kept", "running");
    let outside = tempfile::tempdir().unwrap();
    let file = outside.path().join("all.berth");
    let path = file.to_str().unwrap();
    let made = platform.json(&["backup", path]);
    assert_eq!((&made["instances"], &made["has_key"]), (&2.into(), &true.into()), "{made}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(platform.data().join("control/master.key")).unwrap();
    let shown = fs::read_to_string(platform.data().join("control/tls/key.pem")).unwrap();
    let left = fs::read_dir(platform.data().join("control"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("part"));
    assert_eq!(left.count(), 0);

    let again = platform.run(&["backup", path]);
    assert!(again.status.code() == Some(1) && said(&again).contains("--force"), "{}", said(&again));
    let made = platform.json(&["backup", path, "--force"]);
    let keyless = outside.path().join("keyless.berth");
    platform.ok(&["backup", keyless.to_str().unwrap(), "--without-key"]);
    let hex = key.split_whitespace().last().unwrap().as_bytes();
    let holds = |file: &Path| fs::read(file).unwrap().windows(hex.len()).any(|part| part == hex);
    assert!(holds(&file) && !holds(&keyless));
    let running = platform.run(&["restore", path]);
    assert!(said(&running).contains("a Berth runs on"), "{}", said(&running));

    // The control plane alone is lost, and its host has heard of more than the backup knows.
    let token = platform.token().to_owned();
    for _ in 0..2 {
        platform.ok(&["restart", "kept"]);
        platform.wait_for("kept", "running");
    }
    platform.end();
    let there = platform.run(&["restore", path]);
    assert!(said(&there).contains("there is a Berth already"), "{}", said(&there));
    fs::remove_dir_all(platform.data().join("control")).unwrap();
    let restored = platform.json(&["restore", path]);
    assert_eq!(restored, made);
    assert_eq!(fs::read_to_string(platform.data().join("control/master.key")).unwrap(), key);
    let tls = platform.data().join("control/tls/key.pem");
    assert_eq!(fs::read_to_string(&tls).unwrap(), shown, "hosts know it by that");
    assert_eq!(fs::metadata(&tls).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!holds(&platform.data().join("control/berth.db")), "the key lies in its own file alone");
    platform.up();
    platform.wait_for("kept", "running");
    answers(&platform);
    assert_eq!(platform.json(&["key", "status"])["lost"], 0);
    let old =
        platform.command(&["whoami"]).env("BERTH_URL", platform.url()).env("BERTH_TOKEN", &token).output();
    assert!(old.unwrap().status.success(), "tokens of then are good");
    platform.ok(&["stop", "kept"]);
    platform.wait_for("kept", "stopped");

    // The machine is lost.
    platform.end();
    for process in platform.processes() {
        processes::kill(process.pid);
    }
    fs::remove_dir_all(platform.data()).unwrap();
    let input = fs::File::open(&file).unwrap();
    let piped = platform.command(&["restore", "-"]).stdin(input).output().unwrap();
    assert!(piped.status.success(), "{}", said(&piped));
    platform.up();
    platform.wait_for("kept", "running");
    answers(&platform);
    platform.ok(&["deploy", "npm:not-there@1.0.0", "--name", "uses", "--secret", "X=secret:S0"]);
}

#[test]
fn what_cannot_be_restored_leaves_nothing() {
    let platform = Platform::start(BERTH);
    let outside = tempfile::tempdir().unwrap();
    let file = |name: &str| outside.path().join(name).to_str().unwrap().to_owned();
    let (whole, keyless) = (file("whole"), file("keyless"));
    platform.ok(&["backup", &whole]);
    platform.ok(&["backup", &keyless, "--without-key"]);
    let bytes = fs::read(&whole).unwrap();
    let mut damaged = bytes.clone();
    // Pages after the first, which says what the file is.
    damaged[4096..40_960].fill(0x5a);
    fs::write(file("damaged"), damaged).unwrap();
    fs::write(file("cut"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(file("text"), "nothing of Berth's").unwrap();
    fs::write(file("empty"), "").unwrap();
    let plain = platform.data().join("control/berth.db").to_str().unwrap().to_owned();
    let missing = file("missing");
    let cases = [
        (keyless.as_str(), "", "without its master key"),
        (&keyless, &"00".repeat(32), "not the master key of this installation"),
        (&whole, &"00".repeat(32), "not the master key of this installation"),
        (&whole, "hunter2", "is no master key"),
        (&file("damaged"), "", "damaged"),
        (&file("cut"), "", "damaged"),
        (&file("text"), "", "it is no backup of Berth's"),
        (&file("empty"), "", "it is no backup of Berth's"),
        (&plain, "", "it is no backup of Berth's"),
        (&missing, "", "cannot read"),
    ];
    for (source, key, expected) in cases {
        let data = tempfile::tempdir().unwrap();
        let mut command = platform.command(&["restore", source]);
        command.arg("--data").arg(data.path()).env("BERTH_MASTER_KEY", key);
        let output = command.output().unwrap();
        let said = said(&output);
        assert!(output.status.code() == Some(1) && said.contains(expected), "{source}: {said}");
        assert!(!said.contains(&"00".repeat(32)), "{said}");
        let left = fs::read_dir(data.path().join("control")).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "{source}");
    }
    let data = tempfile::tempdir().unwrap();
    let mut elsewhere =
        platform.command(&["restore", &whole, "--database", "sqlite:/nowhere/berth.db", "--data"]);
    let words = said(&elsewhere.arg(data.path()).output().unwrap());
    assert!(words.contains("cannot write `/nowhere/berth.db") && words.contains("No such file"), "{words}");
    let nowhere = platform.run(&["backup", "/nowhere/file"]);
    assert!(said(&nowhere).contains("/nowhere"), "{}", said(&nowhere));
    let none = tempfile::tempdir().unwrap();
    let none = platform.command(&["backup", &missing, "--data"]).arg(none.path()).output().unwrap();
    assert!(said(&none).contains("there is no Berth in"), "{}", said(&none));
    assert!(!Path::new(&missing).exists());
}

#[test]
fn either_database_becomes_the_other() {
    let platform = Platform::start(BERTH);
    platform.ok_with(&["secret", "set", "S0", "--stdin"], "hunter2-0\n");
    let outside = tempfile::tempdir().unwrap();
    let (first, second) = (outside.path().join("first"), outside.path().join("second"));
    let database = testkit::postgres::database();
    let data = outside.path().join("data");
    let on = |arguments: &[&str], database: Option<&str>| {
        let mut command = platform.command(arguments);
        command.arg("--data").arg(&data);
        command.args(database.map(|database| ["--database", database]).into_iter().flatten());
        command.output().unwrap()
    };
    platform.ok(&["backup", first.to_str().unwrap()]);
    let into = on(&["restore", first.to_str().unwrap()], Some(&database));
    assert!(into.status.success(), "{}", said(&into));
    assert!(!data.join("control/berth.db").exists());
    let status = on(&["key", "status"], Some(&database));
    assert!(status.status.success() && !said(&status).contains("not there"), "{}", said(&status));
    let twice = on(&["restore", first.to_str().unwrap()], Some(&database));
    assert!(said(&twice).contains("there is a Berth in it already"), "{}", said(&twice));
    let back = on(&["backup", second.to_str().unwrap(), "--json"], Some(&database));
    assert!(back.status.success(), "{}", said(&back));
    fs::remove_dir_all(&data).unwrap();
    let restored = on(&["restore", second.to_str().unwrap()], None);
    assert!(restored.status.success(), "{}", said(&restored));
    let status = on(&["key", "status", "--json"], None);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["lost"], 0, "{status}");
    assert!(status["versions"][0]["sealed"].as_u64().is_some_and(|sealed| 1 < sealed), "{status}");
}
