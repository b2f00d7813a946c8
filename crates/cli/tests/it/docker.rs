//! Instances in containers of a real Docker engine.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::{Value, json};
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::registry::Registry;
use testkit::{processes, wait};

use crate::BERTH;
use crate::conformance::fixture;

/// A platform whose instances all run in containers of the test's engine.
fn platform(docker: &Docker) -> Platform {
    Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())])
}

/// The container of an instance; `None` while there is none.
fn find_container(docker: &Docker, platform: &Platform, name: &str) -> Option<Value> {
    let id = platform.instance(name)?["id"].as_str()?.to_owned();
    docker.get(&format!("/containers/berth-{id}/json"))
}

#[track_caller]
pub(crate) fn container(docker: &Docker, platform: &Platform, name: &str) -> Value {
    find_container(docker, platform, name).expect("its container")
}

/// Waits until an instance runs in another container than `before`.
#[track_caller]
fn another_container(docker: &Docker, platform: &Platform, name: &str, before: &Value) -> Value {
    let found = wait::until("another container", || {
        find_container(docker, platform, name)
            .filter(|now| now["Id"] != before["Id"] && now["State"]["Running"] == true)
    });
    platform.wait_for(name, "running");
    found
}

#[track_caller]
fn init_of(container: &Value) -> u32 {
    container["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id")
}

#[track_caller]
pub(crate) fn answers(platform: &Platform, name: &str) {
    let answer = platform.ok(&["call", name, "test_simple_text"]);
    assert!(answer.contains("simple text response"), "{answer}");
}

#[track_caller]
fn remove(platform: &Platform, name: &str) {
    platform.ok(&["remove", name, "--yes"]);
    wait::until("its end", || platform.instance(name).is_none().then_some(()));
}

#[test]
fn an_image_answers_and_survives_its_dtma_and_its_shim() {
    let docker = engine();
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, "USER 65534"]);
    let platform = platform(docker);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "stdio", "--secret", "TOKEN=hush-hush", "--wait"]);
    answers(&platform, "stdio");

    let found = container(docker, &platform, "stdio");
    let shown = found.to_string();
    assert!(!shown.contains("hush-hush"), "a secret is shown: {shown}");
    let status = platform.json(&["status", "stdio"]);
    assert_eq!(status["digest"], found["Image"]);
    assert_eq!(
        (&status["confinement"]["runtime"], &status["confinement"]["profile"]),
        (&json!("docker"), &json!("strict"))
    );
    let status = platform.ok(&["status", "stdio"]);
    assert!(status.contains("1024 MiB of memory, 2 cores, 512 processes, 4096 open files"), "{status}");
    let host = &found["HostConfig"];
    assert_eq!(host["CapDrop"], json!(["ALL"]));
    assert_eq!(host["SecurityOpt"], json!(["no-new-privileges:true"]));
    assert_eq!((&host["ReadonlyRootfs"], &host["PidsLimit"]), (&json!(true), &json!(512)));
    assert_eq!(host["Memory"], 1_u64 << 30);
    assert_eq!(found["NetworkSettings"]["Ports"], json!({}), "nothing is published");

    // A new DTMA takes the container as it is.
    let dtma = platform.own("dtma");
    processes::kill(dtma);
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    platform.wait_for("stdio", "running");
    answers(&platform, "stdio");
    let adopted = container(docker, &platform, "stdio");
    assert_eq!(
        (&adopted["Id"], init_of(&adopted)),
        (&found["Id"], init_of(&found)),
        "adopted, not restarted"
    );

    // The end of its first process is the end of the container; another takes its place.
    processes::kill(init_of(&found));
    let second = another_container(docker, &platform, "stdio", &found);
    answers(&platform, "stdio");

    // So it is when somebody removes it.
    docker.delete(&format!("/containers/{}?force=1", second["Id"].as_str().expect("an id")));
    let third = another_container(docker, &platform, "stdio", &second);
    answers(&platform, "stdio");

    // And when the engine is killed, which takes its containers along when it comes back.
    docker.crash();
    another_container(docker, &platform, "stdio", &third);
    platform.wait_for("welcome", "running");
    answers(&platform, "stdio");

    remove(&platform, "stdio");
    let left: Vec<String> = docker.containers().iter().map(|found| found["Names"].to_string()).collect();
    assert_eq!(left.len(), 1, "only `welcome` is left: {left:?}");
}

