//! Secrets are where they must be and nowhere else: planted in every way there is, and looked for after everything was done with them.

use std::process::Output;

use testkit::platform::Platform;

use crate::BERTH;
use crate::conformance::fixture;

/// A value given to one instance, one of the account's that is used by name, and the one that took its place.
const CANARIES: [&str; 3] = ["canary-literal-5f1c", "canary-vault-old-77ab", "canary-vault-new-c0de"];

fn clean(what: &str, bytes: &[u8]) {
    for canary in CANARIES {
        assert!(
            !bytes.windows(canary.len()).any(|part| part == canary.as_bytes()),
            "{canary} is in {what}: {}",
            String::from_utf8_lossy(bytes)
        );
    }
}

fn said(what: &str, output: &Output) {
    clean(what, &output.stdout);
    clean(what, &output.stderr);
}

#[test]
fn a_secret_is_found_nowhere_but_in_the_server_that_has_it() {
    let platform = Platform::start_with(BERTH, &["--audit-arguments"]);
    let place = tempfile::tempdir().unwrap();
    let [literal, old, new] = CANARIES;
    let file = place.path().join("literal.txt");
    std::fs::write(&file, literal).unwrap();
    let literal_of = format!("OWN=@{}", file.display());
    let server = format!("file:{}", fixture().display());
    platform.ok_with(&["secret", "set", "VAULT", "--stdin"], old);
    let deploy =
        ["deploy", &server, "--name", "keyed", "--secret", &literal_of, "--secret", "NAME=secret:VAULT"];
    said("deploy", &platform.run(&[&deploy[..], &["--wait"]].concat()));
    // It arrived, which only the server's own word tells.
    let answer = platform.ok(&["call", "keyed", "who"]);
    assert!(answer.contains(old), "{answer}");
    said("secret set", &{
        let file = place.path().join("new.txt");
        std::fs::write(&file, new).unwrap();
        platform.run(&["secret", "set", "VAULT", &format!("@{}", file.display()), "--json"])
    });
    platform.wait_for("keyed", "running");
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    // Meanwhile it may not be ready.
    while !String::from_utf8_lossy(&platform.run(&["call", "keyed", "who"]).stdout).contains(new) {
        assert!(std::time::Instant::now() < deadline, "the new version does not come");
    }

    // Whatever can be asked, and whatever goes wrong.
    for arguments in [
        &deploy[..],
        &["deploy", &server, "--secret", &literal_of, "--secret", "OWN=x", "--name", "again"],
        &["deploy", "time", "--secret", &literal_of],
        &["deploy", "npm:x@1.0.0", "--secret", "PATH=secret:VAULT"],
        &["call", "keyed", "nothing"],
        &["status", "keyed"],
        &["status", "keyed", "--json"],
        &["list", "--json"],
        &["logs", "keyed"],
        &["tools", "keyed"],
        &["secret", "list"],
        &["secret", "list", "--json"],
        &["secret", "remove", "VAULT"],
        &["env", "show", "local", "--json"],
        &["alerts", "--json"],
        &["restart", "keyed"],
        &["key", "status", "--json"],
        &["key", "rotate"],
    ] {
        said(&arguments.join(" "), &platform.run(arguments));
    }
    // A caller that sends the server's own secrets to it.
    let message = format!(r#"{{"message":"{literal} {new}"}}"#);
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !platform.run(&["call", "keyed", "echo", &message]).status.success() {
        assert!(std::time::Instant::now() < deadline, "it does not come back from its restart");
    }
    while !platform.ok(&["audit", "--calls", "--tool", "echo"]).contains("keyed") {
        assert!(std::time::Instant::now() < deadline, "the call leaves no line");
    }
    let kept = platform.run(&["audit", "--calls", "--since", "1h", "--json"]);
    assert!(String::from_utf8_lossy(&kept.stdout).contains("[secret] [secret]"), "parameters are kept");
    said("audit --calls", &kept);
    said("audit", &platform.run(&["audit", "--since", "1h", "--json"]));

    let mut of_berth = 0;
    for process in platform.processes() {
        let word = process.arguments.get(1).map_or("", String::as_str);
        let proc = |file: &str| std::fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
        clean(&format!("the command line of {word}"), &proc("cmdline"));
        if matches!(word, "up" | "server" | "dtma" | "shim") {
            of_berth += 1;
            clean(&format!("the environment of {word}"), &proc("environ"));
        }
    }
    assert!(4 <= of_berth, "up, server, dtma and shims were looked at: {of_berth}");
    for canary in CANARIES {
        assert_eq!(platform.files_with(canary), [] as [std::path::PathBuf; 0], "{canary}");
    }
}
