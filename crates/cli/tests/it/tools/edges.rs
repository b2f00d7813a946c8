//! What a container tool may be told, and what may be in its way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, UdpSocket};
use std::time::Instant;

use serde_json::{Value, json};
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::wait;

use super::{get, id, platform, refused};
use crate::BERTH;
use crate::conformance::fixture;

/// An image of the fixture as a tool, with further arguments.
fn image(docker: &Docker, name: &str, arguments: &[&str]) {
    let mut command = vec!["--tool", "/data", "--listen", "[::]:80"];
    command.extend(arguments);
    let command = format!("CMD {}", json!(command));
    docker.image(name, &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, &command]);
}

fn inspected(docker: &Docker, platform: &Platform, name: &str) -> Value {
    docker.get(&format!("/containers/berth-{}/json", id(platform, name))).expect("its container")
}

fn remove(docker: &Docker, platform: &Platform, name: &str) {
    let container = format!("/containers/berth-{}/json", id(platform, name));
    platform.ok(&["remove", name, "--yes"]);
    wait::until("its end", || platform.instance(name).is_none().then_some(()));
    assert_eq!(docker.get(&container), None);
}

#[test]
fn ports_are_published_for_udp_and_on_addresses_of_either_family() {
    let docker = engine();
    image(docker, "udp:1", &["--udp", "0.0.0.0:53"]);
    let platform = platform(docker);
    let ports = ["7281:80", "[::1]:7282:80", "7283:53/udp", "[::1]:7284:53/udp"];
    let mut deploy = vec!["deploy", "oci:udp:1", "--name", "udp", "--health", "tcp:80", "--wait"];
    deploy.extend(ports.iter().flat_map(|port| ["--publish", *port]));
    platform.ok(&deploy);
    let status = platform.ok(&["status", "udp"]);
    for shown in ["127.0.0.1:7281:80", "[::1]:7282:80", "127.0.0.1:7283:53/udp", "[::1]:7284:53/udp"] {
        assert!(status.contains(shown), "no `{shown}` in {status}");
    }
    assert_eq!(get(docker, 7281, "/env/NOTHING").as_deref(), Some(""));
    let over = |v6: bool| {
        let host: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        docker.in_its_network(|| TcpStream::connect((host, 7282)).is_ok())
    };
    assert_eq!((over(true), over(false)), (true, false), "it is published on the one address");
    let echoed = |port: u16, v6: bool| {
        docker.in_its_network(|| {
            let own = if v6 { "[::1]:0" } else { "127.0.0.1:0" };
            let socket = UdpSocket::bind(own).expect("a socket");
            socket.set_read_timeout(Some(std::time::Duration::from_millis(500))).expect("a timeout");
            let host: IpAddr = if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
            let mut answer = [0; 16];
            // A datagram may be lost, so it is sent again.
            wait::until("an answer", || {
                socket.send_to(b"hello", (host, port)).ok()?;
                let length = socket.recv(&mut answer).ok()?;
                Some(answer[..length].to_vec())
            })
        })
    };
    assert_eq!((echoed(7283, false), echoed(7284, true)), (b"hello".to_vec(), b"hello".to_vec()));
    remove(docker, &platform, "udp");
}