#[test]
fn what_each_caller_brings_is_in_no_container() {
    let platform = platform(engine());
    let server = format!("file:{}", fixture().display());
    let refused = platform.run(&["deploy", &server, "--name", "notes", "--each-caller", "NAME", "--wait"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("must be kept apart"), "{said}");
    let status = platform.wait_for("notes", "error_install")["message"].to_string();
    assert!(status.contains("the processes of a container are not"), "{status}");
}

#[test]
fn images_over_http_serve_on_the_port_they_are_told_or_on_their_own() {
    let docker = engine();
    let entry = r#"ENTRYPOINT ["/fixture"]"#;
    let own = r#"CMD ["--transport","http","--listen","0.0.0.0:8000"]"#;
    docker.image("http:1", &[("/fixture", &fixture())], &[entry]);
    // A server that does not look at `PORT`, which a shell would hide from it too.
    docker.image("fixed:1", &[("/fixture", &fixture())], &[entry, own]);
    let platform = platform(docker);
    platform.ok(&[
        "deploy",
        "oci:http:1",
        "--name",
        "told",
        "--transport",
        "http",
        "--wait",
        "--arg=--transport",
        "--arg=http",
        "--arg=--listen",
        "--arg=127.0.0.1:{port}",
    ]);
    answers(&platform, "told");
    let deploy =
        ["deploy", "oci:fixed:1", "--name", "own", "--transport", "http", "--port", "8000", "--wait"];
    platform.ok(&deploy);
    answers(&platform, "own");
    for name in ["told", "own"] {
        let found = container(docker, &platform, name);
        assert_eq!(found["NetworkSettings"]["Ports"], json!({}), "{name}: nothing is published");
    }
}

#[test]
fn packages_files_and_what_is_built_in_run_in_containers_too() {
    let docker = engine();
    let platform = platform(docker);
    let file = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &file, "--name", "file", "--wait"]);
    platform.ok(&["deploy", "npm:@modelcontextprotocol/server-everything", "--name", "everything", "--wait"]);
    platform.ok(&["deploy", "pypi:mcp-server-time", "--name", "clock", "--wait"]);
    answers(&platform, "file");
    assert!(platform.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    assert!(platform.ok(&["call", "everything", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    let time = platform.ok(&["call", "clock", "get_current_time", r#"{"timezone":"Europe/Paris"}"#]);
    assert!(time.contains("Paris"), "{time}");
    for name in ["welcome", "file", "everything", "clock"] {
        let found = container(docker, &platform, name);
        assert_eq!(found["State"]["Running"], true, "{name}");
        // What it may write is its own; of the data directory it sees no more than that and its package.
        let mounts = found["Mounts"].as_array().expect("an array");
        let data = platform.data();
        for mount in mounts.iter().filter(|mount| mount["RW"] == true) {
            let source = Path::new(mount["Source"].as_str().expect("a path"));
            let id = platform.instance(name).expect("it is there")["id"].as_str().expect("an id").to_owned();
            assert!(source.starts_with(&data) && source.to_string_lossy().contains(&id), "{name}: {mount}");
        }
    }
    platform.ok(&["restart", "everything"]);
    platform.wait_for("everything", "running");
    assert!(platform.ok(&["call", "everything", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    for name in ["file", "everything", "clock", "welcome"] {
        remove(&platform, name);
    }
    assert_eq!(docker.containers(), Vec::<Value>::new());
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let docker = engine();
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let platform = platform(docker);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "stdio", "--wait"]);
    let found = container(docker, &platform, "stdio");
    // Somebody's own container, with every label of ours.
    let forged = json!({"Image": "stdio:1", "Entrypoint": ["/fixture"], "OpenStdin": true, "Labels": found["Config"]["Labels"]});
    let forged = docker.post("/containers/create?name=forged", &forged);
    docker.post(&format!("/containers/{}/start", forged["Id"].as_str().expect("an id")), &Value::Null);

    platform.ok(&["stop", "stdio"]);
    platform.wait_for("stdio", "stopped");
    // Somebody's own container, under the name of ours.
    let name = found["Name"].as_str().expect("a name").trim_start_matches('/');
    let squatter = json!({"Image": "stdio:1", "Entrypoint": ["/fixture"]});
    let squatter = docker.post(&format!("/containers/create?name={name}"), &squatter);
    platform.ok(&["start", "stdio"]);
    let seen = platform.wait_for("stdio", "error_runtime");
    let words = seen["message"].as_str().expect("a message");
    assert!(words.contains(name) && words.contains("docker rename"), "{words}");
    docker.post(
        &format!("/containers/{}/rename?name=squatter", squatter["Id"].as_str().expect("an id")),
        &Value::Null,
    );
    platform.wait_for("stdio", "running");
    answers(&platform, "stdio");

    remove(&platform, "stdio");
    remove(&platform, "welcome");
    let mut left: Vec<String> = docker.containers().iter().map(|found| found["Names"].to_string()).collect();
    left.sort();
    assert_eq!(left, [r#"["/forged"]"#, r#"["/squatter"]"#]);
    let forged = docker.get("/containers/forged/json").expect("it is there");
    assert_eq!(forged["State"]["Running"], true);
}

#[test]
fn a_hanging_engine_is_told_and_outlasted() {
    let docker = engine();
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let platform = platform(docker);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "running", "--wait"]);
    docker.freeze(true);
    // What runs goes on, and the DTMA answers.
    answers(&platform, "running");
    platform.ok(&["deploy", "oci:stdio:1", "--name", "waiting"]);
    let seen =
        wait::until("its words", || platform.instance("waiting").filter(|seen| !seen["message"].is_null()));
    // Until it lasts too long, an engine that is away is only waited for.
    assert_eq!(seen["status"], "starting");
    let words = seen["message"].as_str().expect("a message");
    assert!(words.contains("hangs") && words.contains("restart docker"), "{words}");
    answers(&platform, "running");
    docker.freeze(false);
    platform.wait_for("waiting", "running");
    answers(&platform, "waiting");
}

#[test]
fn images_that_cannot_run_say_why() {
    let docker = engine();
    docker.image("silent:1", &[("/fixture", &fixture())], &[]);
    docker.foreign_image("foreign:1", "riscv64");
    docker.image("broken:1", &[], &[r#"ENTRYPOINT ["/nothing"]"#]);
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", &docker.host())]);
    let check = |server: &str, further: &[&str], status: &str, words: &str| {
        platform.ok(&[&["deploy", server, "--name", "wrong"], further].concat());
        let seen = platform.wait_for("wrong", status);
        let message = seen["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{server}: {message}");
        remove(&platform, "wrong");
    };
    check("oci:silent:1", &[], "error_install", "neither entry point nor command");
    check("oci:foreign:1", &[], "error_install", "is for linux/riscv64, this host is linux/");
    check("oci:broken:1", &[], "error_runtime", "/nothing");
    // A name without a registry that can be reached.
    check("oci:nothing.invalid/no/such:1", &[], "error_install", "nothing.invalid cannot be reached");
    // Arguments take the place of what the image does not say.
    platform.ok(&["deploy", "oci:silent:1", "--name", "said", "--arg=/fixture", "--wait"]);
    answers(&platform, "said");
    // By default only images run in containers.
    assert_eq!(docker.containers().len(), 1);
    remove(&platform, "said");
    assert_eq!(docker.containers(), Vec::<Value>::new(), "nothing is left of any of them");
}

#[test]
fn a_registry_that_was_away_is_asked_again_without_anybodys_help() {
    let docker = engine();
    let mut registry = Registry::start(docker, 5002, false);
    docker.image("late:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let image = registry.take(docker, "late:1");
    docker.delete("/images/late:1");
    registry.stop();
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", &docker.host())]);
    platform.ok(&["deploy", &format!("oci:{image}"), "--name", "late"]);
    let seen = platform.wait_for("late", "error_install");
    let message = seen["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("127.0.0.1:5002 cannot be reached") && message.contains("tries again"),
        "{message}"
    );
    registry.go_on();
    platform.wait_for("late", "running");
    answers(&platform, "late");
    remove(&platform, "late");
}

#[test]
fn images_are_pulled_with_and_without_credentials() {
    let docker = engine();
    let (open, closed) = (Registry::start(docker, 5000, false), Registry::start(docker, 5001, true));
    let entry = r#"ENTRYPOINT ["/fixture"]"#;
    docker.image("pulled:1", &[("/fixture", &fixture())], &[entry]);
    let (public, private) = (open.take(docker, "pulled:1"), closed.take(docker, "pulled:1"));
    docker.delete("/images/pulled:1");
    // Where `docker login` keeps what it was told.
    let home = tempfile::tempdir().unwrap();
    let environment = [("DOCKER_HOST", docker.host()), ("DOCKER_CONFIG", home.path().display().to_string())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let platform = Platform::start_in(BERTH, &[], &environment);
    let refused = |server: &str, words: &str| {
        platform.ok(&["deploy", server, "--name", "refused"]);
        let seen = platform.wait_for("refused", "error_install");
        let message = seen["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "{server}: {message}");
        remove(&platform, "refused");
    };
    let log_in = |login: &str| {
        let file = json!({"auths": {"127.0.0.1:5001": {"auth": login}}});
        std::fs::write(home.path().join("config.json"), file.to_string()).unwrap();
    };

    platform.ok(&["deploy", &format!("oci:{public}"), "--name", "public", "--wait"]);
    answers(&platform, "public");
    let image = docker.get(&format!("/images/{public}/json")).expect("it was pulled");
    let digest = platform.json(&["status", "public"])["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(image["RepoDigests"], json!([format!("127.0.0.1:5000/pulled@{digest}")]));
    refused("oci:127.0.0.1:5000/pulled:2", "check its name");

    let private = format!("oci:{private}");
    refused(&private, "wants credentials");
    log_in("bWU6d3Jvbmc=");
    refused(&private, "refused the credentials");
    log_in("bWU6cmlnaHQ=");
    platform.ok(&["deploy", &private, "--name", "private", "--wait"]);
    answers(&platform, "private");

    // What Berth itself was told comes before the host's own file, and is nowhere in clear.
    remove(&platform, "private");
    let image = private.strip_prefix("oci:").expect("an image");
    let forget = || docker.delete(&format!("/images/{image}?force=1"));
    let keep = |password: &str| {
        let arguments = ["registry", "login", "127.0.0.1:5001", "--username", "me", "--password-stdin"];
        platform.ok_with(&arguments, password);
    };
    forget();
    keep("wrong-to-the-registry\n");
    refused(&private, "berth registry login 127.0.0.1:5001");
    // The file's is right, and is not asked for another registry's image either.
    log_in("bWU6d3Jvbmc=");
    platform.ok(&["deploy", &private, "--name", "private"]);
    platform.wait_for("private", "error_install");
    keep("right\n");
    let listed = platform.ok(&["registry", "list"]);
    assert!(listed.contains("127.0.0.1:5001") && !listed.contains("right"), "{listed}");
    // A restart takes what was given since, and so does the next deployment.
    platform.ok(&["restart", "private"]);
    platform.wait_for("private", "running");
    answers(&platform, "private");
    for password in ["wrong-to-the-registry", "\"right\""] {
        let found = platform.files_with(password);
        assert_eq!(found, Vec::<std::path::PathBuf>::new(), "`{password}` lies in clear");
    }
    remove(&platform, "private");
    forget();
    platform.ok(&["registry", "logout", "127.0.0.1:5001"]);
    refused(&private, "refused the credentials");
}

#[test]
fn an_engine_that_is_not_there_is_told_and_awaited() {
    let docker = engine();
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("docker.sock");
    let host = format!("unix://{}", socket.display());
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", &host)]);
    let words = |seen: &Value| {
        let words = seen["message"].as_str().unwrap_or_default();
        words.contains("no Docker engine answers") && words.contains("systemctl start docker")
    };
    std::thread::scope(|scope| {
        // Who waits for the instance waits for the engine too, and learns why it takes so long.
        let deploy = ["deploy", "oci:stdio:1", "--name", "stdio", "--wait"];
        let deploying = {
            let platform = &platform;
            scope.spawn(move || platform.ok(&deploy))
        };
        let seen = wait::until("its words", || platform.instance("stdio").filter(|seen| words(seen)));
        assert_eq!(seen["status"], "starting");
        let own = docker.host();
        std::os::unix::fs::symlink(own.strip_prefix("unix://").expect("a socket"), &socket).unwrap();
        deploying.join().expect("it runs in the end");
    });
    answers(&platform, "stdio");
    remove(&platform, "stdio");

    // Its containerd ends, and comes back, under a start; then the engine itself, as `systemctl restart docker` does it.
    for (name, end) in [("over-containerd", false), ("over-dockerd", true)] {
        std::thread::scope(|scope| {
            if end {
                scope.spawn(|| docker.restart());
            } else {
                processes::kill(docker.containerd().expect("its containerd"));
            }
            platform.ok(&["deploy", "oci:stdio:1", "--name", name, "--wait"]);
        });
        docker.wait();
        platform.wait_for(name, "running");
        remove(&platform, name);
    }

    // One that stays away is an error after a while.
    std::fs::remove_file(&socket).unwrap();
    platform.ok(&["deploy", "oci:stdio:1", "--name", "stdio"]);
    let seen = platform.wait_for("stdio", "error_runtime");
    assert!(words(&seen), "{seen}");

    // Another machine's engine would mount what lies there.
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", "tcp://10.0.0.1:2375")]);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "stdio"]);
    let seen = platform.wait_for("stdio", "error_install");
    assert!(seen["message"].as_str().expect("a message").contains("`tcp://10.0.0.1:2375`"), "{seen}");
}

#[test]
fn an_engine_whose_root_is_an_ordinary_user_runs_images() {
    let docker = Docker::start_remapping().expect("an engine");
    docker.image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let platform = Platform::start_in(BERTH, &[], &[("DOCKER_HOST", &docker.host())]);
    platform.ok(&["deploy", "oci:stdio:1", "--name", "stdio", "--wait"]);
    answers(&platform, "stdio");
    let init = init_of(&container(&docker, &platform, "stdio"));
    let owner = std::fs::metadata(format!("/proc/{init}")).expect("it lives").uid();
    assert_eq!(owner, 231_072, "root in there is nobody here");
    platform.ok(&["restart", "stdio"]);
    platform.wait_for("stdio", "running");
    answers(&platform, "stdio");
}

#[test]
fn orphans_in_a_container_are_reaped() {
    let docker = engine();
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("orphans");
    std::fs::create_dir(&server).unwrap();
    std::fs::copy(fixture(), server.join("fixture")).unwrap();
    let script = "#!/bin/sh\nfor i in 1 2 3 4 5; do (true &); done\nexec \"${0%/*}/fixture\"\n";
    std::fs::write(server.join("orphans"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(server.join("orphans"), executable).unwrap();
    let platform = platform(docker);
    let server = format!("file:{}", server.display());
    platform.ok(&["deploy", &server, "--name", "orphans", "--mode", "shared", "--wait"]);
    answers(&platform, "orphans");
    let init = init_of(&container(docker, &platform, "orphans"));
    wait::until("the server alone", || {
        let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
        (children.split_whitespace().count() == 1).then_some(())
    });
}
