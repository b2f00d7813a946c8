//! What is said to people who type something wrong, and how the binary ends. No platform is needed: nothing here
//! gets as far as a control plane.

use std::process::{Command, Output, Stdio};

use crate::BERTH;

/// `berth` in an empty directory, with nothing of the outside in its environment.
fn berth(dir: &tempfile::TempDir, arguments: &[&str]) -> Output {
    Command::new(BERTH)
        .args(arguments)
        .env_clear()
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("`berth` starts")
}

/// It must end with `code`, say every one of `words` on standard error, and print nothing to standard output.
#[track_caller]
fn check(arguments: &[&str], code: i32, words: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = berth(&dir, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}: data where there is none");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say `{word}`:\n{said}");
    }
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{arguments:?} leaves something behind: {left:?}");
}

const NOWHERE: [&str; 4] = ["--url", "http://127.0.0.1:1", "--token", "berth_x"];

fn at_nowhere<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&NOWHERE, arguments].concat()
}

#[test]
fn usage() {
    check(&[], 2, &["Usage: berth"]);
    check(&["lst"], 2, &["'list'"]);
    check(&["status"], 2, &["<NAME>"]);
    check(&["up", "--listen", "8420"], 2, &["--listen", "invalid socket address"]);
    let plain = ["0.0.0.0:0", "plain HTTP", "--insecure-http"];
    check(&["up", "--listen", "127.0.0.1:0", "--dtma-listen", "0.0.0.0:0"], 2, &plain);
    check(&["dtma", "--listen", "0.0.0.0:0"], 2, &plain);
    check(&["up", "--runtime", "kubernetes"], 2, &["--runtime", "auto", "docker", "process"]);
    check(&["up", "--rate-token", "0/s"], 2, &["--rate-token", "`600/m`"]);
    check(&["server", "--oidc-issuer", "https://x"], 2, &["--oidc-client-id", "--oidc-client-secret-file"]);
    check(&["password"], 1, &["no Berth found"]);
    check(&["recover"], 1, &["there is no Berth in", "--data DIR"]);
    check(&["import", "legacy"], 2, &["<POSTGRES_URL>"]);
    check(&["import", "legacy", "postgres://x@y/z"], 1, &["there is no Berth in", "--data DIR"]);
    check(&["member", "role", "mary", "king"], 2, &["'king'", "viewer", "owner"]);
    check(&["invite", "create", "--name", "Not A Name"], 2, &["--name", "not-a-name"]);
    check(&["deploy", "x", "--set", "novalue"], 2, &["--set", "KEY=VALUE"]);
    check(&["deploy", "x", "--secret", "=x"], 2, &["--secret", "KEY=@FILE"]);
    check(&["token", "create", "x", "--expires", "1y"], 2, &["--expires", "30d"]);
    check(&["token", "create", "x", "--scope", "write"], 2, &["--scope", "`mcp:call:INSTANCE`"]);
    check(&["env", "token"], 2, &["<NAME>"]);
    check(&["env", "check"], 2, &["<NAME>"]);
    check(&["env", "logs", "x", "--tail", "many"], 2, &["--tail", "many"]);
    check(&["connect", "x", "--client", "netscape"], 2, &["netscape", "claude-code", "gemini-cli"]);
    check(&["connect", "x", "--write"], 2, &["--client"]);
    check(&at_nowhere(&["deploy", "x", "--set", "a=1", "--set", "a=2"]), 2, &["`--set a` is given twice"]);
    check(
        &at_nowhere(&["deploy", "x", "--set", "a=1", "--secret", "a=2"]),
        2,
        &["as a setting and as a secret"],
    );
    check(&["--url", "ftp://x", "--token", "t", "list"], 2, &["ftp://x", "http://127.0.0.1:8420"]);
    check(&["--url", "http://x", "--token", "a b", "list"], 2, &["token", "copy it again"]);
    check(&["server", "--listen-stdin"], 2, &["no listening socket"]);
    check(&["shim"], 2, &["standard input is not valid", "DTMA"]);
}

