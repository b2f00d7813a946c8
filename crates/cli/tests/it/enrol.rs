//! A host becomes an environment by one pasted line, which is run here for real: script, program, exchange. No service is
//! installed, because this machine is not the test's to change; a machine that boots has its own test.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use testkit::platform::Platform;
use testkit::{ports, processes, wait};

use crate::BERTH;

/// A host's directories, and its host agent once it is started.
pub(crate) struct Host {
    dir: tempfile::TempDir,
    dtma: Option<Child>,
    /// What ran under host agents that were ended.
    left: Vec<processes::Process>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap(), dtma: None, left: Vec::new() };
        std::fs::create_dir(host.tmp()).unwrap();
        host
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where temporary files are made.
    fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// Runs a line as its owner pastes it.
    pub(crate) fn paste(&self, line: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("{line} --no-service --data {}", self.data().display()));
        self.end(shell)
    }

    /// Runs a script with arguments.
    fn script(&self, text: &[u8], arguments: &[&str]) -> Output {
        let path = self.dir.path().join("install.sh");
        std::fs::write(&path, text).unwrap();
        let mut shell = Command::new("sh");
        shell.arg("-s").arg("--").args(arguments).args(["--no-service", "--data"]).arg(self.data());
        shell.stdin(std::fs::File::open(path).unwrap());
        self.end(shell)
    }

    fn end(&self, mut shell: Command) -> Output {
        let output = shell.env("TMPDIR", self.tmp()).output().unwrap();
        let left = std::fs::read_dir(self.tmp()).unwrap().count();
        assert_eq!(left, 0, "the script cleans up, whatever happens: {}", said(&output));
        output
    }

    /// Starts its host agent, unless it runs.
    pub(crate) fn keep(&mut self) {
        if !self.dtma.as_mut().is_some_and(|dtma| matches!(dtma.try_wait(), Ok(None))) {
            self.start();
        }
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&["--tunnel", "--listen", "127.0.0.1:0"]);
    }

    fn start_with(&mut self, arguments: &[&str]) {
        self.stop();
        let log = std::fs::File::create(self.dir.path().join("dtma.log")).unwrap();
        let dtma = Command::new(BERTH)
            .args(["dtma", "--heartbeat-ms", "500", "--runtime", "process"])
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.dtma = Some(dtma.unwrap());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("dtma.log")).unwrap_or_default()
    }

    fn stop(&mut self) {
        let Some(mut dtma) = self.dtma.take() else { return };
        // Its shims outlive it, and whoever finds them later is not their parent.
        self.left.extend(processes::below(dtma.id()));
        // It may have ended by itself.
        drop(dtma.kill());
        dtma.wait().unwrap();
    }
}

