//! What processes of the host reach on the network: all that the host does, or nothing.

use serde_json::json;
use testkit::platform::Platform;

use crate::BERTH;
use crate::conformance::fixture;

#[test]
fn a_process_has_the_hosts_network_or_none() {
    let platform = Platform::start_with(BERTH, &["--runtime", "process"]);
    let file = format!("file:{}", fixture().display());
    let deploy = |name: &str, further: &[&str]| {
        platform.ok(&[&["deploy", &file, "--name", name, "--mode", "shared"], further].concat());
    };
    let dial = |name: &str, address: &str| {
        platform.ok(&["call", name, "dial", &json!({"address": address}).to_string()]).trim().to_owned()
    };
    deploy("open", &["--wait"]);
    deploy("alone", &["--egress", "none", "--wait"]);
    let control = platform.url().strip_prefix("http://").expect("its address");
    for restarted in [false, true] {
        assert_eq!(dial("open", control), "connected");
        // There is a loopback address, and nobody on it but itself.
        let said = dial("alone", control);
        assert!(said.contains("refused"), "restarted: {restarted}: {said}");
        let said = dial("alone", "192.0.2.1:80");
        assert!(said.contains("unreachable"), "restarted: {restarted}: {said}");
        platform.ok(&["restart", "alone"]);
        platform.wait_for("alone", "running");
    }

    // What is enforced is said, and nothing else is.
    let egress = |name: &str| platform.json(&["status", name])["confinement"]["egress"].clone();
    assert_eq!(egress("alone"), json!({"egress": "none"}));
    assert!(egress("open").is_null(), "{}", egress("open"));
    let protections = platform.ok(&["env", "show", "local"]);
    assert!(protections.contains("network namespace"), "{protections}");

    let refused = |further: &[&str], words: &str| {
        deploy("wrong", further);
        let seen = platform.wait_for("wrong", "error_install");
        let message = seen["message"].as_str().expect("a message");
        assert!(message.contains(words), "{further:?}: {message}");
        platform.ok(&["remove", "wrong", "--yes"]);
        testkit::wait::until("its end", || platform.instance("wrong").is_none().then_some(()));
    };
    refused(&["--egress", "none", "--transport", "http"], "use the transport `stdio`");
    refused(&["--egress", "allow=a.test"], "only containers can be limited to a list");
}
