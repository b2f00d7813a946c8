//! `file:`: servers that lie on this host, copied and started; and what cannot be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use domain::spec::Launch;
use runtime::error::RuntimeError;
use runtime::{Prepared, Runtime as _};

use crate::support::{Host, Server, policy, spec};

/// Answers `initialize` with its own name as the server's.
const SCRIPT: &str = r#"#!/bin/sh
read -r request
printf '{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"name":"%s"}}}\n' "$(cat "$(dirname "$0")/name" 2>&1 || true)"
"#;

fn prepare(host: &Host, path: &Path) -> Result<Prepared, RuntimeError> {
    let spec = spec(&format!("file:{}", path.display()), Launch::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(host.runtime.prepare(&spec, &|_| ()))
}

fn write(path: &Path, content: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn name_of(host: &Host, prepared: &Prepared) -> String {
    let policy = policy(&host.data.path().join("work"), prepared);
    let answer = Server::start(&policy, prepared, &[]).initialize();
    answer["result"]["serverInfo"]["name"].as_str().unwrap().to_owned()
}

/// A directory beside the host's data, with an executable that answers with the content of `name`.
fn server(host: &Host) -> PathBuf {
    let path = host.data.path().join("mine");
    write(&path.join("serve"), SCRIPT, 0o755);
    write(&path.join("name"), "first", 0o600);
    path
}

#[test]
fn a_directory_runs_from_its_copy() {
    let host = Host::new();
    let path = server(&host);
    let first = prepare(&host, &path).unwrap();
    assert!(first.digest.as_ref().unwrap().starts_with("sha256:"));
    assert_eq!(first.version, None);
    assert!(!first.command[0].starts_with(path.to_str().unwrap()), "{:?}", first.command);
    assert_eq!(name_of(&host, &first), "first");

    // The owner goes on working: what runs stays as it was, and the next start takes what lies there.
    write(&path.join("name"), "second", 0o600);
    assert_eq!(name_of(&host, &first), "first");
    let second = prepare(&host, &path).unwrap();
    assert_ne!(first.digest, second.digest);
    assert_eq!(name_of(&host, &second), "second");

    // What is removed runs on.
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(prepare(&host, &path).unwrap(), second);
}

#[test]
fn the_same_content_is_stored_once() {
    let host = Host::new();
    let path = server(&host);
    let (one, two) = (prepare(&host, &path).unwrap(), prepare(&host, &path).unwrap());
    assert_eq!(one, two);
    // Whether a file can be executed is content too.
    std::fs::set_permissions(path.join("name"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = prepare(&host, &path).unwrap_err();
    assert!(matches!(error, RuntimeError::AmbiguousExecutable { .. }), "{error}");
}

#[test]
fn an_executable_sees_nothing_around_it() {
    let host = Host::new();
    let path = server(&host);
    let prepared = prepare(&host, &path.join("serve")).unwrap();
    let said = name_of(&host, &prepared);
    assert!(said.contains("No such file"), "{said}");
}

#[test]
fn a_package_json_names_the_executable() {
    let host = Host::new();
    let path = host.data.path().join("mine");
    let script = "process.stdin.once('data', () => process.stdout.write(JSON.stringify({jsonrpc: '2.0', id: 1, \
                  result: {serverInfo: {name: 'node'}}}) + '\\n'));";
    write(&path.join("dist/index.js"), script, 0o644);
    write(&path.join("package.json"), r#"{"name":"mine","bin":"dist/index.js"}"#, 0o644);
    assert_eq!(name_of(&host, &prepare(&host, &path).unwrap()), "node");
    assert_eq!(name_of(&host, &prepare(&host, &path.join("dist/index.js")).unwrap()), "node");
}

#[track_caller]
fn check_refused(make: impl Fn(&Host) -> PathBuf, words: &str) {
    let host = Host::new();
    let path = make(&host);
    let error = prepare(&host, &path).expect_err("refused");
    assert!(error.to_string().contains(words), "{error}");
    let packages = host.data.path().join("dtma/packages");
    let left: Vec<_> = std::fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["requests"], "nothing is left half done");
}

#[test]
fn what_cannot_run_is_refused() {
    check_refused(|host| host.data.path().join("nowhere"), "there is no file or directory");
    check_refused(
        |host| {
            let path = host.data.path().join("plain.txt");
            write(&path, "text", 0o644);
            path
        },
        "chmod +x",
    );
    check_refused(
        |host| {
            let path = host.data.path().join("empty");
            std::fs::create_dir(&path).unwrap();
            path
        },
        "nothing that can be started",
    );
    check_refused(
        |host| {
            let path = server(host);
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path.join("pipe"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .unwrap();
            path
        },
        "no regular file",
    );
}

#[test]
fn berths_own_files_are_refused() {
    check_refused(|host| host.data.path().to_owned(), "Berth's own files");
    check_refused(|host| host.data.path().join("dtma/instances"), "Berth's own files");
    check_refused(
        |host| {
            let link = host.data.path().join("link");
            std::os::unix::fs::symlink(host.data.path().join("dtma"), &link).unwrap();
            link
        },
        "Berth's own files",
    );
}