/// The key that older backends share is switched on with care or not at all.
#[test]
fn backend_keys() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("berth-data/dtma");
    std::fs::create_dir_all(&data).expect("a directory");
    std::fs::write(data.join("environment"), "01981234-5678-7abc-8def-0123456789ab").expect("a file");
    std::fs::write(data.join("token"), "berth_x").expect("a file");
    std::fs::write(dir.path().join("short"), "too-short\n").expect("a file");
    std::fs::write(dir.path().join("spaces"), "a key of several words\n").expect("a file");
    for (arguments, words) in [
        (&["--backend-key-file", "missing"][..], "cannot read `missing`"),
        (&["--backend-key-file", "short"], "`short` holds no key"),
        (&["--backend-key-file", "spaces"], "`spaces` holds no key"),
        (&["--backend-key-from-env"], "`BACKEND_TO_DTMA_API_KEY` holds no key"),
        (&["--backend-key-from-env", "--backend-key-file", "short"], "cannot be used with"),
    ] {
        let output = berth(&dir, &[&["dtma", "--listen", "127.0.0.1:0"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("too-short") && !said.contains("several words"), "{arguments:?}: {said}");
    }
}

#[test]
fn arguments_of_a_tool() {
    check(&at_nowhere(&["call", "w", "echo", "{\"a\":}"]), 2, &["line 1 column 6", "hint:"]);
    check(&at_nowhere(&["call", "w", "echo", "[1]"]), 2, &["must be a JSON object"]);
    check(
        &at_nowhere(&["call", "w", "echo", "@missing.json"]),
        1,
        &["cannot read `missing.json`", "No such file"],
    );
    check(&at_nowhere(&["call", "w", "echo", "-"]), 2, &["standard input"]);
}

#[test]
fn nobody_there() {
    check(&["list"], 1, &["no Berth found", "berth up", "BERTH_URL"]);
    check(&["--url", "http://127.0.0.1:1", "list"], 1, &["no token", "BERTH_TOKEN"]);
    check(&["--data", "nowhere", "list"], 1, &["there is no `nowhere/client.toml`"]);
    for command in [
        &["list"][..],
        &["deploy", "x", "--version", "1.2.3", "--wait"],
        &["status", "x"],
        &["logs", "x", "-f"],
        &["env", "logs", "x", "-f", "-n", "5"],
        &["env", "check", "x"],
        &["start", "x"],
        &["stop", "x"],
        &["restart", "x"],
        &["remove", "x", "--yes"],
        &["tools", "x"],
        &["call", "x", "y"],
        &["connect", "x"],
        &["connect", "x", "--client", "zed", "--write"],
        &["events", "x", "-n", "3"],
        &["catalog", "search", "a", "b"],
        &["catalog", "show", "x"],
        &["token", "create", "x", "--expires", "30d"],
        &["token", "list"],
        &["token", "revoke", "x"],
        &["whoami"],
        &["top", "--once"],
    ] {
        check(&at_nowhere(command), 1, &["no Berth answers at http://127.0.0.1:1", "berth up"]);
    }
}

#[test]
fn a_screen_is_filled_in_a_terminal_alone() {
    check(&at_nowhere(&["top"]), 1, &["`berth top` fills a terminal", "--once"]);
}

#[test]
fn a_secret_is_never_repeated() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(dir.path().join("berth-data")).expect("a directory");
    let client_file = dir.path().join("berth-data/client.toml");
    std::fs::write(&client_file, "url = \"http://127.0.0.1:1\"\ntoken = hunter2").expect("a file");
    for arguments in [
        vec!["list"],
        vec!["--url", "http://127.0.0.1:1", "--token", "hunter2", "list"],
        vec!["deploy", "x", "--secret", "hunter2"],
        at_nowhere(&["deploy", "x", "--secret", "k=hunter2"]),
    ] {
        let output = berth(&dir, &arguments);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).replace(&arguments.join(" "), "");
        // clap repeats what was typed where a value cannot be read at all; what was typed is on the screen anyway.
        if !arguments.contains(&"hunter2") || arguments.contains(&"--token") {
            assert!(!said.contains("hunter2"), "{arguments:?}: {said}");
        }
    }
}

#[test]
fn a_token_of_one_berth_is_not_sent_to_another() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(dir.path().join("berth-data")).expect("a directory");
    let client_file = dir.path().join("berth-data/client.toml");
    std::fs::write(&client_file, "url = \"http://127.0.0.1:1\"\ntoken = \"berth_x\"").expect("a file");
    let said = |arguments: &[&str]| String::from_utf8_lossy(&berth(&dir, arguments).stderr).into_owned();
    assert!(said(&["list"]).contains("no Berth answers at http://127.0.0.1:1"));
    assert!(said(&["--url", "http://127.0.0.1:1/", "list"]).contains("no Berth answers"));
    assert!(said(&["--url", "http://127.0.0.1:2", "list"]).contains("no token for http://127.0.0.1:2"));
}

#[test]
fn up_that_cannot() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    std::fs::write(dir.path().join("file"), "").expect("a file");
    let free = "127.0.0.1:0";
    for (arguments, words) in [
        (vec!["up", "--listen", &address, "--dtma-listen", free], vec!["--listen", "in use", "127.0.0.1:0"]),
        (vec!["up", "--listen", free, "--dtma-listen", &address], vec!["--dtma-listen", "in use"]),
        (vec!["up", "--listen", free, "--dtma-listen", free, "--data", "file"], vec!["`file`"]),
        (vec!["up", "--listen", free, "--dtma-listen", free, "--data", "/proc/x"], vec!["/proc/x", "cannot"]),
        (
            vec!["up", "--listen", free, "--dtma-listen", free, "--database", "/proc/x/y.db"],
            vec!["cannot start", "/proc/x/y.db"],
        ),
        (
            vec![
                "up",
                "--listen",
                free,
                "--dtma-listen",
                free,
                "--database",
                "postgres://u:hunter2@127.0.0.1:1/x",
            ],
            vec!["cannot start", "127.0.0.1"],
        ),
    ] {
        let output = berth(&dir, &arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} does not say `{word}`:\n{said}");
        }
        assert!(!said.contains("hunter2") && !said.contains("panicked"), "{said}");
        assert!(!dir.path().join("berth-data/client.toml").exists(), "nothing half done: {arguments:?}");
    }
}

#[test]
fn help_names_every_command_and_no_hidden_one() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let output = berth(&dir, &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    for command in [
        "up",
        "server",
        "dtma",
        "deploy",
        "list",
        "status",
        "logs",
        "start",
        "stop",
        "restart",
        "remove",
        "upgrade",
        "configure",
        "rollback",
        "changes",
        "tools",
        "call",
        "connect",
        "toolbelt",
        "agent",
        "catalog",
        "token",
        "whoami",
    ] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command}:\n{text}");
        assert_eq!(berth(&dir, &[command, "--help"]).status.code(), Some(0), "{command}");
    }
    for hidden in ["shim", "__welcome", "__sandbox", "docker"] {
        assert!(!text.contains(hidden), "{hidden}:\n{text}");
    }
}
