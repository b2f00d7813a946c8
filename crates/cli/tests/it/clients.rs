//! The official SDK clients, legacy revisions, at an instance's address with an API token.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testkit::platform::Platform;

use crate::BERTH;

/// Where `cargo xtask parts` put the SDKs.
fn parts() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
    let dir = std::env::var_os("BERTH_PARTS").map_or(default, PathBuf::from);
    assert!(dir.join("installed").exists(), "the SDK clients are missing: run `cargo xtask parts`");
    dir.canonicalize().expect("it is there")
}

/// Runs a client program; it prints one JSON line with the tools' names and the content of `echo`.
#[track_caller]
fn check(mut program: Command, greeting: &str, (url, token): (&str, &str)) {
    let output = program.arg(url).arg(token).output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let seen: Value =
        serde_json::from_str(out.trim()).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"));
    let tools: Vec<&str> = seen["tools"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(tools.contains(&"echo"), "{tools:?}");
    assert!(seen["content"][0]["text"].as_str().is_some_and(|text| text.contains(greeting)), "{seen}");
}

/// The TypeScript SDK's client lists and calls at an address with a token.
#[track_caller]
pub(crate) fn typescript_calls(url: &str, token: &str) {
    // Modules are looked up beside the script, so it is copied beside them.
    let script = parts().join("node/client.mjs");
    std::fs::copy(sources().join("typescript.mjs"), &script).expect("the script is copied");
    let mut typescript = Command::new("node");
    typescript.arg(script);
    check(typescript, "hi from TypeScript", (url, token));
}

fn sources() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients")
}

#[test]
fn official_sdks_list_and_call() {
    let platform = Platform::start(BERTH);
    platform.ok(&["deploy", "everything", "--wait"]);
    let url = platform.mcp_url("everything");
    typescript_calls(&url, platform.token());
    let mut python = Command::new("/usr/bin/python3");
    python.arg(sources().join("python.py")).env("PYTHONPATH", parts().join("python"));
    check(python, "hi from Python", (&url, platform.token()));
}
