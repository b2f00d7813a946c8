//! The pasted line on a machine that boots: from nothing to a service that reports. The control plane is on the same machine.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use testkit::docker::engine;
use testkit::systemd::Machine;
use testkit::wait;

use crate::{BERTH, SERVICE, program, text};

/// The control plane's data.
const DATA: &str = "/root/berth-data";

struct Control<'a> {
    machine: Machine<'a>,
    berth: String,
}

impl Control<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        self.machine.run(&[&[&*self.berth, "--data", DATA], arguments].concat())
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        self.machine.ok(&[&[&*self.berth, "--data", DATA], arguments].concat())
    }

    fn environment(&self) -> Value {
        serde_json::from_str(&self.ok(&["env", "show", "here", "--json"])).expect("JSON")
    }

    fn unit(&self, property: &str) -> String {
        self.machine.ok(&["systemctl", "show", "--value", "--property", property, SERVICE]).trim().to_owned()
    }

    /// Runs a line as its owner pastes it, to the first report.
    #[track_caller]
    fn paste(&self, line: &str) {
        let output = self.machine.run(&["sh", "-c", line.trim()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        for step in [
            "✓ fetched Berth's program",
            "✓ control plane: ",
            "✓ this host is the environment `here`",
            "✓ the host agent is a service of this host",
            "✓ the control plane took the first report of `here`",
        ] {
            assert!(said.contains(step), "no `{step}` in {said}");
        }
        wait::until("an environment that is well", || {
            let environment = self.environment();
            (environment["status"] == "active" && environment["message"].is_null()).then_some(())
        });
    }

    #[track_caller]
    fn says_hi(&self) {
        wait::until("a call through the tunnel", || {
            let output = self.run(&["call", "far", "echo", r#"{"message":"hi"}"#]);
            (output.status.success() && output.stdout == b"hi\n").then_some(())
        });
    }
}

#[test]
fn a_pasted_line_makes_a_machine_that_boots_an_environment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let berth = program(dir.path(), "berth", &std::fs::read(Path::new(BERTH)).expect("the binary"));
    let machine = Machine::boot(engine(), &[dir.path()]);
    let control = Control { machine, berth: text(&berth).to_owned() };
    let up = [&*control.berth, "up", "--data", DATA, "--runtime", "process", "--dtma-listen", "127.0.0.1:0"];
    control.machine.ok(&[&["systemd-run", "--quiet", "--unit=control"], &up[..]].concat());
    wait::until("a control plane", || control.run(&["whoami"]).status.success().then_some(()));

    let line = control.ok(&["env", "add", "host", "--name", "here"]);
    control.paste(&line);
    assert!(
        control.unit("ExecStart").contains(" --data /var/lib/berth ")
            && control.unit("ExecStart").contains("--tunnel")
    );
    control.ok(&["deploy", "welcome", "--name", "far", "--env", "here", "--wait"]);
    control.says_hi();
    // Nothing that runs has a one-time token among its arguments, and nothing is left of the download.
    let of_all = control.machine.ok(&["sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '"]);
    assert!(of_all.contains("dtma --service") && !of_all.contains("berth_enrol_"), "{of_all}");
    assert_eq!(control.machine.ok(&["sh", "-c", "ls -d /tmp/tmp.* 2>/dev/null || true"]), "");

    // Enrolled again: the service starts again with the new token, and what the owner chose for it stays.
    control.machine.ok(&[
        "berth",
        "dtma",
        "install",
        "--tunnel",
        "--runtime",
        "process",
        "--cleanup-at",
        "70",
    ]);
    let before = control.unit("MainPID");
    control.paste(&control.ok(&["env", "enrol", "here"]));
    assert_ne!(control.unit("MainPID"), before);
    let started = control.unit("ExecStart");
    assert!(started.contains(" --runtime process ") && started.contains(" --cleanup-at 70"), "{started}");
    control.says_hi();

    // Cut off, and brought back.
    control.ok(&["env", "revoke", "here", "--yes"]);
    assert!(control.environment()["message"].to_string().contains("was revoked"));
    control.paste(&control.ok(&["env", "enrol", "here"]));
    control.says_hi();
}
