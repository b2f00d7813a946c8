//! Container tools, which speak no MCP, on a real Docker engine.

use serde_json::{Value, json};
use testkit::docker::{Docker, engine};
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

fn platform(docker: &Docker) -> Platform {
    Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())])
}

/// The id of an instance, which is in the names of what the engine has of it.
#[track_caller]
fn id(platform: &Platform, name: &str) -> String {
    platform.instance(name).expect("the instance")["id"].as_str().expect("an id").to_owned()
}

/// What a port of the engine's host answers to GET; the host is a network of the engine's own.
pub(crate) fn get(docker: &Docker, port: u16, path: &str) -> Option<String> {
    let text = docker.talk(port, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// What is refused before anything is made, and what the words must have in them.
#[track_caller]
fn refused(platform: &Platform, arguments: &[&str], words: &[&str]) {
    let output = platform.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} was taken");
    for word in words {
        assert!(said.contains(word), "{arguments:?} says no `{word}`: {said}");
    }
}

mod edges;

#[test]
fn a_tool_is_reached_on_its_port_keeps_its_volume_and_speaks_no_mcp() {
    let docker = engine();
    let command = r#"CMD ["--tool","/data","--listen","0.0.0.0:80"]"#;
    docker.image("tool:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#, command]);
    let platform = platform(docker);
    let deploy = |name: &'static str, port: &'static str| {
        ["deploy", "oci:tool:1", "--tool", "--name", name, "--publish", port]
    };
    let first = [
        &deploy("tool", "7180:80")[..],
        &["--volume", "data:/data", "--health", "http:80/health", "--secret", "TOKEN=hush-hush", "--wait"],
    ];
    platform.ok(&first.concat());
    let (container, volume) = {
        let name = format!("berth-{}", id(&platform, "tool"));
        (format!("/containers/{name}/json"), format!("/volumes/{name}-data"))
    };
    let inspect = || docker.get(&container).expect("its container");

    // It is reached, has its secret, and shows it to nobody else.
    assert_eq!(get(docker, 7180, "/env/TOKEN").as_deref(), Some("hush-hush"));
    let shown = inspect();
    assert!(!shown.to_string().contains("hush-hush"), "a secret is shown: {shown}");
    assert_eq!(
        shown["HostConfig"]["PortBindings"],
        json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "7180"}]})
    );
    let status = platform.json(&["status", "tool"]);
    assert_eq!(status["confinement"]["profile"], "standard");
    assert_eq!(status["container"]["health"], json!({"check": "http", "port": 80, "path": "/health"}));
    assert_eq!(status["server_name"], Value::Null);
    let status = platform.ok(&["status", "tool"]);
    for word in ["container tool", "127.0.0.1:7180:80", "data:/data", "http:80/health", "standard"] {
        assert!(status.contains(word), "no `{word}` in {status}");
    }
    assert!(platform.ok(&["logs", "tool"]).contains("0.0.0.0:80"), "its own words are in its log");

    // Nobody finds MCP there.
    for arguments in [&["tools", "tool"][..], &["call", "tool", "echo"], &["connect", "tool"]] {
        refused(&platform, arguments, &["container tool"]);
    }

    // What it keeps outlives its process, its container and its engine's word for it.
    get(docker, 7180, "/keep/treasure").expect("it takes a text");
    let server = format!("/containers/berth-{}/top", id(&platform, "tool"));
    let of_tool = || {
        let top = docker.get(&server)?;
        let rows = top["Processes"].as_array()?.clone();
        let row = rows.iter().find(|row| row.to_string().contains("--tool"))?;
        row[1].as_str()?.parse::<u32>().ok()
    };
    let killed = of_tool().expect("its process");
    testkit::processes::kill(killed);
    wait::until("another process", || of_tool().filter(|pid| *pid != killed));
    wait::until("its answer", || (get(docker, 7180, "/kept")? == "treasure").then_some(()));
    wait::until("its restart to be told", || {
        (platform.instance("tool")?["restarts"] == 1 && platform.instance("tool")?["status"] == "running")
            .then_some(())
    });
    let before = inspect()["Id"].clone();
    platform.ok(&["restart", "tool"]);
    wait::until("another container", || (docker.get(&container)?["Id"] != before).then_some(()));
    wait::until("its answer", || (get(docker, 7180, "/kept")? == "treasure").then_some(()));

    // It lives and is ill; that is said, and it gets well.
    platform.wait_for("tool", "running");
    get(docker, 7180, "/ill").expect("it falls ill");
    let seen = platform.wait_for("tool", "error_runtime");
    let words = seen["message"].as_str().expect("a message");
    assert!(words.contains("unhealthy") && words.contains("500"), "{words}");
    get(docker, 7180, "/well").expect("it gets well");
    platform.wait_for("tool", "running");

    // Ports are had once, and found taken before anything is made.
    refused(&platform, &deploy("own", "30000:80"), &["port 30000 is the DTMA's own", "container.ports[0]"]);
    refused(
        &platform,
        &[&deploy("twice", "7181:80")[..], &["--publish", "7181:81"]].concat(),
        &["given twice"],
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let used = format!("{}:80", listener.local_addr().expect("an address").port());
    for (name, port, words) in
        [("second", "7180:80", "belongs to the instance"), ("third", &used, "is in use")]
    {
        platform.ok(&["deploy", "oci:tool:1", "--tool", "--name", name, "--publish", port]);
        let seen = platform.wait_for(name, "error_install");
        let message = seen["message"].as_str().expect("a message");
        assert!(message.contains(words) && message.contains("choose another port"), "{message}");
        assert_eq!(docker.get(&format!("/containers/berth-{}/json", id(&platform, name))), None);
        platform.ok(&["remove", name, "--yes"]);
    }

    // With the instance goes what it kept, and nothing before.
    assert!(docker.get(&volume).is_some(), "it is kept");
    platform.ok(&["stop", "tool"]);
    platform.wait_for("tool", "stopped");
    assert!(docker.get(&volume).is_some(), "it is kept while it is stopped");
    platform.ok(&["remove", "tool", "--yes"]);
    wait::until("its end", || platform.instance("tool").is_none().then_some(()));
    assert_eq!((docker.get(&container), docker.get(&volume)), (None, None));
}
