//! Instances whose callers each bring their own, from the command line to the server's process.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use serde_json::json;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;
use crate::people;

/// Runs a command as somebody, or as who the platform is of.
fn run(platform: &Platform, token: Option<&str>, arguments: &[&str]) -> Output {
    platform.command(arguments).env("BERTH_TOKEN", token.unwrap_or(platform.token())).output().unwrap()
}

/// What somebody's process says of itself; or why they are not served.
fn who(platform: &Platform, token: Option<&str>) -> Result<String, String> {
    let output = run(platform, token, &["call", "notes", "who"]);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// Waits until somebody is served with a value: who was refused is so for a second, and what was given is believed for ten.
#[track_caller]
fn served_with(platform: &Platform, token: Option<&str>, value: &str) {
    wait::until(value, || who(platform, token).ok().filter(|answer| answer.contains(value)));
}

#[track_caller]
fn gives(platform: &Platform, token: Option<&str>, value: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), value).unwrap();
    let typed = format!("NAME=@{}", file.path().display());
    let given = run(platform, token, &["secret", "own", "notes", &typed]);
    assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
}

#[test]
fn each_caller_is_served_by_a_process_with_their_own_values() {
    let platform = Platform::start(BERTH);
    let mary = people::member(&platform, "mary");
    let mary = Some(mary.as_str());
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "notes", "--each-caller", "NAME", "--wait"]);
    let status = platform.ok(&["status", "notes"]);
    assert!(status.contains("NAME=(each caller's own)"), "{status}");
    let refused = who(&platform, None).unwrap_err();
    assert!(refused.contains("run `berth secret own notes NAME=@FILE`"), "{refused}");
    let wanted = platform.json(&["secret", "own", "notes"]);
    assert_eq!(wanted["values"], json!([{ "name": "NAME", "is_set": false }]));

    gives(&platform, None, "of-the-admin");
    served_with(&platform, None, "of-the-admin");
    let refused = who(&platform, mary).unwrap_err();
    assert!(refused.contains("your own `NAME`"), "what another gave is not hers: {refused}");
    gives(&platform, mary, "of-mary");
    served_with(&platform, mary, "of-mary");
    served_with(&platform, None, "of-the-admin");

    // Each process has a root and a process tree of its own, and a directory that the other one does not see.
    let servers = || {
        let is_server = |word: &String| word.contains("fixture");
        let all = platform.processes().into_iter();
        all.filter(|process| process.arguments.first().is_some_and(is_server)).collect::<Vec<_>>()
    };
    let space = |pid: u32, name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    let found = servers();
    assert_eq!(found.len(), 2, "one for each: {found:?}");
    for name in ["mnt", "pid"] {
        let spaces: BTreeSet<PathBuf> = found.iter().map(|process| space(process.pid, name)).collect();
        assert_eq!(spaces.len(), 2, "{name}");
    }
    let id = platform.json(&["status", "notes"])["id"].as_str().unwrap().to_owned();
    let work = platform.data().join("dtma/instances").join(id).join("work");
    let own = std::fs::read_dir(work).unwrap().count();
    assert_eq!(own, 3, "one for each, and one of the process that showed that it works");

    // Another host agent knows nothing more than the one before, and the shims go on.
    let dtma = platform.own("dtma");
    testkit::processes::kill(dtma);
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    served_with(&platform, mary, "of-mary");

    gives(&platform, mary, "of-mary-anew");
    served_with(&platform, mary, "of-mary-anew");
    let gone = run(&platform, mary, &["secret", "own", "notes", "--forget"]);
    assert!(gone.status.success());
    wait::until("nothing of mary's", || who(&platform, mary).err());
    served_with(&platform, None, "of-the-admin");
    for value in ["of-the-admin", "of-mary"] {
        assert_eq!(platform.files_with(value), Vec::<PathBuf>::new(), "{value}");
    }
}
