//! The platform as its user meets it: up, deploy, call, stop, start, restart, remove, down and up again.

use serde_json::json;
use testkit::platform::Platform;
use testkit::processes;
use testkit::wait;

use crate::BERTH;

#[test]
fn welcome_answers_after_the_first_start_and_everything_is_back_after_the_second() {
    let mut platform = Platform::start(BERTH);
    assert_eq!(platform.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]).trim(), "hi");
    platform.ok(&["deploy", "welcome", "--name", "second", "--wait"]);
    platform.ok(&["stop", "second"]);
    platform.wait_for("second", "stopped");
    let token = platform.token().to_owned();
    let before = platform.processes();

    platform.end();
    for process in before {
        assert!(!processes::is_alive(process.pid), "SIGTERM of `up` ends everything, also {process:?}");
    }

    platform.up();
    assert_eq!(platform.token(), token, "the token is the same");
    platform.wait_for("second", "stopped");
    platform.ok(&["start", "second"]);
    platform.wait_for("second", "running");
    assert_eq!(platform.ok(&["call", "second", "add", r#"{"a":2,"b":3}"#]).trim(), "5");
}

#[test]
fn packages_of_npm_and_pypi() {
    let platform = Platform::start(BERTH);
    let server = "npm:@modelcontextprotocol/server-everything";
    platform.ok(&["deploy", server, "--name", "everything", "--mode", "shared", "--wait"]);
    platform.ok(&["deploy", "pypi:mcp-server-time", "--name", "clock", "--wait"]);

    let list = platform.json(&["list"]);
    for item in list.as_array().expect("an array") {
        assert_eq!((&item["status"], &item["environment"]), (&json!("running"), &json!("local")), "{item}");
        assert_eq!(item["url"], json!(platform.mcp_url(item["name"].as_str().expect("a name"))));
    }
    let status = platform.json(&["status", "everything"]);
    assert!(
        status["version"].as_str().is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit())),
        "{status}"
    );
    assert!(status["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{status}");

    assert!(platform.ok(&["tools", "everything"]).contains("echo"));
    assert!(platform.ok(&["call", "everything", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    assert!(
        platform
            .ok(&["call", "clock", "get_current_time", r#"{"timezone":"Europe/Paris"}"#])
            .contains("Paris")
    );
    wait::until("a line in the log", || {
        platform.ok(&["logs", "everything"]).contains("stderr").then_some(())
    });

    platform.ok(&["stop", "everything"]);
    platform.wait_for("everything", "stopped");
    let refused = platform.run(&["call", "everything", "echo", r#"{"message":"hi"}"#]);
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("stopped") && words.contains("berth start everything"), "{words}");

    platform.ok(&["start", "everything"]);
    platform.wait_for("everything", "running");
    let server = platform.server("server-everything/dist/index.js");
    platform.ok(&["restart", "everything"]);
    wait::until("another process", || {
        (!processes::is_alive(server) && platform.instance("everything")?["status"] == "running")
            .then_some(())
    });
    assert!(platform.ok(&["call", "everything", "echo", r#"{"message":"hi"}"#]).contains("hi"));

    platform.ok(&["remove", "everything", "--yes"]);
    wait::until("its end", || platform.instance("everything").is_none().then_some(()));
    let gone = platform.run(&["status", "everything"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
}

#[test]
fn two_on_one_directory_and_two_on_two() {
    let first = Platform::start(BERTH);
    let second = first
        .command(&["up", "--listen", "127.0.0.1:0", "--dtma-listen", "127.0.0.1:0", "--data"])
        .arg(first.data())
        .output()
        .expect("`berth up` starts");
    let words = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{words}");
    assert!(words.contains(first.url()), "it says who holds the directory: {words}");

    let other = Platform::start(BERTH);
    assert_ne!(first.url(), other.url());
    assert!(other.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    assert!(first.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]).contains("hi"));
}

#[test]
fn a_lone_dtma_that_ends_leaves_its_servers_running() {
    let platform = Platform::start(BERTH);
    let (dtma, shim, server) =
        (platform.own("dtma"), platform.shim("__welcome"), platform.server("__welcome"));
    processes::signal(dtma, rustix::process::Signal::TERM);
    wait::until("the end of the DTMA", || (!processes::is_alive(dtma)).then_some(()));
    assert!(processes::is_alive(shim) && processes::is_alive(server));
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    platform.wait_for("welcome", "running");
    assert_eq!(
        (platform.shim("__welcome"), platform.server("__welcome")),
        (shim, server),
        "adopted, not restarted"
    );
}

#[test]
fn postgres_serves_as_well() {
    let url = testkit::postgres::database();
    let mut platform = Platform::start_with(BERTH, &["--database", &url]);
    platform.ok(&["deploy", "welcome", "--name", "second", "--wait"]);
    platform.end();
    platform.up();
    platform.wait_for("second", "running");
    assert!(!platform.data().join("control/berth.db").exists(), "nothing went into SQLite");
}
