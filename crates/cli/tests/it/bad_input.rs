//! What a running Berth says to people who ask for what cannot be: the field, the fix, and nothing half done.

use serde_json::json;
use testkit::platform::Platform;

use crate::BERTH;

/// The command must fail with 1 and say every one of `words`.
#[track_caller]
fn refuses(platform: &Platform, arguments: &[&str], words: &[&str]) {
    let output = platform.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say `{word}`:\n{said}");
    }
}

#[test]
fn deployments_that_cannot_be() {
    let platform = Platform::start(BERTH);
    for (arguments, words) in [
        (&["deploy", "everythin"][..], &["everythin", "did you mean `everything`"][..]),
        (&["deploy", "xyzzy"], &["xyzzy", "catalog search", "npm:"]),
        (&["deploy", "npm:Not A Name"], &["server", "npm"]),
        (&["deploy", "npm:x@^1"], &["`^1`", "exact version"]),
        (&["deploy", "oci:Nginx"], &["server", "is not an image reference"]),
        (&["deploy", "welcome", "--name", "Wel Come"], &["`Wel Come`", "`wel-come`"]),
        (&["deploy", "welcome", "--name", "welcome"], &["welcome", "`welcome-2` is free"]),
        (&["deploy", "welcome", "--env", "lokal"], &["lokal", "local"]),
        (&["deploy", "time", "--set", "zone=UTC"], &["settings.zone", "`timezone`"]),
        (&["deploy", "npm:x", "--set", "LD_PRELOAD=/x"], &["LD_PRELOAD"]),
        (&["deploy", "npm:x", "--secret", "not a variable=x"], &["not a variable"]),
        (&["deploy", "git", "--set", "repository=/etc"], &["repository", "relative path"]),
        (&["status", "welcom"], &["welcom", "`welcome`"]),
        (&["call", "welcom", "echo"], &["welcom", "`welcome`"]),
        (&["logs", "welcom"], &["welcom", "`welcome`"]),
        (&["stop", "welcom"], &["welcom", "`welcome`"]),
        (&["remove", "welcom", "--yes"], &["welcom", "`welcome`"]),
        (&["status", "../../x"], &["../../x"]),
        (&["catalog", "show", "tim"], &["tim", "`time`"]),
        (&["call", "welcome", "ecko", "{}"], &["welcome"]),
        (&["call", "welcome", "add", r#"{"a":1}"#], &["reports an error"]),
        (&["token", "revoke", "nothing"], &["nothing", "token list"]),
        (&["env", "show", "lokal"], &["lokal", "`local`"]),
        (&["env", "remove", "local", "--yes"], &["`local`", "own machine"]),
        (
            &["env", "add", "host", "--name", "far", "--address", "far.example", "--insecure-http"],
            &["far.example", "10.0.0.5:30000"],
        ),
    ] {
        refuses(&platform, arguments, words);
    }
    let asked = platform.run(&["remove", "welcome"]);
    assert_eq!(asked.status.code(), Some(2), "removing is never done without a yes");
    assert!(String::from_utf8_lossy(&asked.stderr).contains("--yes"));

    let list = platform.json(&["list"]);
    let names: Vec<_> = list.as_array().expect("an array").iter().map(|item| &item["name"]).collect();
    assert_eq!(names, [&json!("welcome")], "nothing is left of what was refused");
}

#[test]
fn a_package_that_is_not_there() {
    let platform = Platform::start(BERTH);
    let gone = "npm:@modelcontextprotocol/no-such-server";
    refuses(
        &platform,
        &["deploy", gone, "--name", "gone", "--wait"],
        &["error_install", "no-such-server", "hint:"],
    );
    assert_eq!(platform.wait_for("gone", "error_install")["desired"], "running");
    platform.ok(&["remove", "gone", "--yes"]);
    testkit::wait::until("its end", || platform.instance("gone").is_none().then_some(()));
}

#[test]
fn tokens_that_are_for_less() {
    let platform = Platform::start(BERTH);
    platform.ok(&["deploy", "welcome", "--name", "other", "--wait"]);
    let token =
        platform.ok(&["token", "create", "ci", "--scope", "read,mcp:call:welcome/ec*"]).trim().to_owned();
    let check = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = platform.command(arguments).env("BERTH_TOKEN", &token).output().expect("`berth` starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
    };
    check(&["list"], 0, &["welcome", "other"]);
    check(&["call", "welcome", "echo", r#"{"message":"hi"}"#], 0, &["hi"]);
    check(&["call", "welcome", "time"], 1, &["the tool `time` is not available to this caller"]);
    check(&["tools", "other"], 1, &["not for calls of `other`", "--scope mcp:call:other"]);
    check(&["stop", "welcome"], 1, &["its scopes are `read`, `mcp:call:welcome/ec*`", "--scope deploy"]);
    check(&["token", "create", "more"], 1, &["--scope admin"]);
    let tools =
        platform.command(&["tools", "welcome", "--json"]).env("BERTH_TOKEN", &token).output().unwrap();
    let tools: serde_json::Value = serde_json::from_slice(&tools.stdout).unwrap();
    let names: Vec<&str> =
        tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["echo"], "nobody sees what he may not call");
    let listed = platform.ok(&["token", "list"]);
    assert!(listed.contains("read mcp:call:welcome/ec*"), "{listed}");

    check(&["audit"], 1, &["--scope admin"]);
    let audit = platform.ok(&["audit", "--action", "token."]);
    assert!(audit.contains("token.create") && audit.contains("admin") && audit.contains("ci"), "{audit}");
    let exported = platform.ok(&["audit", "--since", "1h", "--json"]);
    let actions: Vec<serde_json::Value> =
        exported.lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect();
    assert!(actions.iter().any(|line| line["action"] == "instance.deploy"), "{exported}");

    // Written a quarter of a second after they came.
    let refused = || platform.ok(&["audit", "--calls", "--since", "1h", "--json", "--result", "refused"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while refused().is_empty() && std::time::Instant::now() < deadline {}
    let refused: Vec<serde_json::Value> =
        refused().lines().map(|line| serde_json::from_str(line).expect("JSON Lines")).collect();
    let shown: Vec<_> =
        refused.iter().map(|line| (line["instance"].as_str(), line["name"].as_str())).collect();
    assert!(
        shown.contains(&(Some("welcome"), Some("time"))),
        "by the shim, for the token's rule: {refused:#?}"
    );
    assert!(shown.iter().any(|(instance, _)| *instance == Some("other")), "by the gateway: {refused:#?}");
    let calls =
        platform.ok(&["audit", "--calls", "--action", "tools/call", "--tool", "echo", "--by", "admin"]);
    assert!(calls.contains("welcome") && calls.contains("ok") && calls.contains(" ms"), "{calls}");
    check(&["audit", "--calls"], 1, &["--scope admin"]);
    check(&["audit", "--calls", "--result", "fine"], 2, &["one of ok, error, refused"]);
    check(&["audit", "--tool", "echo"], 2, &["--calls"]);
}

#[test]
fn calls_over_the_limit() {
    let platform = Platform::start_with(BERTH, &["--rate-instance", "1/h"]);
    let call = ["call", "welcome", "echo", r#"{"message":"hi"}"#];
    // A session takes more than one request.
    refuses(&platform, &call, &["this instance may not be used more often than its limit allows"]);
    assert_eq!(platform.wait_for("welcome", "running")["status"], "running", "nothing else has limits");
}

#[test]
fn tokens_that_open_nothing() {
    let platform = Platform::start(BERTH);
    let with = |token: &str, arguments: &[&str]| {
        let output = platform.command(arguments).env("BERTH_TOKEN", token).output().expect("`berth` starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let token = platform.ok(&["token", "create", "ci"]).trim().to_owned();
    assert_eq!(with(&token, &["list"]).0, Some(0));
    assert_eq!(with(&token, &["call", "welcome", "echo", r#"{"message":"hi"}"#]).0, Some(0));

    platform.ok(&["token", "revoke", "ci"]);
    let expired = platform.ok(&["token", "create", "short", "--expires", "1s"]).trim().to_owned();
    testkit::wait::until("its end", || (with(&expired, &["list"]).0 == Some(1)).then_some(()));
    for (token, word) in [(token.as_str(), "revoked"), (&expired, "expired"), ("berth_wrong", "not known")] {
        let (code, said) = with(token, &["list"]);
        assert_eq!(code, Some(1), "{word}: {said}");
        assert!(said.contains(word) && said.contains("berth token create"), "{word}: {said}");
        assert!(!said.contains(token), "{said}");
    }
    let states: Vec<String> = platform
        .ok(&["token", "list"])
        .lines()
        .skip(1)
        .filter_map(|line| ["valid", "revoked", "expired"].into_iter().find(|word| line.contains(word)))
        .map(str::to_owned)
        .collect();
    assert_eq!(states.len(), 3, "{states:?}");
    assert!(states.contains(&"revoked".to_owned()) && states.contains(&"expired".to_owned()), "{states:?}");
}

#[test]
fn packages_that_are_no_servers() {
    let platform = Platform::start(BERTH);
    // One prints its usage and ends, one waits for the end of what it is told, one has nothing to start.
    refuses(
        &platform,
        &["deploy", "npm:semver", "--wait"],
        &[
            "error_runtime",
            "before it answered `initialize`",
            "logs belong on standard error",
            "its last words",
        ],
    );
    refuses(
        &platform,
        &["deploy", "npm:cowsay", "--startup-seconds", "1", "--wait"],
        &["error_runtime", "did not answer `initialize` within 1 s"],
    );
    refuses(&platform, &["deploy", "npm:lodash", "--wait"], &["error_install", "no executable"]);
    refuses(&platform, &["call", "semver", "x"], &["semver"]);
    for name in ["semver", "cowsay", "lodash"] {
        platform.ok(&["remove", name, "--yes"]);
    }
    testkit::wait::until("their end", || {
        let left = platform.json(&["list"]);
        left.as_array().is_some_and(|left| left.len() == 1).then_some(())
    });
    assert_eq!(platform.ok(&["call", "welcome", "echo", r#"{"message":"hi"}"#]).trim(), "hi");
}
