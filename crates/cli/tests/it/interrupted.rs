//! Ctrl-C on the commands that wait: each says what goes on without it, and takes back what is its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use testkit::platform::Platform;
use testkit::{processes, wait};

use crate::BERTH;

fn start(platform: &Platform, arguments: &[&str]) -> Child {
    platform.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("`berth` starts")
}

/// Waits for a line with `word`, sends SIGINT, and gives the exit code and all that was said afterwards.
#[track_caller]
fn interrupt(mut child: Child, stream: impl std::io::Read, word: &str) -> (Option<i32>, String) {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(lines.read_line(&mut line).expect("a line") != 0, "it ended before it said `{word}`");
    }
    processes::signal(child.id(), Signal::INT);
    let status = child.wait().expect("a child of ours");
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    (status.code(), rest)
}

#[test]
fn a_deployment_goes_on() {
    let platform = Platform::start(BERTH);
    let mut child =
        start(&platform, &["deploy", "npm:@modelcontextprotocol/server-memory", "--name", "slow", "--wait"]);
    let said = child.stderr.take().expect("it is piped");
    let (code, rest) = interrupt(child, said, "waiting for its host");
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("goes on") && rest.contains("berth status slow"), "{rest}");
    platform.wait_for("slow", "running");
}

#[test]
fn following_a_log_is_over() {
    let platform = Platform::start(BERTH);
    let mut child = start(&platform, &["logs", "welcome", "--follow"]);
    let lines = child.stdout.take().expect("it is piped");
    assert_eq!(interrupt(child, lines, "berth-welcome runs").0, Some(0));
}

#[test]
fn a_call_is_given_up_and_the_server_told() {
    let platform = Platform::start(BERTH);
    let mut child = start(&platform, &["call", "welcome", "progress", r#"{"steps":1000,"delay_ms":1000}"#]);
    let said = child.stderr.take().expect("it is piped");
    let (code, rest) = interrupt(child, said, "step 1 of 1000");
    assert_eq!(code, Some(1), "{rest}");
    assert!(rest.contains("the server was told"), "{rest}");
    // The instance is none the worse for it.
    wait::until("an answer", || {
        platform.run(&["call", "welcome", "echo", r#"{"message":"hi"}"#]).status.success().then_some(())
    });
}
