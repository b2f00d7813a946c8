//! An engine whose disk is full while it pulls an image.

use std::fs;
use std::path::Path;

use serde_json::Value;
use testkit::docker::Docker;
use testkit::platform::Platform;
use testkit::registry::Registry;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// Bytes of a disk that are free.
fn free(path: &Path) -> u64 {
    let disk = rustix::fs::statvfs(path).expect("a disk");
    disk.f_bavail * disk.f_frsize
}

#[test]
fn a_pull_that_does_not_fit_says_so_leaves_nothing_and_goes_on_when_there_is_room() {
    let docker = Docker::start_small(512).expect("an engine");
    let registry = Registry::start(&docker, 5000, false);
    docker.image("large:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let image = registry.take(&docker, "large:1");
    docker.delete("/images/large:1");
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", &docker.host())]);

    // Less room than the image needs, and somebody else's file in the rest.
    let needed = fs::metadata(fixture()).expect("the image's file").len();
    let other = docker.data().join("of-somebody-else");
    let file = fs::File::create(&other).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, free(&docker.data()) - needed / 2)
        .expect("room for it");
    drop(file);
    let before = free(&docker.data());

    let output = platform.run(&["deploy", &format!("oci:{image}"), "--name", "large", "--wait"]);
    assert!(!output.status.success(), "it does not wait for somebody who makes room");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("`berth status large` shows when it is there"), "{told}");
    let root = docker.get("/info").expect("the engine's word")["DockerRootDir"].clone();
    let seen = platform.wait_for("large", "error_install");
    let words = seen["message"].as_str().expect("a message");
    let disk = format!("no space is left on the disk of {}", root.as_str().expect("a path"));
    assert!(words.contains(&disk) && words.contains("tries again"), "{words}");
    assert_eq!(docker.get("/images/json").expect("a list"), Value::Array(Vec::new()), "nothing is left");
    wait::until("the room that the pull took", || {
        (before <= free(&docker.data()) + needed / 8).then_some(())
    });

    fs::remove_file(&other).expect("room is made");
    platform.wait_for("large", "running");
    assert!(platform.ok(&["call", "large", "test_simple_text"]).contains("simple text response"));
}
