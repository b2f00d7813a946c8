//! Putting one binary in the place of another under a running service, and taking that back when it does not work.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hop::tls::Pin;

use super::systemctl::show;
use super::{Place, Programs, SERVICE, systemctl};
use crate::client::http_client;
use crate::error::CliError;
use crate::output::Output;

/// How long a binary has to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// How long a service has to serve, unless said otherwise.
pub(crate) const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
/// The property that differs between two starts of a unit.
const INVOCATION: &str = "InvocationID";
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// Whether it is a binary of Berth's that starts here; its version.
///
/// # Errors
/// What it did instead of saying it.
pub(crate) fn check_version(program: &Path) -> Result<String, CliError> {
    let cannot = |what: String| CliError::failed(what).with_hint("nothing was changed");
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| cannot(format!("the new binary cannot be started: {e}")))?;
    let deadline = Instant::now() + VERSION_LIMIT;
    let status = loop {
        match child.try_wait().map_err(|e| CliError::because("cannot wait for the new binary", e))? {
            Some(status) => break status,
            None if deadline < Instant::now() => {
                // It may have ended just now, which is as well.
                let _ = child.kill();
                let _ = child.wait();
                return Err(cannot(format!(
                    "the new binary did not say its version in {} seconds",
                    VERSION_LIMIT.as_secs()
                )));
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut said).map_err(|e| cannot(format!("the new binary says no text: {e}")))?;
    }
    match said.trim().strip_prefix("berth ") {
        Some(version) if status.success() => Ok(version.to_owned()),
        _ => Err(cannot(format!("the new binary is none of Berth's: `--version` ended with {status}"))),
    }
}

/// Makes `new` what the service runs. The socket stays systemd's all the while.
///
/// # Errors
/// When it did not serve in time and the one before was brought back, or even that failed.
pub(crate) fn switch(
    programs: &Programs,
    (new, before): (&str, &str),
    place: Place,
    within: Duration,
    output: Output,
) -> Result<(), CliError> {
    let way_back = programs.previous();
    programs.make_previous(before)?;
    programs.make_current(new)?;
    let failure = match restart(programs, new, place, within) {
        Ok(()) => return Ok(()),
        Err(failure) => failure,
    };
    output.warn(&format!("the new binary does not work ({failure}); bringing back the one before"));
    programs.make_current(before)?;
    if let Some(way_back) = way_back {
        programs.make_previous(&way_back)?;
    }
    let back = restart(programs, before, place, within.max(DEFAULT_LIMIT));
    let hint = format!("`journalctl --unit {SERVICE}` has its last words");
    Err(match back {
        Ok(()) => CliError::failed(format!(
            "the new binary did not serve and was taken back ({failure}); the one before serves again"
        )),
        Err(error) => CliError::because(
            format!("the new binary did not serve ({failure}), and neither does the one before"),
            error,
        ),
    }
    .with_hint(hint))
}

fn restart(programs: &Programs, name: &str, place: Place, within: Duration) -> Result<(), CliError> {
    let earlier = show(SERVICE, INVOCATION)?.remove(INVOCATION);
    // Not waited for: one that never says that it is ready would be waited for too long.
    systemctl(&["restart", "--no-block", SERVICE])?;
    wait(&programs.path(name), place, within, earlier.as_deref())
}

/// Waits until the service runs this very binary and answers.
///
/// # Errors
/// When it ends before that, or takes too long.
pub(crate) fn wait_until_it_serves(program: &Path, place: Place, within: Duration) -> Result<(), CliError> {
    wait(program, place, within, None)
}

/// As [`wait_until_it_serves`]; `earlier` is the start before: until systemd begins the one that it was asked for, it goes on to say how that
/// one ended.
fn wait(program: &Path, place: Place, within: Duration, earlier: Option<&str>) -> Result<(), CliError> {
    let program = program.canonicalize().map_err(|e| CliError::because("cannot find the binary", e))?;
    let deadline = Instant::now() + within;
    loop {
        let state = show(SERVICE, "ActiveState,SubState,MainPID,ExecMainStatus,InvocationID")?;
        let is = |name: &str, value: &str| state.get(name).is_some_and(|found| found == value);
        let pid = state.get("MainPID").map_or("0", String::as_str);
        let runs_it = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
        if is("ActiveState", "active") && runs_it && is_healthy(place) {
            return Ok(());
        }
        let has_begun = earlier.is_none() || state.get(INVOCATION).map(String::as_str) != earlier;
        if has_begun && (is("ActiveState", "failed") || is("SubState", "auto-restart")) {
            let status = state.get("ExecMainStatus").map_or("unknown", String::as_str);
            return Err(CliError::failed(format!("it ended with status {status} before it served")));
        }
        if deadline < Instant::now() {
            return Err(CliError::failed(format!("it did not serve within {} seconds", within.as_secs())));
        }
        std::thread::sleep(LOOK);
    }
}

fn is_healthy(place: Place) -> bool {
    if let Some(pin) = place.pin {
        return is_healthy_over_tls(place.address, pin);
    }
    let asked = || -> std::io::Result<bool> {
        let limit = Duration::from_secs(2);
        let mut stream = TcpStream::connect_timeout(&place.address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: dtma\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head == *b"HTTP/1.1 200")
    };
    // Whatever is wrong, it is asked again until its time is over.
    asked().unwrap_or(false)
}

fn is_healthy_over_tls(address: SocketAddr, pin: Pin) -> bool {
    let url = format!("https://{address}");
    let asked = || -> Option<bool> {
        let client = http_client(&url, Some(pin)).ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let asked = client.get(format!("{url}/health")).timeout(Duration::from_secs(2));
        // Made within the runtime, because its time limit needs one.
        runtime.block_on(async { asked.send().await }).ok().map(|answer| answer.status().is_success())
    };
    // On a thread of its own, because this one may drive a runtime.
    std::thread::scope(|scope| scope.spawn(asked).join()).ok().flatten().unwrap_or(false)
}
