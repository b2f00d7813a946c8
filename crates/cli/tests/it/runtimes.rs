//! A data directory whose instances ran in containers, and are to be processes from now on.

use std::os::unix::fs::symlink;

use serde_json::Value;
use testkit::docker::engine;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// Waits until an instance runs in this, and answers.
#[track_caller]
fn runs_in(platform: &Platform, name: &str, runtime: &str) {
    wait::until(runtime, || {
        let seen = platform.instance(name)?;
        (seen["status"] == "running" && seen["confinement"]["runtime"] == runtime).then_some(())
    });
    let answer = platform.ok(&["call", name, "test_simple_text"]);
    assert!(answer.contains("simple text response"), "{answer}");
}

#[test]
fn instances_leave_their_containers_for_the_process_runtime() {
    let docker = engine();
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let socket = dir.path().join("docker.sock");
    let here = || {
        let own = docker.host();
        symlink(own.strip_prefix("unix://").expect("a socket"), &socket).expect("a link");
    };
    here();
    let host = format!("unix://{}", socket.display());
    let mut platform = Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &host)]);
    let file = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &file, "--name", "file", "--wait"]);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "image", "--wait"]);
    let gone = || {
        wait::until("the end of the containers", || docker.containers().is_empty().then_some(()));
        wait::until("the end of the network", || {
            let list = docker.get("/networks")?;
            let ours =
                |network: &Value| network["Name"].as_str().is_some_and(|name| name.starts_with("berth-"));
            (!list.as_array()?.iter().any(ours)).then_some(())
        });
    };

    // The DTMA ends as the host would end it; the containers stay.
    platform.crash();
    assert_eq!(docker.containers().len(), 3);
    platform.up_with(&["--runtime", "process"]);
    runs_in(&platform, "file", "process");
    let seen = platform.wait_for("image", "error_install");
    assert!(seen["message"].as_str().expect("a message").contains("`--runtime process`"), "{seen}");
    gone();

    // And back.
    platform.crash();
    platform.up_with(&["--runtime", "docker"]);
    runs_in(&platform, "file", "docker");
    platform.ok(&["restart", "image"]);
    runs_in(&platform, "image", "docker");

    // An engine that is away holds nobody up; what it has is removed when it is back.
    platform.crash();
    std::fs::remove_file(&socket).expect("a link");
    platform.up_with(&["--runtime", "process"]);
    runs_in(&platform, "file", "process");
    platform.wait_for("image", "error_install");
    assert_eq!(docker.containers().len(), 3);
    here();
    gone();
    runs_in(&platform, "file", "process");
}
