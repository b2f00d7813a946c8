//! A real npm server is made another version, and what it was before: tried beside itself, its tools compared, its address the same.

use serde_json::{Value, json};
use testkit::platform::Platform;

use crate::BERTH;

const OLD: &str = "2025.11.25";
const NEW: &str = "2026.8.31";

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_server_is_upgraded_and_rolled_back() {
    let platform = Platform::start(BERTH);
    let server = format!("npm:@modelcontextprotocol/server-everything@{OLD}");
    platform.ok(&["deploy", &server, "--name", "everything", "--wait"]);
    let before = platform.instance("everything").expect("the instance");
    let sum = |tool: &str| platform.ok(&["call", "everything", tool, r#"{"a":2,"b":3}"#]);
    assert!(sum("add").contains('5'));

    // It is looked at first: both run, and the difference is told.
    let upgraded = platform.run(&["upgrade", "everything", "--version", NEW, "--review", "--wait"]);
    assert!(upgraded.status.success(), "{}", said(&upgraded));
    let tools = String::from_utf8_lossy(&upgraded.stdout).into_owned();
    for line in ["+ get-sum", "- add", "~ echo"] {
        assert!(tools.lines().any(|told| told == line), "no `{line}` in {tools}");
    }
    assert!(sum("add").contains('5'), "it is what it was");
    let beside = platform.ok(&["call", "everything-next", "get-sum", r#"{"a":2,"b":3}"#]);
    assert!(beside.contains('5'), "{beside}");
    platform.ok(&["changes", "everything", "--switch", "2"]);
    assert!(sum("get-sum").contains('5'));
    let after = platform.instance("everything").expect("the instance");
    assert_eq!((&after["id"], &after["url"]), (&before["id"], &before["url"]));
    assert_eq!(after["version"], NEW);

    // What does not exist, and what cannot start, leave it as it is.
    for arguments in [
        &["upgrade", "everything", "--version", "9999.1.1", "--wait"][..],
        &["configure", "everything", "--startup-seconds", "5", "--arg", "no-such-transport", "--wait"],
    ] {
        let failed = platform.run(arguments);
        assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
        assert!(said(&failed).contains("`everything` was left as it was"), "{}", said(&failed));
        assert!(sum("get-sum").contains('5'));
    }

    let back = platform.run(&["rollback", "everything", "--wait"]);
    assert!(back.status.success(), "{}", said(&back));
    assert!(sum("add").contains('5'));
    let changes = platform.json(&["changes", "everything"]);
    let states: Vec<&Value> = changes.as_array().expect("a list").iter().map(|it| &it["state"]).collect();
    assert_eq!(json!(states), json!(["current", "failed", "failed", "replaced", "replaced"]));
    assert_eq!((&changes[0]["version"], &changes[0]["back_to"]), (&json!(OLD), &json!(1)));
    assert!(platform.instance("everything-next").is_none(), "nothing is left beside it");
}
