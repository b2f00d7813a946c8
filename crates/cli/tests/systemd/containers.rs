//! A host whose instances are containers, with an engine of its own: an upgrade of the service touches none of them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use testkit::docker::engine;
use testkit::host::{Api, Enrolled};
use testkit::systemd::Machine;

use crate::{BERTH, SERVICE, program, text};

#[test]
fn a_container_keeps_its_shim_and_its_sessions_over_an_upgrade() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let berth = fs::read(BERTH).expect("the binary");
    let first = program(dir.path(), "first", &berth);
    // Another digest, the same program.
    let second = program(dir.path(), "second", &[&berth[..], b"\0"].concat());
    let fixture = Path::new(BERTH).with_file_name("fixture");
    fs::copy(fixture, dir.path().join("fixture")).expect("the fixture server: `cargo build -p fixture`");

    let machine = Machine::boot(engine(), &[dir.path()]);
    machine.ok(&["systemctl", "start", "docker"]);
    let host = Enrolled::write(&machine.root().join("var/lib/berth"));
    machine.ok(&[text(&first), "dtma", "install", "--runtime", "docker"]);
    machine.enter_network();
    let address: SocketAddr = "127.0.0.1:30000".parse().expect("an address");
    let api = Api::new(address, &host.token);
    api.deploy_file(&dir.path().join("fixture"));
    let mut session = api.session();
    assert_eq!(session.call("echo", &json!({"message": "before"})), "before");

    let unit = || machine.ok(&["systemctl", "show", "--value", "--property", "MainPID", SERVICE]);
    let containers =
        || machine.ok(&["docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"]);
    let (service, shim, container) = (unit(), host.shim(), containers());
    assert!(container.lines().count() == 1 && container.contains(" running"), "{container}");
    // The digest of what it is; where that lies on the host cannot be seen from in there.
    let digest = || machine.ok(&["sha256sum", &format!("/proc/{shim}/exe")]);
    let of_first = digest();

    let said = machine.run(&["berth", "dtma", "upgrade", text(&second)]);
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("runs version"), "{said}");
    assert_ne!(unit(), service, "the service is another process");
    assert_eq!((host.shim(), digest(), containers()), (shim, of_first, container), "the shim is the same");
    assert_eq!(session.call("echo", &json!({"message": "after"})), "after");

    // What is started from then on has the new binary, and what ran of the old one is not needed any more.
    api.deploy(2, &format!("file:{}", dir.path().join("fixture").display()));
    assert_ne!(host.shim(), shim);
    let reply = api.ask("POST", "/v1/cleanup", "", r#"{"dry_run":false}"#).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let kept = machine.ok(&["ls", "/var/lib/berth/dtma/bin"]);
    assert_eq!(kept.lines().count(), 1, "{kept}");
    assert_eq!(api.session().call("echo", &json!({"message": "again"})), "again");
}
