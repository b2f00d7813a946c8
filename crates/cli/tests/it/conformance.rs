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
pub(crate) fn fixture() -> PathBuf {
    let fixture = Path::new(BERTH).with_file_name("fixture");
    assert!(fixture.is_file(), "the fixture server is missing: run `cargo build -p fixture`");
    fixture
}

/// `way` is how the fixture is reached, `era` what it speaks. Calls go through gateway, DTMA and shim, as to another host.
#[track_caller]
fn check(way: &str, era: &str, wires: &[Wire]) {
    check_in(way, era, wires, &format!("file:{}", fixture().display()), &[]);
}

/// As [`check`], for what is named `server`, with further variables in the platform's environment.
#[track_caller]
fn check_in(way: &str, era: &str, wires: &[Wire], server: &str, environment: &[(&str, &str)]) {
    let mut loopback = Loopback::listen();
    // What the suite sends as its origin is the address that it knows.
    let arguments = ["--reach", "dtma", "--allow-origin", &loopback.url()];
    let platform = Platform::start_in(BERTH, &arguments, environment);
    let address = platform.url().strip_prefix("http://").expect("plain HTTP on loopback");
    loopback.lead(address.parse().expect("an address"), platform.token());
    let mut deploy = vec![
        "deploy",
        server,
        "--name",
        "fixture",
        "--wait",
        "--arg=--era",
        "--arg",
        era,
        "--transport",
        way,
    ];
    if way == "http" {
        deploy.extend(["--arg=--transport", "--arg=http", "--arg=--listen", "--arg=127.0.0.1:{port}"]);
    }
    platform.ok(&deploy);

    let url = platform.mcp_url("fixture").replace(platform.url(), &loopback.url());
    let expected =
        expected(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/expected.toml"));
    let wrong: Vec<String> = wires
        .iter()
        .filter_map(|&wire| {
            let name = format!("{way} {era} {}", wire.revision());
            compare(&name, &run(&url, wire), &expected)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_legacy_server_conforms() {
    check("stdio", "legacy", &WIRES);
}

#[test]
fn a_server_of_both_eras_conforms() {
    check("stdio", "dual", &WIRES);
}

#[test]
fn a_modern_server_conforms() {
    check("stdio", "modern", &WIRES);
}

#[test]
fn a_legacy_server_over_http_conforms() {
    check("http", "legacy", &WIRES);
}

#[test]
fn a_modern_server_over_http_conforms() {
    check("http", "modern", &WIRES);
}

#[test]
fn a_server_in_a_container_conforms() {
    let docker = testkit::docker::engine();
    docker.image("conformance:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, "USER 65534"]);
    check_in("stdio", "dual", &WIRES, "oci:conformance:1", &[("DOCKER_HOST", &docker.host())]);
}
