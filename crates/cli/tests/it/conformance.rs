//! The official conformance suite through gateway, shim and sandbox, against the fixture server.
//!
//! `conformance/expected.toml` lists every scenario that fails, with its reason. A scenario that fails and is not listed,
//! and one that is listed and passes, both fail the test.

use std::path::{Path, PathBuf};

use testkit::conformance::{Wire, compare, expected, run};
use testkit::loopback::Loopback;
use testkit::platform::Platform;

use crate::BERTH;

/// Every revision that the suite knows, on the same instance.
const WIRES: [Wire; 4] = [
    Wire::Everything("2025-03-26"),
    Wire::Everything("2025-06-18"),
    Wire::Requirements("2025-11-25"),
    Wire::Requirements("2026-07-28"),
];

/// The fixture server, which is built beside `berth`.
fn fixture() -> PathBuf {
    let fixture = Path::new(BERTH).with_file_name("fixture");
    assert!(fixture.is_file(), "the fixture server is missing: run `cargo build -p fixture`");
    fixture
}

#[track_caller]
fn check(era: &str) {
    let mut loopback = Loopback::listen();
    // What the suite sends as its origin is the address that it knows.
    let platform = Platform::start_with(BERTH, &["--allow-origin", &loopback.url()]);
    let address = platform.url().strip_prefix("http://").expect("plain HTTP on loopback");
    loopback.lead(address.parse().expect("an address"), platform.token());
    let server = format!("file:{}", fixture().display());
    platform.ok(&["deploy", &server, "--name", "fixture", "--wait", "--arg=--era", &format!("--arg={era}")]);

    let url = platform.mcp_url("fixture").replace(platform.url(), &loopback.url());
    let expected =
        expected(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/expected.toml"));
    let wrong: Vec<String> = WIRES
        .iter()
        .filter_map(|&wire| {
            let name = format!("stdio {era} {}", wire.revision());
            compare(&name, &run(&url, wire), &expected)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_legacy_server_conforms() {
    check("legacy");
}

#[test]
fn a_server_of_both_eras_conforms() {
    check("dual");
}

#[test]
fn a_modern_server_conforms() {
    check("modern");
}
