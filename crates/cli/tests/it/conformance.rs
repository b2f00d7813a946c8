//! The official conformance suite through gateway, shim and sandbox, against the fixture server.
//!
//! `conformance/expected.toml` lists every scenario that fails, with its reason. A scenario that fails and is not listed,
//! and one that is listed and passes, both fail the test.

use std::path::{Path, PathBuf};

use testkit::conformance::{Wire, compare, expected, run};
use testkit::loopback::Loopback;
use testkit::platform::Platform;

use crate::BERTH;
use crate::remote::Elsewhere;

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
    let (platform, loopback) = start(environment);
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
    conforms(&format!("{way} {era}"), &platform.mcp_url("fixture"), &platform, &loopback, wires);
}

/// A platform, and the address by which the suite reaches it, which shows a token for it.
fn start(environment: &[(&str, &str)]) -> (Platform, Loopback) {
    let mut loopback = Loopback::listen();
    // What the suite sends as its origin is the address that it knows.
    let arguments = ["--reach", "dtma", "--allow-origin", &loopback.url()];
    let platform = Platform::start_in(BERTH, &arguments, environment);
    let address = platform.url().strip_prefix("http://").expect("plain HTTP on loopback");
    loopback.lead(address.parse().expect("an address"), platform.token());
    (platform, loopback)
}

/// Runs the suite against an address of the platform's.
#[track_caller]
fn conforms(name: &str, url: &str, platform: &Platform, loopback: &Loopback, wires: &[Wire]) {
    let url = url.replace(platform.url(), &loopback.url());
    let expected =
        expected(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/expected.toml"));
    let wrong: Vec<String> = wires
        .iter()
        .filter_map(|&wire| compare(&format!("{name} {}", wire.revision()), &run(&url, wire), &expected))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Ten members: the fixture, whose names stay as they are because it comes first, others of each era that have the same, one that runs
/// elsewhere and one that is dead.
#[test]
fn a_toolbelt_conforms() {
    let (platform, loopback) = start(&[]);
    let elsewhere = Elsewhere::start("legacy");
    let server = format!("file:{}", fixture().display());
    platform.ok(&["toolbelt", "create", "belt"]);
    for (name, era) in [("fixture", "dual"), ("modern", "modern"), ("legacy", "legacy"), ("dead", "dual")] {
        platform.ok(&["deploy", &server, "--name", name, "--wait", "--arg=--era", "--arg", era]);
        platform.ok(&["toolbelt", "add", "belt", name]);
    }
    platform.ok(&["deploy", &elsewhere.url, "--name", "remote", "--wait"]);
    platform.ok(&["toolbelt", "add", "belt", "remote"]);
    for at in 6..=10 {
        let name = format!("member-{at}");
        platform.ok(&["deploy", "welcome", "--name", &name, "--wait"]);
        platform.ok(&["toolbelt", "add", "belt", &name]);
    }
    platform.ok(&["stop", "dead"]);
    conforms("toolbelt", &platform.mcp_url("belt"), &platform, &loopback, &WIRES);
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
