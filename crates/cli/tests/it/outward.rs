//! Hosts that reach nothing by themselves: one has a proxy, the other has the control plane and nothing else. Both are machines in a
//! network of their own, from which no packet leaves.

use serde_json::Value;
use testkit::hosts::{CONTROL, Hosts};
use testkit::packages;
use testkit::platform::Platform;
use testkit::tinyproxy::{LOGIN, Tinyproxy};
use testkit::wait;

use crate::BERTH;
use crate::tunnel::says_hi;

const EVERYTHING: &str = "npm:@modelcontextprotocol/server-everything";

/// A control plane in the machine's own network, served over TLS.
fn control() -> (Platform, u16, String) {
    let (index, files) = packages::pypi();
    let mut arguments = vec!["--heartbeat-ms", "500", "--https-listen", "127.0.0.1:0"];
    let npm = packages::npm();
    arguments.extend(["--npm-registry", &npm, "--pypi-index", &index, "--pypi-files", &files]);
    let platform = Platform::start_with(BERTH, &arguments);
    let server = platform.json(&["whoami"]);
    let pin = server["tls_pin"].as_str().expect("a pin").to_owned();
    let port = server["public_url"].as_str().and_then(|url| url.rsplit_once(':')).expect("a port").1;
    let port = port.parse().expect("a port");
    (platform, port, pin)
}

/// Makes the only host the environment `far`.
fn enrol(platform: &Platform, hosts: &mut Hosts, arguments: &[&str]) {
    let added = platform.json(&["env", "add", "host", "--name", "far"]);
    let token = platform.ok(&["env", "token", "far"]);
    let own = ["dtma", "enrol", "--environment", added["id"].as_str().expect("an id"), "--token-file", "-"];
    hosts.host(1).berth(&[&own[..], arguments].concat(), &token);
}

fn until_active(platform: &Platform) {
    wait::until("a host that reports", || {
        Some(platform.json(&["env", "show", "far"])).filter(|shown| shown["status"] == "active")
    });
}

#[test]
fn a_host_behind_a_proxy_reports_installs_and_serves() {
    let (platform, port, pin) = control();
    let proxy = Tinyproxy::start();
    let mut hosts = Hosts::start(BERTH, 1, 500);
    hosts.lead(3128, proxy.address());
    let (user, password) = LOGIN;
    let way = format!("http://{user}:{password}@{CONTROL}:3128");
    let url = format!("https://127.0.0.1:{port}");
    enrol(&platform, &mut hosts, &["--control-url", &url, "--tls-pin", &pin, "--proxy", &way]);
    hosts.host(1).run_dtma("--tunnel --runtime process");
    until_active(&platform);
    platform.ok(&["deploy", EVERYTHING, "--name", "node", "--env", "far", "--wait"]);
    platform.ok(&["deploy", "pypi:mcp-server-time", "--name", "python", "--env", "far", "--wait"]);
    assert!(platform.ok(&["call", "node", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    let log = proxy.log();
    for target in [
        format!("CONNECT 127.0.0.1:{port}"),
        format!("CONNECT {}:443", packages::host(&packages::npm())),
        format!("CONNECT {}:443", packages::host(&packages::pypi().1)),
    ] {
        assert!(log.contains(&target), "nothing went to `{target}` through the proxy: {log}");
    }
    let said = hosts.host(1).dtma_log();
    assert!(said.contains("the tunnel is open") && !said.contains(password), "{said}");

    // Without its password the proxy passes nothing on, and the log says so.
    hosts.host(1).run_dtma(&format!("--tunnel --runtime process --proxy http://{CONTROL}:3128"));
    hosts.host(1).restart_dtma();
    wait::until("what keeps it from reporting", || {
        let said = hosts.host(1).dtma_log();
        said.contains("proxy").then_some(())
    });
}

#[test]
fn a_host_that_reaches_the_control_plane_alone_gets_its_packages_from_there() {
    let (platform, port, pin) = control();
    let mut hosts = Hosts::start(BERTH, 1, 500);
    hosts.lead(8443, ([127, 0, 0, 1], port).into());
    let url = format!("https://{CONTROL}:8443");
    enrol(&platform, &mut hosts, &["--control-url", &url, "--tls-pin", &pin]);

    hosts.host(1).run_dtma("--tunnel --runtime process --packages from-control");
    until_active(&platform);
    // There is no route to a registry, nor a resolver that would know its name.
    platform.ok(&["deploy", EVERYTHING, "--name", "node", "--env", "far", "--wait"]);
    platform.ok(&["deploy", "pypi:mcp-server-time", "--name", "python", "--env", "far", "--wait"]);
    assert!(platform.ok(&["call", "node", "echo", r#"{"message":"hi"}"#]).contains("hi"));
    let version = platform.json(&["status", "python"])["version"].take();
    assert!(matches!(version, Value::String(_)), "the exact version is known: {version}");
    platform.ok(&["deploy", "welcome", "--name", "own", "--env", "far", "--wait"]);
    says_hi(&platform, "own");
    // What is no package is known as such there too.
    platform.ok(&[
        "deploy",
        "npm:@modelcontextprotocol/there-is-no-such-server",
        "--name",
        "none",
        "--env",
        "far",
    ]);
    wait::until("an unknown package", || {
        let message = platform.json(&["status", "none"])["message"].take();
        message.as_str().filter(|message| message.contains("there-is-no-such-server")).map(str::to_owned)
    });
}
