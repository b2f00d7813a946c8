//! What a host agent says of itself and of its machine, from the command line and in a browser.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;

use serde_json::Value;
use testkit::platform::Platform;
use testkit::wait;

use crate::{BERTH, web};

#[test]
fn its_log_goes_on_and_its_checks_are_true() {
    let platform = Platform::start(BERTH);
    platform.wait_for("welcome", "running");
    let log = platform.ok(&["env", "logs", "local", "--tail", "2000"]);
    assert!(log.lines().any(|line| line.contains("INFO dtma: the DTMA starts")), "{log}");
    let of_file = std::fs::read_to_string(platform.data().join("log/dtma.log")).expect("`up` keeps it");
    assert!(
        of_file.starts_with(&log) || log.starts_with(&of_file),
        "it is what the file has:\n{log}\n{of_file}"
    );
    assert!(!log.contains(platform.token()), "no token is in it");
    assert_eq!(platform.ok(&["env", "logs", "local", "-n", "1"]).lines().count(), 1);

    let mut follower = platform.command(&["env", "logs", "local", "-n", "0", "--follow"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().expect("it starts");
    let (said, lines) = mpsc::channel();
    let out = BufReader::new(follower.stdout.take().expect("it is piped"));
    std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| drop(said.send(line))));
    // It may be there after the first: one that is asked for again and again says so again and again.
    wait::until("a line of what is deployed", || {
        platform.ok(&["restart", "welcome"]);
        let line = lines.recv_timeout(std::time::Duration::from_secs(2)).ok()?;
        line.contains("instance").then_some(())
    });
    follower.kill().expect("it runs");
    follower.wait().expect("it ended");

    let checks = platform.json(&["env", "check", "local"]);
    let of = |name: &str| checks.as_array()?.iter().find(|check| check["name"] == name).cloned();
    assert_eq!(of("control plane").expect("it has one")["verdict"], "ok", "{checks:#}");
    assert_eq!(of("clock").expect("it was told the time")["verdict"], "ok", "{checks:#}");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has it");
    assert_eq!(of("kernel").expect("there is one")["found"], Value::from(kernel.trim()), "{checks:#}");
    assert_eq!(of("service manager"), None, "it runs, whatever started it: {checks:#}");
    let words = platform.ok(&["env", "check", "local"]);
    assert!(words.contains("✓ kernel: "), "{words}");

    platform.ok(&["env", "add", "host", "--name", "workshop"]);
    for arguments in [["env", "check", "workshop"], ["env", "logs", "workshop"]] {
        let refused = platform.run(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains("environment `workshop`") && said.contains("berth env show workshop"),
            "{said}"
        );
    }
    let refused = platform.run(&["env", "check", "locl"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`local`"), "{refused:?}");
}

#[tokio::test]
async fn the_machine_s_page_gets_its_checks_once_it_is_there() {
    let platform = Platform::start(BERTH);
    let browser = web::signed_in(&platform).await;
    browser.open(&format!("{}/a/default/environments/local", platform.url())).await;
    browser.read("as the control plane's").await;
    let placed = "return document.querySelectorAll('#findings .checks li').length";
    assert_ne!(browser.script(placed).await, 0);
    assert_eq!(browser.script("return document.querySelectorAll('[data-load]').length").await, 0);

    browser.open(&format!("{}/a/default/environments/local/logs", platform.url())).await;
    browser.read("the DTMA starts").await;
    let starts = async || browser.text().await.matches("the shim was started").count();
    let before = starts().await;
    platform.ok(&["restart", "welcome"]);
    let deadline = std::time::Instant::now() + wait::PATIENCE;
    while starts().await <= before {
        assert!(std::time::Instant::now() < deadline, "{}", browser.text().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
