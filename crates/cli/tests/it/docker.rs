//! Instances in containers of a real Docker engine.

use serde_json::Value;
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::{processes, wait};

use crate::BERTH;
use crate::conformance::fixture;

/// A platform whose instances all run in containers of the test's engine.
fn platform(docker: &Docker) -> Platform {
    Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())])
}

/// The container of an instance.
#[track_caller]
fn container(docker: &Docker, platform: &Platform, name: &str) -> Value {
    let id = platform.instance(name).expect("it is there")["id"].as_str().expect("an id").to_owned();
    docker.get(&format!("/containers/berth-{id}/json")).expect("its container")
}

fn echo(platform: &Platform, name: &str) {
    let answer = platform.ok(&["call", name, "test_simple_text"]);
    assert!(answer.contains("simple text response"), "{answer}");
}

#[test]
fn an_image_answers_and_survives_its_dtma_and_its_shim() {
    let docker = engine();
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, "USER 65534"]);
    let platform = platform(docker);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "stdio", "--secret", "TOKEN=hush-hush", "--wait"]);
    echo(&platform, "stdio");

    let found = container(docker, &platform, "stdio");
    let shown = found.to_string();
    let spec = platform.json(&["status", "stdio"]);
    assert!(!shown.contains("hush-hush"), "a secret is shown: {shown}");
    assert_eq!(spec["digest"], found["Image"], "{spec}");

    // A new DTMA takes the container as it is.
    let dtma = platform.own("dtma");
    processes::kill(dtma);
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    platform.wait_for("stdio", "running");
    echo(&platform, "stdio");
    let adopted = container(docker, &platform, "stdio");
    assert_eq!((&adopted["Id"], &adopted["State"]["Pid"]), (&found["Id"], &found["State"]["Pid"]), "adopted");

    // The end of its first process is the end of the container; another takes its place.
    processes::kill(u32::try_from(found["State"]["Pid"].as_u64().expect("a pid")).expect("a pid"));
    wait::until("another container", || {
        let id = platform.instance("stdio")?["id"].as_str()?.to_owned();
        let now = docker.get(&format!("/containers/berth-{id}/json"))?;
        (now["Id"] != found["Id"]).then_some(())
    });
    platform.wait_for("stdio", "running");
    echo(&platform, "stdio");

    platform.ok(&["remove", "stdio", "--yes"]);
    wait::until("its end", || platform.instance("stdio").is_none().then_some(()));
    let left: Vec<String> =
        docker.containers().iter().map(|container| container["Names"].to_string()).collect();
    assert_eq!(left.len(), 1, "only `welcome` is left: {left:?}");
}
