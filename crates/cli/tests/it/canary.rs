//! Secrets are where they must be and nowhere else: planted in every way there is, and looked for after everything was done with them.

mod strangers;

use std::process::Output;

use testkit::docker;
use testkit::platform::Platform;

use crate::BERTH;
use crate::conformance::fixture;

/// A value given to one instance, one of the account's that is used by name, the one that took its place, and what a caller brings.
const CANARIES: [&str; 4] =
    ["canary-literal-5f1c", "canary-vault-old-77ab", "canary-vault-new-c0de", "canary-own-9be1"];

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
#[expect(clippy::too_many_lines, reason = "one run, searched everywhere")]
fn a_secret_is_found_nowhere_but_in_the_server_that_has_it() {
    let docker = docker::engine();
    docker.image("canary:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, "USER 65534"]);
    let platform = Platform::start_in(BERTH, &["--audit-arguments"], &[("DOCKER_HOST", &docker.host())]);
    platform.ok_with(&["password", "--stdin"], strangers::PASSWORD);
    let place = tempfile::tempdir().unwrap();
    let [literal, old, new, own] = CANARIES;
    let file = place.path().join("literal.txt");
    std::fs::write(&file, literal).unwrap();
    let literal_of = format!("OWN=@{}", file.display());
    let server = format!("file:{}", fixture().display());
    platform.ok_with(&["secret", "set", "VAULT", "--stdin"], old);
    let deploy =
        ["deploy", &server, "--name", "keyed", "--secret", &literal_of, "--secret", "NAME=secret:VAULT"];
    said("deploy", &platform.run(&[&deploy[..], &["--wait"]].concat()));
    // The same in a container.
    let boxed = ["deploy", "oci:canary:1", "--name", "boxed", "--secret", &literal_of];
    let boxed = [&boxed[..], &["--secret", "NAME=secret:VAULT", "--wait"]].concat();
    said("deploy of an image", &platform.run(&boxed));
    // It arrived, which only the server's own word tells.
    for name in ["keyed", "boxed"] {
        let answer = platform.ok(&["call", name, "who"]);
        assert!(answer.contains(old), "{name}: {answer}");
    }
    let of_caller = place.path().join("own.txt");
    std::fs::write(&of_caller, own).unwrap();
    let own_of = format!("NAME=@{}", of_caller.display());
    platform.ok(&["deploy", &server, "--name", "mine", "--each-caller", "NAME", "--wait"]);
    said("secret own", &platform.run(&["secret", "own", "mine", &own_of, "--json"]));
    assert!(platform.ok(&["call", "mine", "who"]).contains(own), "the caller's own");
    said("secret set", &{
        let file = place.path().join("new.txt");
        std::fs::write(&file, new).unwrap();
        platform.run(&["secret", "set", "VAULT", &format!("@{}", file.display()), "--json"])
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    for name in ["keyed", "boxed"] {
        platform.wait_for(name, "running");
        // Meanwhile it may not be ready.
        while !String::from_utf8_lossy(&platform.run(&["call", name, "who"]).stdout).contains(new) {
            assert!(std::time::Instant::now() < deadline, "{name}: the new version does not come");
        }
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
        &["status", "boxed", "--json"],
        &["logs", "boxed"],
        &["tools", "keyed"],
        &["status", "mine", "--json"],
        &["logs", "mine"],
        &["env", "logs", "local", "-n", "2000"],
        &["env", "check", "local"],
        &["secret", "own", "mine"],
        &["secret", "own", "mine", &own_of, "NAMES=x"],
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
    platform.ok(&["call", "mine", "echo", &format!(r#"{{"message":"{own}"}}"#)]);
    while !["keyed", "mine"]
        .iter()
        .all(|name| platform.ok(&["audit", "--calls", "--tool", "echo"]).contains(name))
    {
        assert!(std::time::Instant::now() < deadline, "the call leaves no line");
    }
    let kept = platform.run(&["audit", "--calls", "--since", "1h", "--json"]);
    assert!(String::from_utf8_lossy(&kept.stdout).contains("[secret] [secret]"), "parameters are kept");
    said("audit --calls", &kept);
    said("audit", &platform.run(&["audit", "--since", "1h", "--json"]));

    let id = platform.json(&["status", "boxed"])["id"].as_str().unwrap().to_owned();
    strangers::engine(docker, &format!("berth-{id}"));
    let stranger = strangers::Stranger::new(&platform);
    strangers::api(&stranger, &["keyed", "boxed", "mine"]);
    strangers::pages(&stranger);
    let given_out = strangers::oauth(&stranger, "boxed");

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
    // What was given out over HTTP is as good as a key, and is kept as its hash.
    let given_out = given_out.iter().map(String::as_str);
    for canary in CANARIES.into_iter().chain([strangers::PASSWORD]).chain(given_out) {
        assert_eq!(platform.files_with(canary), [] as [std::path::PathBuf; 0], "{canary}");
    }
}
