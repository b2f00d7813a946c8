//! A host that nobody can dial: its DTMA opens a tunnel, and everything goes through it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testkit::nginx::Nginx;
use testkit::platform::Platform;
use testkit::{processes, wait};

use crate::BERTH;

/// `berth dtma --tunnel` in a directory of its own, enrolled as an environment of a platform.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    dtma: Option<Child>,
}

impl Host {
    pub(crate) fn enrol(platform: &Platform, name: &str) -> Self {
        Self::enrol_at(platform, name, &["--control-url", platform.url()])
    }

    /// As [`Self::enrol`], with the control plane's address as these arguments say it.
    pub(crate) fn enrol_at(platform: &Platform, name: &str, control: &[&str]) -> Self {
        let added = platform.json(&["env", "add", "host", "--name", name]);
        let mut host = Self::new();
        host.enrolled(platform, name, &added, control);
        host.start();
        host
    }

    /// One that is nobody's yet and will be dialled at a port of its own.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), dtma: None }
    }

    /// Makes it the environment that was added.
    pub(crate) fn enrolled(&mut self, platform: &Platform, name: &str, added: &Value, control: &[&str]) {
        let host = self;
        let token = host.dir.path().join("token");
        std::fs::write(&token, platform.ok(&["env", "token", name])).unwrap();
        let status = Command::new(BERTH)
            .args(["dtma", "enrol", "--environment", added["id"].as_str().unwrap()])
            .args(control)
            .arg("--token-file")
            .arg(token)
            .arg("--data")
            .arg(host.data())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("berth-data")
    }

    fn start(&mut self) {
        self.start_with(&["--tunnel", "--listen", "127.0.0.1:0"]);
    }

    /// Starts its DTMA, reached as these arguments say.
    pub(crate) fn start_with(&mut self, arguments: &[&str]) {
        let log = std::fs::File::create(self.dir.path().join("dtma.log")).unwrap();
        let dtma = Command::new(BERTH)
            .arg("dtma")
            .args(arguments)
            .args(["--heartbeat-ms", "500", "--runtime", "process", "--data"])
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.dtma = Some(dtma.unwrap());
    }

    /// What it logged since it was started.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("dtma.log")).unwrap_or_default()
    }

    fn kill(&mut self) {
        let mut dtma = self.dtma.take().unwrap();
        dtma.kill().unwrap();
        dtma.wait().unwrap();
    }
}

impl Drop for Host {
    #[expect(clippy::print_stderr, reason = "a test that failed says why")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        let Some(dtma) = &mut self.dtma else { return };
        let below = processes::below(dtma.id());
        drop(dtma.kill());
        drop(dtma.wait());
        for process in below {
            processes::kill(process.pid);
        }
    }
}

#[track_caller]
pub(crate) fn says_hi(platform: &Platform, name: &str) {
    assert_eq!(platform.ok(&["call", name, "echo", r#"{"message":"hi"}"#]).trim(), "hi");
}

fn environment(platform: &Platform, name: &str) -> Value {
    platform.json(&["env", "show", name])
}

#[test]
fn a_host_without_an_open_port_is_deployed_to_called_and_heals() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500"]);
    let mut host = Host::enrol(&platform, "workshop");
    platform.ok(&["deploy", "welcome", "--name", "far", "--env", "workshop", "--wait"]);
    says_hi(&platform, "far");
    says_hi(&platform, "welcome");
    let shown = environment(&platform, "workshop");
    assert_eq!(
        (&shown["status"], &shown["address"], &shown["message"]),
        (&"active".into(), &Value::Null, &Value::Null)
    );
    let log = platform.ok(&["logs", "far"]);
    assert!(log.contains("runs, revision"), "what its host keeps comes through the tunnel: {log}");

    // The DTMA ends with no word: the tunnel is gone at once, and so says who calls. The next DTMA opens another.
    host.kill();
    let refused = wait::until("a refusal", || {
        let output = platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]);
        (!output.status.success()).then_some(output)
    });
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("workshop") || said.contains("does not answer"), "{said}");
    host.start();
    wait::until("a call through the next tunnel", || {
        platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]).status.success().then_some(())
    });

    // The control plane ends with no word: its next one is found again.
    processes::kill(platform.own("server"));
    wait::until("a call through the next control plane", || {
        platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]).status.success().then_some(())
    });

    // Another host with this one's environment takes its place only with its token; without the right one it gets none.
    platform.ok(&["remove", "far", "--yes"]);
    wait::until("its end", || platform.instance("far").is_none().then_some(()));
    platform.ok(&["env", "remove", "workshop", "--yes"]);
    wait::until("a host that is not wanted any more", || host.log().contains("401").then_some(()));
}

#[test]
fn a_tunnel_is_refused_where_it_would_be_read() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, said) in [
        (&["--tunnel"][..], "needs a control plane to lead to"),
        (&["--tunnel", "--control-url", "http://203.0.113.1:8420"], "would be plain HTTP"),
    ] {
        std::fs::create_dir_all(dir.path().join("dtma")).unwrap();
        std::fs::write(dir.path().join("dtma/environment"), "01890000-0000-7000-8000-000000000000").unwrap();
        std::fs::write(dir.path().join("dtma/token"), "x").unwrap();
        let output = Command::new(BERTH)
            .args(["dtma", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.path())
            .args(arguments)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains(said), "{err}");
    }
}

#[test]
fn a_proxy_that_passes_websockets_alone_passes_the_tunnel() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500"]);
    // Any other upgrade is refused, by nginx itself, as some firewalls and load balancers do.
    let nginx = Nginx::start(&format!(
        r#"listen 127.0.0.1:PORT;
        location / {{ proxy_pass {url}; }}
        location /api/v1/dtma/tunnel {{
            if ($http_upgrade != "websocket") {{ return 426; }}
            proxy_pass {url}; proxy_http_version 1.1; proxy_read_timeout 1h;
            proxy_set_header Upgrade websocket; proxy_set_header Connection "upgrade";
        }}"#,
        url = platform.url()
    ));
    let url = format!("http://127.0.0.1:{}", nginx.port());
    let host = Host::enrol_at(&platform, "behind", &["--control-url", &url]);
    platform.ok(&["deploy", "welcome", "--name", "far", "--env", "behind", "--wait"]);
    for _ in 0..20 {
        says_hi(&platform, "far");
    }
    // More than a frame holds, both ways.
    let long = "x".repeat(600_000);
    let file = host.dir.path().join("long.json");
    std::fs::write(&file, serde_json::json!({ "message": long }).to_string()).unwrap();
    let said = platform.ok(&["call", "far", "echo", &format!("@{}", file.display())]);
    assert_eq!(said.trim().len(), long.len());
    assert!(host.log().contains("within=WebSocket"), "{}", host.log());
    assert!(nginx.access().contains(" 426 "), "the other way was tried first: {}", nginx.access());

    // The proxy ends with no word: another one is found again.
    drop(nginx);
    wait::until("a host that is gone", || {
        (!platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]).status.success()).then_some(())
    });
}
