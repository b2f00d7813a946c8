//! Hosts that reach nothing by themselves: one has a proxy, the other has the control plane and nothing else. Both are machines in a
//! network of their own, from which no packet leaves.

use std::path::Path;

use serde_json::{Value, json};
use testkit::docker::engine;
use testkit::hosts::{CONTROL, Hosts};
use testkit::packages;
use testkit::platform::Platform;
use testkit::registry::Registry;
use testkit::tinyproxy::{LOGIN, Tinyproxy};
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;
use crate::tunnel::says_hi;

const EVERYTHING: &str = "npm:@modelcontextprotocol/server-everything";

/// A control plane in the machine's own network, served over TLS.
fn control(more: &[&str]) -> (Platform, u16, String) {
    let (index, files) = packages::pypi();
    let mut arguments = vec!["--heartbeat-ms", "500", "--https-listen", "127.0.0.1:0"];
    let npm = packages::npm();
    arguments.extend(["--npm-registry", &npm, "--pypi-index", &index, "--pypi-files", &files]);
    arguments.extend(more);
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
    let (platform, port, pin) = control(&[]);
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
    let (platform, port, pin) = control(&[]);
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

#[test]
fn a_host_that_reaches_the_control_plane_alone_gets_its_images_from_there() {
    // The registries are where neither the host nor its engine reaches them.
    let docker = engine();
    let (open, closed) = (Registry::start(docker, 5000, false), Registry::start(docker, 5001, true));
    let entry = [r#"ENTRYPOINT ["/fixture"]"#];
    docker.image("plain:1", &[("/fixture", &fixture())], &entry);
    docker.image("private:1", &[("/fixture", &fixture()), ("/more", Path::new("/etc/hostname"))], &entry);
    open.take(docker, "plain:1");
    closed.take(docker, "private:1");
    let (public, private) = (open.outside(docker, 0), closed.outside(docker, 0));
    let digest = open.digest(docker, "plain", "1");

    let named = format!("http://{public},http://{private}");
    let (platform, port, pin) = control(&["--image-registry", &named]);
    let mut hosts = Hosts::start(BERTH, 1, 500);
    hosts.lead(8443, ([127, 0, 0, 1], port).into());
    let url = format!("https://{CONTROL}:8443");
    enrol(&platform, &mut hosts, &["--control-url", &url, "--tls-pin", &pin]);
    hosts.host(1).run_dtma("--tunnel --packages from-control");
    until_active(&platform);

    let runs = |server: &str, name: &str| {
        platform.ok(&["deploy", server, "--name", name, "--env", "far", "--wait"]);
        let answer = platform.ok(&["call", name, "test_simple_text"]);
        assert!(answer.contains("simple text response"), "{answer}");
        assert_eq!(
            platform.json(&["status", name])["digest"].as_str().is_some_and(|d| d == digest),
            server.contains("plain")
        );
    };
    let remove = |name: &str| {
        platform.ok(&["remove", name, "--yes"]);
        wait::until("its end", || platform.instance(name).is_none().then_some(()));
    };
    let refused = |server: &str, words: &str| {
        platform.ok(&["deploy", server, "--name", "refused", "--env", "far"]);
        let seen = platform.wait_for("refused", "error_install");
        let message = seen["message"].as_str().unwrap_or_default();
        assert!(message.contains(words) && message.contains("127.0.0.1:"), "{server}: {message}");
        remove("refused");
    };
    let log_in = |password: &str| {
        let arguments = ["registry", "login", &private.to_string(), "--username", "me", "--password-stdin"];
        platform.ok_with(&arguments, password);
    };
    let (plain, secret) = (format!("oci:{public}/plain"), format!("oci:{private}/private:1"));

    runs(&format!("{plain}:1"), "tagged");
    runs(&format!("{plain}@{digest}"), "pinned");
    // The engine knows them by their own names, and by nothing else.
    let far = hosts.host(1).engine();
    let tags = || {
        let all = far.get("/images/json").expect("a list");
        let of = |image: &Value| image["RepoTags"].as_array().cloned().unwrap_or_default();
        let mut all: Vec<Value> = all.as_array().expect("a list").iter().flat_map(of).collect();
        all.sort_by_key(ToString::to_string);
        all
    };
    let kept = digest.replace(':', "-");
    let expected = || vec![json!(format!("{public}/plain:1")), json!(format!("{public}/plain:{kept}"))];
    assert_eq!(tags(), expected());

    refused(&format!("{plain}:2"), "check its name");
    refused(&secret, "wants credentials");
    log_in("wrong-to-the-registry\n");
    refused(&secret, "refused the credentials");
    log_in("right\n");
    runs(&secret, "private");
    let (said, listed) = (hosts.host(1).dtma_log(), platform.ok(&["registry", "list"]));
    assert!(listed.contains(&private.to_string()) && !said.contains("right"), "{said}");

    // An image that is not what its digest says never runs.
    remove("private");
    far.delete(&format!("/images/{private}/private:1?force=1"));
    closed.spoil();
    refused(&secret, "verification failed");
    drop(closed);
    refused(&secret, "cannot be reached");
    assert_eq!(tags(), expected(), "nothing is left of what did not come");

    // What is there is not asked for again.
    drop(open);
    runs(&format!("{plain}:1"), "tagged-again");
    runs(&format!("{plain}@{digest}"), "pinned-again");
    // A cleanup takes them when nobody needs them.
    for name in ["tagged", "pinned", "tagged-again", "pinned-again"] {
        remove(name);
    }
    platform.ok(&["env", "cleanup", "far", "--yes"]);
    assert_eq!(tags(), Vec::<Value>::new());
}