impl Drop for Host {
    #[expect(clippy::print_stderr, reason = "a test that failed says why")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        self.stop();
        let is_there = |left: &processes::Process| {
            processes::all().iter().any(|now| (now.pid, &now.arguments) == (left.pid, &left.arguments))
        };
        for process in self.left.iter().filter(|left| is_there(left)) {
            for child in processes::below(process.pid) {
                processes::kill(child.pid);
            }
            processes::kill(process.pid);
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn succeeded(output: &Output, words: &str) {
    let said = said(output);
    assert!(output.status.success() && said.contains(words), "{}: {said}", output.status);
}

#[track_caller]
fn failed(output: &Output, words: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(words), "no `{words}` in {said}");
}

fn environment(platform: &Platform, name: &str) -> Value {
    platform.json(&["env", "show", name])
}

#[track_caller]
fn until_active(platform: &Platform, name: &str) {
    wait::until("its first report", || {
        let environment = environment(platform, name);
        (environment["status"] == "active" && environment["message"].is_null()).then_some(())
    });
}

#[test]
fn a_pasted_line_makes_a_host_an_environment_once() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500"]);
    let line = platform.ok(&["env", "add", "host", "--name", "workshop"]);
    let line = line.trim();
    assert!(line.starts_with("curl -fsSL http") && line.lines().count() == 1, "{line}");
    let mut host = Host::new();
    succeeded(&host.paste(line), "✓ this host is the environment `workshop`\n");
    host.start();
    until_active(&platform, "workshop");
    platform.ok(&["deploy", "welcome", "--name", "far", "--env", "workshop", "--wait"]);
    assert_eq!(platform.ok(&["call", "far", "echo", r#"{"message":"hi"}"#]).trim(), "hi");

    // The same line again, here and on another host: it is used, and what is there stays.
    for again in [&host, &Host::new()] {
        failed(&again.paste(line), "this enrolment token was used already");
    }
    assert_eq!(platform.ok(&["call", "far", "echo", r#"{"message":"hi"}"#]).trim(), "hi");

    // Another environment's line is refused on this host, and is still good on the next.
    let other = platform.ok(&["env", "add", "host", "--name", "attic"]);
    failed(&host.paste(other.trim()), "this host is another environment already");
    succeeded(&Host::new().paste(other.trim()), "✓ this host is the environment `attic`\n");

    // Another line of the same environment makes its token anew: the host agent that runs is cut off until it starts again.
    let again = platform.ok(&["env", "enrol", "workshop"]);
    succeeded(&host.paste(again.trim()), "✓ this host is the environment `workshop` again\n");
    wait::until("the end of the old token", || host.log().contains("401").then_some(()));
    assert_eq!(environment(&platform, "workshop")["status"], "awaiting_heartbeat");
    host.start();
    until_active(&platform, "workshop");
    wait::until("a call through the new tunnel", || {
        platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]).status.success().then_some(())
    });

    // Revoked: it reports and is called no more.
    assert_eq!(platform.run(&["env", "revoke", "workshop"]).status.code(), Some(2), "it asks");
    platform.ok(&["env", "revoke", "workshop", "--yes"]);
    wait::until("the end of the token", || host.log().contains("401").then_some(()));
    failed(&platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]), "");
    let message = environment(&platform, "workshop")["message"].to_string();
    assert!(message.contains("was revoked: `berth env enrol workshop`"), "{message}");
}

/// The arguments that a line gives to the script.
fn arguments(line: &str) -> Vec<&str> {
    line.split_once(" -- ").unwrap().1.split(' ').collect()
}

/// A directory with these programs of this machine and no other.
fn programs(dir: &Path, names: &[&str]) -> PathBuf {
    let bin = dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in names {
        let found =
            ["/usr/bin", "/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
        symlink(
            found.unwrap_or_else(|| panic!("`{name}` is needed: apt-get install {name}")),
            bin.join(name),
        )
        .unwrap();
    }
    bin
}

#[test]
fn the_script_runs_nothing_that_it_was_not_promised() {
    let platform = Platform::start(BERTH);
    let made = platform.json(&["env", "add", "host", "--name", "workshop"]);
    let line = made["enrolment"]["command"].as_str().unwrap().to_owned();
    let good = arguments(&line);
    let fetched = Command::new("curl")
        .args(["-fsS", &format!("{}/enrol/install.sh", platform.url())])
        .output()
        .unwrap();
    let script = fetched.stdout;
    assert!(script.starts_with(b"#!/bin/sh\n"));
    let host = Host::new();

    // A download that was cut off: after each line, and within the last one.
    let ends = script.iter().enumerate().filter(|&(_, byte)| *byte == b'\n').map(|(at, _)| at);
    let last = script.len() - b"berth_enrol \"$@\"\n".len();
    for end in ends.filter(|&at| at < last).chain(last..script.len() - 1) {
        let output = host.script(&script[..end], &good);
        assert!(!said(&output).contains('✓') && !host.data().exists(), "{end}: {}", said(&output));
    }

    let replaced = |flag: &str, value: &'static str| {
        let at = good.iter().position(|word| *word == flag).unwrap() + 1;
        let mut arguments = good.clone();
        arguments[at] = value;
        arguments
    };
    let without = |flag: &str| {
        let at = good.iter().position(|word| *word == flag).unwrap();
        [&good[..at], &good[at + 2..]].concat()
    };
    let zeros = "0000000000000000000000000000000000000000000000000000000000000000";
    for (arguments, words) in [
        (replaced("--sha256", zeros), "is not the program that the line names; it was not run"),
        (replaced("--sha256", "x"), "is not the program that the line names; it was not run"),
        (replaced("--url", "http://127.0.0.1:1"), "http://127.0.0.1:1 gave no program"),
        (replaced("--token", "berth_enrol_guessed"), "this is no enrolment token, or no longer"),
        (replaced("--token", ""), "`--url`, `--sha256` and `--token` are all needed"),
        (without("--token"), "`--url`, `--sha256` and `--token` are all needed"),
        (without("--sha256"), "`--url`, `--sha256` and `--token` are all needed"),
        (vec!["--url"], "`--sha256` and `--token` are all needed"),
        ([&good[..], &["--now"]].concat(), "`--now` is nothing that this script knows"),
    ] {
        let output = host.script(&script, &arguments);
        failed(&output, words);
        assert!(!host.data().join("dtma/token").exists(), "{arguments:?}");
        let shown =
            arguments.iter().any(|word| word.starts_with("berth_enrol_") && said(&output).contains(word));
        assert!(!shown, "a token is in no message: {}", said(&output));
    }

    // Without curl, wget will do; without both it is said.
    let tools = ["sh", "id", "uname", "mktemp", "rm", "sha256sum", "chmod"];
    let run = |bin: &Path| {
        let path = host.dir.path().join("install.sh");
        std::fs::write(&path, &script).unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.arg(path).args(&good).args(["--no-service", "--data"]).arg(host.data()).env("PATH", bin);
        host.end(shell)
    };
    let (neither, wget) = (host.dir.path().join("neither"), host.dir.path().join("wget"));
    for dir in [&neither, &wget] {
        std::fs::create_dir(dir).unwrap();
    }
    failed(&run(&programs(&neither, &tools)), "neither `curl` nor `wget` is on this host");
    let wget = programs(&wget, &[&tools[..], &["wget"]].concat());
    // None of all these used the token up.
    succeeded(&run(&wget), "✓ this host is the environment `workshop`\n");
    let token = host.data().join("dtma/token");
    assert_eq!(token.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_machine_is_looked_at_before_anything_is_changed() {
    let platform = Platform::start(BERTH);
    let host = Host::new();
    let check = |url: &str| {
        let output = Command::new(BERTH)
            .args(["dtma", "check", "--json", "--control-url", url, "--data"])
            .arg(host.data())
            .output()
            .unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let of = |name: &str| checks.iter().find(|check| check["name"] == name).cloned();
        (of("control plane").unwrap()["verdict"].clone(), of("clock").map(|clock| clock["verdict"].clone()))
    };
    assert_eq!(check(platform.url()), ("ok".into(), Some("ok".into())));
    assert_eq!(check("http://127.0.0.1:1"), ("fail".into(), None));
    assert!(!host.data().exists());

    let token = host.dir.path().join("token");
    std::fs::write(&token, "berth_enrol_x").unwrap();
    for (url, code, words) in [
        ("http://127.0.0.1:1", 1, "the token is still good"),
        ("http://203.0.113.1:8420", 2, "would pass to http://203.0.113.1:8420 in clear"),
    ] {
        let output = Command::new(BERTH)
            .args(["dtma", "join", "--no-service", "--control-url", url, "--token-file"])
            .arg(&token)
            .arg("--data")
            .arg(host.data())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(!host.data().exists());
    }
}

#[test]
fn a_control_plane_that_no_authority_knows_is_known_by_its_key() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500", "--https-listen", "127.0.0.1:0"]);
    let line = platform.ok(&["env", "add", "host", "--name", "workshop"]);
    let line = line.trim();
    assert!(
        line.starts_with("curl -fsSL --insecure --pinnedpubkey sha256//") && !line.contains("http://"),
        "{line}"
    );

    // Another key: neither script nor program is taken, and no token is sent.
    let pin = arguments(line).iter().find(|word| word.starts_with("sha256//")).copied().unwrap().to_owned();
    let other = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mut host = Host::new();
    for times in [usize::MAX, 1] {
        let elsewhere = line.replacen(&pin, other, times);
        assert!(!said(&host.paste(&elsewhere)).contains('✓') && !host.data().exists());
    }
    let inner = line.rsplit_once(&pin).map(|(before, after)| format!("{before}{other}{after}")).unwrap();
    failed(&host.paste(&inner), "gave no program");
    assert!(!host.data().exists());

    succeeded(&host.paste(line), "✓ this host is the environment `workshop`\n");
    host.start();
    until_active(&platform, "workshop");
}

#[test]
fn a_host_that_is_dialled_says_itself_by_which_key_it_is_known() {
    let platform = Platform::start_with(BERTH, &["--heartbeat-ms", "500"]);
    let free = format!("127.0.0.1:{}", ports::free());
    let line = platform.ok(&["env", "add", "host", "--name", "near", "--address", &free]);
    let mut host = Host::new();
    succeeded(&host.paste(line.trim()), &format!("--listen {free} --tls"));
    host.start_with(&["--listen", &free, "--tls"]);
    until_active(&platform, "near");
    platform.ok(&["deploy", "welcome", "--name", "far", "--env", "near", "--wait"]);
    assert_eq!(platform.ok(&["call", "far", "echo", r#"{"message":"hi"}"#]).trim(), "hi");

    // Another key at that address is not spoken to, until the host is enrolled with it.
    host.stop();
    std::fs::remove_dir_all(host.data().join("dtma/tls")).unwrap();
    host.start_with(&["--listen", &free, "--tls"]);
    wait::until("a refusal", || {
        let call = platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]);
        (!call.status.success()).then_some(())
    });
    let line = platform.ok(&["env", "enrol", "near"]);
    succeeded(&host.paste(line.trim()), "`near` again");
    host.start_with(&["--listen", &free, "--tls"]);
    wait::until("a call with the new key", || {
        platform.run(&["call", "far", "echo", r#"{"message":"hi"}"#]).status.success().then_some(())
    });
}
