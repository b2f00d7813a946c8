//! Each kind of thing that can be deployed, all in containers: it runs, answers, and shows how it is confined.

use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// How one is asked, and words of its answer.
enum Asked {
    Call { tool: &'static str, arguments: &'static str, answer: &'static str },
    Get { port: u16, path: &'static str, answer: &'static str },
}

#[track_caller]
fn check(docker: &Docker, platform: &Platform, deploy: &[&str], asked: &Asked, profile: &str) {
    let what = deploy[0];
    platform.ok(&[&["deploy", what, "--name", "one", "--wait"], &deploy[1..]].concat());
    match asked {
        Asked::Call { tool, arguments, answer } => {
            let said = platform.ok(&["call", "one", tool, arguments]);
            assert!(said.contains(answer), "{what}: {said}");
        }
        Asked::Get { port, path, answer } => {
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            let said = docker.talk(*port, request.as_bytes()).expect("it answers");
            assert!(said.ends_with(answer), "{what}: {said}");
        }
    }
    let seen = platform.json(&["status", "one"]);
    let confinement = &seen["confinement"];
    assert_eq!((&seen["status"], &confinement["runtime"]), (&"running".into(), &"docker".into()), "{what}");
    assert_eq!(confinement["profile"], profile, "{what}");
    let shown = platform.ok(&["status", "one"]);
    let has = |key: &str, value: &str| {
        shown.lines().any(|line| line.split_once(' ').is_some_and(|(k, v)| k == key && v.trim() == value))
    };
    let limits = "1024 MiB of memory, 2 cores, 512 processes, 4096 open files";
    for (key, value) in [("runtime", "docker"), ("profile", profile), ("limits", limits)] {
        assert!(has(key, value), "{what}: no `{key} {value}` in {shown}");
    }
    platform.ok(&["remove", "one", "--yes"]);
    wait::until("its end", || platform.instance("one").is_none().then_some(()));
}

#[test]
fn all_kinds_run_in_containers_answer_and_show_limits_and_profile() {
    let docker = engine();
    let (files, entry) = ([("/fixture", fixture())], r#"ENTRYPOINT ["/fixture"]"#);
    let files = files.each_ref().map(|(target, source)| (*target, source.as_path()));
    docker.image("stdio:1", &files, &[entry]);
    docker.image("http:1", &files, &[entry, r#"CMD ["--transport","http","--listen","0.0.0.0:8000"]"#]);
    docker.image("tool:1", &files, &[entry, r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#]);
    let platform = Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())]);
    let simple = || Asked::Call { tool: "test_simple_text", arguments: "{}", answer: "simple text response" };
    let check = |deploy: &[&str], asked: &Asked, profile| check(docker, &platform, deploy, asked, profile);

    check(&["oci:stdio:1"], &simple(), "strict");
    check(&["oci:http:1", "--transport", "http", "--port", "8000"], &simple(), "strict");
    check(
        &["oci:tool:1", "--publish", "7289:80", "--health", "http:80/health", "--set", "WORD=said"],
        &Asked::Get { port: 7289, path: "/env/WORD", answer: "said" },
        "standard",
    );
    check(
        &["npm:@modelcontextprotocol/server-everything"],
        &Asked::Call { tool: "echo", arguments: r#"{"message":"hi"}"#, answer: "hi" },
        "strict",
    );
    check(
        &["pypi:mcp-server-time"],
        &Asked::Call {
            tool: "get_current_time",
            arguments: r#"{"timezone":"Europe/Paris"}"#,
            answer: "Paris",
        },
        "strict",
    );
}