#[test]
fn a_profile_is_what_was_asked_for() {
    let docker = engine();
    image(docker, "profile:1", &[]);
    docker.image("server:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
    let platform = platform(docker);
    for (server, further, profile, is_confined) in [
        ("oci:profile:1", &["--tool"][..], "standard", false),
        ("oci:profile:1", &["--tool", "--profile", "strict"], "strict", true),
        ("oci:server:1", &[], "strict", true),
        ("oci:server:1", &["--profile", "standard"], "standard", false),
    ] {
        platform.ok(&[&["deploy", server, "--name", "one", "--wait"], further].concat());
        assert_eq!(
            platform.json(&["status", "one"])["confinement"]["profile"],
            profile,
            "{server} {further:?}"
        );
        let host = inspected(docker, &platform, "one")["HostConfig"].clone();
        let (dropped, read_only) = if is_confined { (json!(["ALL"]), true) } else { (Value::Null, false) };
        assert_eq!(
            (&host["CapDrop"], &host["ReadonlyRootfs"]),
            (&dropped, &json!(read_only)),
            "{server} {further:?}"
        );
        remove(docker, &platform, "one");
    }
    refused(&platform, &["deploy", "oci:profile:1", "--profile", "loose"], &["a profile", "`standard`"]);
}

#[test]
fn limits_are_what_was_asked_for() {
    let docker = engine();
    image(docker, "limits:1", &[]);
    let platform = platform(docker);
    let limits = ["--cpus", "0.5", "--memory-mib", "64", "--processes", "16"];
    platform.ok(&[&["deploy", "oci:limits:1", "--tool", "--name", "one", "--wait"][..], &limits].concat());
    let status = platform.ok(&["status", "one"]);
    assert!(status.contains("64 MiB of memory, 0.5 cores, 16 processes"), "{status}");
    let host = inspected(docker, &platform, "one")["HostConfig"].clone();
    assert_eq!(
        (&host["NanoCpus"], &host["Memory"], &host["PidsLimit"]),
        (&json!(500_000_000), &json!(64 << 20), &json!(16))
    );
    remove(docker, &platform, "one");
    for (limit, value, words) in [
        ("--cpus", "0.001", "limits.cpu_millicores"),
        ("--cpus", "much", "such as `2` or `0.5`"),
        ("--memory-mib", "15", "limits.memory_mib"),
        ("--processes", "7", "limits.processes"),
    ] {
        refused(&platform, &["deploy", "oci:limits:1", "--tool", limit, value], &[words]);
    }
    // More than there is is all there is.
    platform.ok(&["deploy", "oci:limits:1", "--tool", "--name", "one", "--cpus", "500", "--wait"]);
    let given = inspected(docker, &platform, "one")["HostConfig"]["NanoCpus"].as_u64().expect("a number");
    let cores = docker.get("/info").expect("what it has")["NCPU"].as_u64().expect("a number");
    assert_eq!(given, cores * 1_000_000_000);
    remove(docker, &platform, "one");
}

#[test]
fn a_tool_is_asked_to_end_by_its_images_signal_and_has_its_time() {
    let docker = engine();
    image(docker, "end:1", &["--on-signal", "end"]);
    docker.build("asked:1", "FROM end:1\nSTOPSIGNAL SIGUSR1\n", &[]);
    image(docker, "go-on:1", &["--on-signal", "go-on"]);
    docker.build("stubborn:1", "FROM go-on:1\nSTOPSIGNAL 12\n", &[]);
    let platform = platform(docker);
    for (server, name, caught) in
        [("oci:asked:1", "asked", "caught SIGUSR1"), ("oci:stubborn:1", "stubborn", "caught SIGUSR2")]
    {
        platform.ok(&["deploy", server, "--tool", "--name", name, "--wait"]);
        let begun = Instant::now();
        platform.ok(&["stop", name]);
        platform.wait_for(name, "stopped");
        let (taken, log) = (begun.elapsed().as_secs(), platform.ok(&["logs", name]));
        assert!(log.contains(caught), "{name}: {log}");
        assert!(!log.contains("caught SIGTERM"), "{name}: {log}");
        let was_killed = log.contains("did not end within 10 s and is killed");
        assert_eq!(was_killed, name == "stubborn", "{log}");
        assert_eq!(was_killed, 10 <= taken, "{name}: it took {taken} s");
        remove(docker, &platform, name);
    }
}

#[test]
fn one_that_is_never_well_says_so_and_gets_well() {
    let docker = engine();
    image(docker, "late:1", &[]);
    let platform = platform(docker);
    platform.ok(&[
        "deploy",
        "oci:late:1",
        "--name",
        "late",
        "--publish",
        "7285:80",
        "--health",
        "http:80/begun",
        "--startup-seconds",
        "1",
    ]);
    let seen = platform.wait_for("late", "error_runtime");
    let words = seen["message"].as_str().expect("a message");
    assert!(words.contains("unhealthy") && words.contains("503"), "{words}");
    let before = inspected(docker, &platform, "late")["Id"].clone();
    assert_eq!(get(docker, 7285, "/begin").as_deref(), Some(""));
    platform.wait_for("late", "running");
    assert_eq!(inspected(docker, &platform, "late")["Id"], before, "it was left running");
    remove(docker, &platform, "late");
}

#[test]
fn somebody_elses_volume_is_neither_used_nor_removed() {
    let docker = engine();
    image(docker, "kept:1", &[]);
    let platform = platform(docker);
    platform.ok(&["deploy", "oci:kept:1", "--name", "kept", "--volume", "data:/data", "--wait"]);
    let volume = format!("berth-{}-data", id(&platform, "kept"));
    platform.ok(&["stop", "kept"]);
    platform.wait_for("kept", "stopped");
    docker.delete(&format!("/volumes/{volume}"));
    docker.post("/volumes/create", &json!({"Name": volume}));
    platform.ok(&["start", "kept"]);
    let seen = wait::until("its words", || {
        platform.instance("kept").filter(|seen| seen["message"].to_string().contains(&volume))
    });
    assert!(seen["status"].to_string().contains("error"), "{seen}");

    // What an engine leaves that is killed while it is asked for the volume.
    let record = platform.data().join("dtma/instances").join(id(&platform, "kept")).join("volumes");
    let mut noted: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    assert_eq!(noted.get("making"), None, "{noted}");
    noted["making"] = json!(["data"]);
    std::fs::write(&record, noted.to_string()).unwrap();
    platform.ok(&["restart", "kept"]);
    platform.wait_for("kept", "running");
    let made = docker.get(&format!("/volumes/{volume}")).unwrap();
    assert_eq!(made["Labels"]["berth.managed"], "1", "{made}");
    let noted = std::fs::read_to_string(&record).unwrap();
    assert!(!noted.contains("making"), "{noted}");

    platform.ok(&["stop", "kept"]);
    platform.wait_for("kept", "stopped");
    docker.delete(&format!("/volumes/{volume}"));
    docker.post("/volumes/create", &json!({"Name": volume}));
    remove(docker, &platform, "kept");
    assert!(docker.get(&format!("/volumes/{volume}")).is_some(), "it is not ours to remove");
    docker.delete(&format!("/volumes/{volume}"));
}

#[test]
fn a_host_that_starts_processes_alone_takes_no_image() {
    let platform = Platform::start_in(BERTH, &["--runtime", "process"], &[]);
    for further in [&[][..], &["--tool"]] {
        platform.ok(&[&["deploy", "oci:any/image:1", "--name", "image"], further].concat());
        let seen = platform.wait_for("image", "error_install");
        let words = seen["message"].as_str().expect("a message");
        assert!(words.contains("--runtime process") && words.contains("--runtime auto"), "{words}");
        platform.ok(&["remove", "image", "--yes"]);
        wait::until("its end", || platform.instance("image").is_none().then_some(()));
    }
}
