//! The binary is static: it runs in a root directory that holds nothing else.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::BERTH;

/// The binary at `/berth` of an otherwise empty root. Whoever is not root becomes it in a user namespace.
fn in_empty_root(root: &Path, argument: &str) -> Command {
    std::fs::copy(BERTH, root.join("berth")).unwrap();
    let is_root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
    let mut command = Command::new(if is_root { "chroot" } else { "unshare" });
    if !is_root {
        command.args(["--user", "--map-root-user", "chroot"]);
    }
    command.arg(root).args(["/berth", argument]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

#[test]
fn runs_in_an_empty_root() {
    let root = tempfile::tempdir().unwrap();
    let output = in_empty_root(root.path(), "--version").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("berth "), "{output:?}");

    let mut child = in_empty_root(root.path(), "__welcome")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#;
    child.stdin.take().unwrap().write_all(format!("{hello}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("berth-welcome"), "{output:?}");
}
