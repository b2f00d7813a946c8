//! A real npm server and real images are made other versions, and what they were before: tried beside themselves, their tools compared,
//! their addresses the same.

use serde_json::{Value, json};
use testkit::docker::engine;
use testkit::platform::Platform;
use testkit::registry::Registry;

use crate::BERTH;
use crate::conformance::fixture;
use crate::docker::{answers, container};

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

#[test]
fn an_image_is_upgraded_and_rolled_back() {
    let docker = engine();
    let registry = Registry::start(docker, 5003, false);
    // The control plane asks it which one is the newest, under the name that the engine has for it.
    let address = registry.outside(docker, 5003);
    let make = |name: &str, word: &str| {
        let changes = [r#"ENTRYPOINT ["/fixture"]"#, &format!("ENV WORD={word}")];
        docker.image(name, &[("/fixture", &fixture())], &changes);
    };
    let publish = |tag: &str, word: &str| {
        make(&format!("grown:{tag}"), word);
        registry.take(docker, &format!("grown:{tag}"));
        registry.digest(docker, "grown", tag)
    };
    let named = format!("http://{address}");
    let platform =
        Platform::start_in(BERTH, &["--image-registry", &named], &[("DOCKER_HOST", &docker.host())]);
    let runs = |name: &str, word: &str| {
        platform.wait_for(name, "running");
        answers(&platform, name);
        let env = container(docker, &platform, name)["Config"]["Env"].to_string();
        assert!(env.contains(&format!("WORD={word}")), "{env}");
    };

    let first = publish("1", "one");
    platform.ok(&["deploy", &format!("oci:{address}/grown:1"), "--name", "grown", "--wait"]);
    runs("grown", "one");
    // Its tag is another image from now on. Which one it is was asked, so that it stays that one.
    let second = publish("1", "two");
    platform.ok(&["upgrade", "grown", "--wait"]);
    runs("grown", "two");
    let now = platform.instance("grown").expect("the instance");
    assert_eq!(now["package"], format!("oci:{address}/grown:1@{second}"));
    assert_eq!(now["digest"], second);
    let again = platform.run(&["upgrade", "grown", "--wait"]);
    assert!(said(&again).contains("that is what `grown` is already"), "{}", said(&again));

    publish("2", "three");
    platform.ok(&["upgrade", "grown", "--version", "2", "--wait"]);
    runs("grown", "three");
    let missing = platform.run(&["upgrade", "grown", "--version", "3", "--wait"]);
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("`grown` was left as it was"), "{}", said(&missing));
    runs("grown", "three");
    platform.ok(&["rollback", "grown", "--to", "1", "--wait"]);
    runs("grown", "one");
    assert_eq!(platform.instance("grown").expect("the instance")["digest"], first);

    // One that never was in a registry is known by what the engine calls it.
    make("own:1", "one");
    make("own:2", "two");
    platform.ok(&["deploy", "oci:own:1", "--name", "own", "--wait"]);
    platform.ok(&["upgrade", "own", "--version", "2", "--wait"]);
    runs("own", "two");
    make("own:1", "another");
    platform.ok(&["rollback", "own", "--wait"]);
    runs("own", "one");
}
