//! What containers reach on the network, on a real Docker engine with a real packet filter.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::{processes, wait};

use crate::BERTH;
use crate::conformance::fixture;
use crate::older::{self, ask};
use crate::tools::get;

/// What stands in for the internet: a network of its own behind the engine's, as `internet.py` has it.
struct Internet {
    process: Child,
    directory: tempfile::TempDir,
}

impl Internet {
    fn start(docker: &Docker) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/internet.py");
        let mut process = Command::new("unshare")
            .args(["--net", "python3", script])
            .arg(directory.path().join("heard"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let pid = process.id();
        // It has a network of its own once it has begun to run.
        let own = std::fs::read_link("/proc/self/ns/net").expect("a network");
        wait::until("its network", || {
            std::fs::read_link(format!("/proc/{pid}/ns/net")).ok().filter(|net| *net != own)
        });
        inside(docker, &format!("ip link add net0 type veth peer name net1 netns {pid}"));
        inside(docker, "ip addr add 203.0.113.1/24 dev net0");
        inside(docker, "ip link set net0 up");
        let mut input = process.stdin.take().expect("a pipe");
        input.write_all(b"\n").expect("it reads");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("it writes");
        assert_eq!(line, "ready\n");
        process.stdin = Some(input);
        inside(docker, "ip route add 198.51.100.0/24 via 203.0.113.2");
        inside(docker, "ip route add 169.254.169.254/32 via 203.0.113.2");
        Self { process, directory }
    }

    /// What came to it over UDP.
    fn heard(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("heard")).unwrap_or_default()
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

fn in_network(docker: &Docker, words: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", docker.pid())).args(words);
    command
}

/// Runs a command in the engine's network.
#[track_caller]
fn inside(docker: &Docker, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let output = in_network(docker, &words).output().expect("nsenter");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Something of the host's own that listens on an address of the host, such as `0.0.0.0:80`.
struct Listener(Child);

impl Listener {
    fn start(docker: &Docker, listen: &str) -> Self {
        let server = fixture().display().to_string();
        let mut command = in_network(docker, &[&server, "--tool", "/tmp", "--listen", listen]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the fixture");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("it writes");
        Self(process)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A platform in the engine's network, as on a host.
fn platform(docker: &Docker) -> Platform {
    let environment = [("DOCKER_HOST", docker.host()), ("BERTH_NAMESERVER", "198.51.100.53:53".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    Platform::start_within(BERTH, &["--runtime", "docker"], &environment, Some(docker.pid()))
}

fn image(docker: &Docker) {
    docker.image("reach:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
}

#[track_caller]
fn deploy(platform: &Platform, name: &str, further: &[&str]) {
    platform
        .ok(&[&["deploy", "oci:reach:1", "--name", name, "--mode", "shared", "--wait"], further].concat());
}

#[track_caller]
fn call(platform: &Platform, name: &str, tool: &str, arguments: &Value) -> String {
    platform.ok(&["call", name, tool, &arguments.to_string()]).trim().to_owned()
}

/// Whether an instance reaches an address.
#[track_caller]
fn dials(platform: &Platform, name: &str, address: &str, expected: bool) {
    let said = call(platform, name, "dial", &json!({"address": address}));
    assert_eq!(said == "connected", expected, "{name} to {address}: {said}");
}

#[track_caller]
fn resolves(platform: &Platform, name: &str, host: &str, expected: &str) {
    let said = call(platform, name, "resolve", &json!({"name": host}));
    assert!(said.contains(expected), "{name} asks for {host}: {said}");
}

/// An instance's container.
#[track_caller]
fn container(docker: &Docker, platform: &Platform, name: &str) -> Value {
    let id = platform.instance(name).expect("the instance")["id"].as_str().expect("an id").to_owned();
    docker.get(&format!("/containers/berth-{id}/json")).expect("its container")
}

/// A container's address and its network's on the host.
#[track_caller]
fn addresses(docker: &Docker, platform: &Platform, name: &str) -> (String, String) {
    let found = container(docker, platform, name);
    let networks = found["NetworkSettings"]["Networks"].as_object().expect("networks").clone();
    let network = networks.values().next().expect("a network");
    let text = |key: &str| network[key].as_str().expect("an address").to_owned();
    (text("IPAddress"), text("Gateway"))
}

/// Waits until the status of an instance names a destination as blocked.
#[track_caller]
fn shows_blocked(platform: &Platform, name: &str, blocked: &str) {
    wait::until(blocked, || {
        platform.ok(&["status", name]).contains(&format!("blocked      {blocked}\n")).then_some(())
    });
}

fn has_table(docker: &Docker) -> bool {
    inside(docker, "nft list tables").contains("inet berth-")
}

/// The ports of the DTMA and of the control plane. Their own sockets are on the loopback address alone, so others stand on the
/// host's address.
#[track_caller]
fn berth_is_out_of_reach(docker: &Docker, platform: &Platform) {
    for url in [older::dtma(platform), platform.url().to_owned()] {
        let port = url.rsplit(':').next().expect("a port").to_owned();
        let address = format!("203.0.113.1:{port}");
        let _stand_in = Listener::start(docker, &address);
        let reached = docker.in_its_network(|| std::net::TcpStream::connect(&address).is_ok());
        assert!(reached, "nothing listens on {address}");
        for name in ["strict", "standard"] {
            dials(platform, name, &address, false);
            dials(platform, name, &format!("127.0.0.1:{port}"), false);
            shows_blocked(platform, name, &format!("tcp {address}"));
        }
    }
}

#[test]
fn open_reaches_others_and_never_the_host() {
    let docker = engine();
    image(docker);
    let internet = Internet::start(docker);
    let platform = platform(docker);
    let _own = Listener::start(docker, "0.0.0.0:8088");
    let command = r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#;
    docker.image("tool:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, command]);
    let publish =
        ["--publish", "0.0.0.0:7180:80", "--publish", "127.0.0.1:7181:81", "--volume", "data:/data"];
    platform.ok(&[&["deploy", "oci:tool:1", "--tool", "--name", "tool", "--wait"], &publish[..]].concat());
    deploy(&platform, "strict", &[]);
    deploy(&platform, "standard", &["--profile", "standard"]);
    assert_eq!(platform.json(&["status", "strict"])["confinement"]["egress"]["egress"], "open");

    let check = || {
        for name in ["strict", "standard"] {
            let (_, gateway) = addresses(docker, &platform, name);
            dials(&platform, name, "198.51.100.10:80", true);
            // The metadata of clouds, which this host itself reaches.
            dials(&platform, name, "169.254.169.254:80", false);
            for host in [gateway.as_str(), "203.0.113.1"] {
                dials(&platform, name, &format!("{host}:8088"), false);
                dials(&platform, name, &format!("{host}:53"), false);
                // What a tool publishes to others is theirs too; what it publishes to this host alone is not.
                dials(&platform, name, &format!("{host}:7180"), true);
                dials(&platform, name, &format!("{host}:7181"), false);
            }
        }
    };
    check();
    shows_blocked(&platform, "strict", "tcp 169.254.169.254:80");
    shows_blocked(&platform, "strict", "tcp 203.0.113.1:8088");
    berth_is_out_of_reach(docker, &platform);
    let shown = platform.json(&["status", "strict"])["blocked"].clone();
    assert!(
        shown
            .as_array()
            .expect("a list")
            .contains(&json!({"protocol": "tcp", "host": "203.0.113.1", "port": 8088}))
    );
    assert!(get(docker, 7180, "/kept").is_some(), "it is published");

    // Nobody speaks under another's address.
    let (strict, standard) =
        (addresses(docker, &platform, "strict").0, addresses(docker, &platform, "standard").0);
    let forge = |source: &str, text: &str| {
        call(
            &platform,
            "standard",
            "forge",
            &json!({"source": source, "address": "198.51.100.10:9999", "text": text}),
        )
    };
    assert_eq!(forge(&standard, "own"), "sent");
    wait::until("its own packet", || internet.heard().contains("own").then_some(()));
    assert_eq!(forge(&strict, "forged"), "sent");
    assert_eq!(forge("192.0.2.1", "invented"), "sent");
    assert_eq!(forge(&standard, "last"), "sent");
    wait::until("its last packet", || internet.heard().contains("last").then_some(()));
    assert!(
        !internet.heard().contains("forged") && !internet.heard().contains("invented"),
        "{}",
        internet.heard()
    );
    let refused = call(
        &platform,
        "strict",
        "forge",
        &json!({"source": strict, "address": "198.51.100.10:9999", "text": "x"}),
    );
    assert!(refused.contains("not permitted"), "{refused}");
    // Neighbours do not see each other.
    dials(&platform, "strict", &format!("{}:80", addresses(docker, &platform, "tool").0), false);

    // It is right again after the end of each part, and when somebody empties the packet filter.
    let dtma = platform.own("dtma");
    processes::kill(dtma);
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    platform.wait_for("strict", "running");
    check();
    inside(docker, "nft flush ruleset");
    wait::until("the rules", || has_table(docker).then_some(()));
    // The engine has lost its own rules too, and makes them with its next start.
    docker.crash();
    for name in ["tool", "strict", "standard"] {
        wait::until("another container", || {
            let found = container_now(docker, &platform, name)?;
            (found["State"]["Running"] == true).then_some(())
        });
        platform.wait_for(name, "running");
    }
    wait::until("its answer", || {
        (call_now(&platform, "strict", "198.51.100.10:80")? == "connected").then_some(())
    });
    check();

    for name in ["tool", "strict", "standard", "welcome"] {
        assert!(has_table(docker), "{name} needs it");
        platform.ok(&["remove", name, "--yes"]);
        wait::until("its end", || platform.instance(name).is_none().then_some(()));
    }
    assert!(!has_table(docker), "nothing needs it");
}

fn container_now(docker: &Docker, platform: &Platform, name: &str) -> Option<Value> {
    let id = platform.instance(name)?["id"].as_str()?.to_owned();
    docker.get(&format!("/containers/berth-{id}/json"))
}

fn call_now(platform: &Platform, name: &str, address: &str) -> Option<String> {
    let output = platform.run(&["call", name, "dial", &json!({"address": address}).to_string()]);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn a_list_is_all_that_is_reached() {
    let docker = engine();
    image(docker);
    let internet = Internet::start(docker);
    let platform = platform(docker);
    let _own = Listener::start(docker, "0.0.0.0:80");
    let list =
        "allow=allowed.test,*.wild.test,port.test:443,sneaky.test,host.test,many.test,198.51.100.20:5000";
    deploy(&platform, "strict", &["--egress", list]);
    deploy(&platform, "standard", &["--profile", "standard", "--egress", list]);
    assert!(platform.ok(&["status", "strict"]).contains(&format!("egress       {list}")));

    for name in ["strict", "standard"] {
        // Not by its address before its name was asked for.
        dials(&platform, name, "198.51.100.10:80", false);
        dials(&platform, name, "allowed.test:80", true);
        dials(&platform, name, "allowed.test:443", true);
        dials(&platform, name, "ALLOWED.test:80", true);
        dials(&platform, name, "198.51.100.10:80", true);
        let echoed =
            call(&platform, name, "datagram", &json!({"address": "allowed.test:9999", "text": name}));
        assert_eq!(echoed, name, "over UDP too");
        dials(&platform, name, "deep.wild.test:80", true);
        resolves(&platform, name, "wild.test", "failed");
        resolves(&platform, name, "other.test", "failed");
        dials(&platform, name, "198.51.100.20:80", false);
        dials(&platform, name, "198.51.100.20:5000", true);
        dials(&platform, name, "port.test:443", true);
        dials(&platform, name, "port.test:80", false);
        // Another resolver, by either way, and one at an address that may be reached by another name.
        dials(&platform, name, "198.51.100.53:53", false);
        let said = call(&platform, name, "datagram", &json!({"address": "198.51.100.53:53", "text": "x"}));
        assert!(said.contains("failed"), "{said}");
        // Names cannot open what is never open.
        resolves(&platform, name, "sneaky.test", "169.254.169.254");
        dials(&platform, name, "sneaky.test:80", false);
        dials(&platform, name, "host.test:80", false);
        // An answer that is too long for a datagram comes over TCP.
        resolves(&platform, name, "many.test", "198.51.100.179");
        shows_blocked(&platform, name, "dns other.test");
        shows_blocked(&platform, name, "tcp 198.51.100.20:80");
        shows_blocked(&platform, name, "udp 198.51.100.53:53");
    }
    let before: Vec<Value> = platform.json(&["list"]).as_array().expect("a list").clone();
    assert!(before.iter().all(|instance| instance["status"] == "running"));

    // Garbage does the resolver no harm.
    let (_, gateway) = addresses(docker, &platform, "strict");
    for text in ["", "x", "0123456789ab", &"y".repeat(600)] {
        call(&platform, "strict", "datagram", &json!({"address": format!("{gateway}:53"), "text": text}));
    }
    resolves(&platform, "strict", "allowed.test", "198.51.100.10");
    // Nor does it serve others.
    let query = "import socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(1);s.sendto(bytes.fromhex('123401000001000000000000')+b'\\x07allowed\\x04test\\x00\\x00\\x01\\x00\\x01',(sys.argv[1],53));print(s.recv(512))";
    let output = in_network(docker, &["python3", "-c", query, &gateway]).output().expect("python3");
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("timed out"),
        "{output:?}"
    );

    // A connection outlives the DTMA, and so does what was opened.
    assert_eq!(call(&platform, "strict", "hold", &json!({"address": "allowed.test:5000"})), "connected");
    let dtma = platform.own("dtma");
    processes::kill(dtma);
    wait::until("another DTMA", || (platform.own("dtma") != dtma).then_some(()));
    platform.wait_for("strict", "running");
    assert_eq!(call(&platform, "strict", "held", &json!({"text": "still"})), "still");
    dials(&platform, "strict", "198.51.100.10:80", true);
    wait::until("the resolver", || {
        call_now(&platform, "strict", "deep.wild.test:80").filter(|said| said == "connected")
    });
    dials(&platform, "strict", "198.51.100.20:80", false);

    // Nor does emptying the packet filter open or close anything for long; the engine's own rules are its own affair.
    let table = inside(docker, "nft list tables");
    let table =
        table.lines().find(|line| line.contains("inet berth-")).expect("the table").replace("table ", "");
    inside(docker, &format!("nft delete table {table}"));
    wait::until("the rules", || has_table(docker).then_some(()));
    dials(&platform, "strict", "198.51.100.30:80", true);
    dials(&platform, "strict", "198.51.100.20:80", false);

    // Another container begins with nothing, whatever address it gets.
    platform.ok(&["restart", "strict"]);
    platform.wait_for("strict", "running");
    dials(&platform, "strict", "198.51.100.10:80", false);
    dials(&platform, "strict", "allowed.test:80", true);
    drop(internet);
}

#[test]
fn nothing_is_reached_and_what_cannot_be_kept_is_refused() {
    let docker = engine();
    image(docker);
    let platform = platform(docker);
    deploy(&platform, "nothing", &["--egress", "none"]);
    dials(&platform, "nothing", "198.51.100.10:80", false);
    resolves(&platform, "nothing", "allowed.test", "failed");

    let refused = |arguments: &[&str], words: &str| {
        let output = platform.run(&[&["deploy", "oci:reach:1", "--name", "wrong"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    };
    refused(&["--egress", "allow=a b"], "`a b` is no host");
    refused(&["--egress", "allow="], "1 to 64");
    refused(&["--egress", "some"], "write `none`, `open`");
    refused(&["--profile", "lax"], "write `strict` or `standard`");

    // Without the packet filter's program a list is not begun, and what is open is said to be unguarded.
    let environment = [("DOCKER_HOST", docker.host().clone())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let elsewhere = Platform::start_in(BERTH, &["--runtime", "docker"], &environment);
    elsewhere.ok(&["deploy", "oci:reach:1", "--name", "list", "--egress", "allow=a.test"]);
    let seen = elsewhere.wait_for("list", "error_runtime");
    let words = seen["message"].as_str().expect("a message");
    assert!(words.contains("is not on the host of this DTMA"), "{words}");
    let (_, info) = ask(&elsewhere, "GET", "/v1/info", None);
    let protections = info["protections"].as_array().expect("protections");
    let egress =
        protections.iter().find(|protection| protection["name"] == "egress rules").expect("it is told");
    assert_eq!(egress["granted"], false, "{egress}");
}
