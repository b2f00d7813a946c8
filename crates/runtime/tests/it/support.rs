//! A runtime in a temporary directory, with the helper binary that cargo built beside the tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use domain::ids::InstanceId;
use domain::secret::Secret;
use domain::spec::{DesiredState, InstanceSpec, Launch, Limits};
use runtime::Prepared;
use runtime::layout::Layout;
use runtime::process::ProcessRuntime;
use runtime::sandbox::policy::{Policy, ResourceLimits, system_paths};
use runtime::sandbox::probe::{Probe, probe};
use tempfile::TempDir;

/// A runtime and the directory that goes with it.
pub(crate) struct Host {
    pub(crate) runtime: ProcessRuntime,
    pub(crate) data: TempDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::new(&data.path().join("dtma")).unwrap();
        Self { runtime: ProcessRuntime::new(layout, &helper()).unwrap(), data }
    }

    /// The same data, opened anew.
    pub(crate) fn restarted(self) -> Self {
        let layout = self.runtime.layout().clone();
        Self { runtime: ProcessRuntime::new(layout, &helper()).unwrap(), data: self.data }
    }
}

/// `examples/sandboxed.rs`, which cargo builds with the tests.
pub(crate) fn helper() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let helper = tests.parent().unwrap().parent().unwrap().join("examples/sandboxed");
    assert!(helper.is_file(), "{} is built with the tests", helper.display());
    helper
}

pub(crate) fn spec(package: &str, launch: Launch) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId::generate(),
        account: "acme".parse().unwrap(),
        name: "server".parse().unwrap(),
        generation: 1,
        desired: DesiredState::Running,
        restarts_asked: 0,
        package: package.parse().unwrap(),
        launch,
        env: [].into(),
        secrets: [].into(),
        registry: None,
        limits: Limits::default(),
        lease_seconds: None,
        key: Secret::new("key"),
    }
}

/// What the runtime makes for an instance, without its paths.
pub(crate) fn policy(work: &Path, prepared: &Prepared) -> Policy {
    let Probe { enforce, .. } = probe(&helper()).unwrap();
    let uid = enforce.own_uid.then_some(1_234_567);
    std::fs::create_dir_all(work).unwrap();
    if let Some(uid) = uid {
        std::os::unix::fs::chown(work, Some(uid), Some(uid)).unwrap();
    }
    let mut read = system_paths();
    read.extend(prepared.read.iter().cloned());
    Policy {
        enforce,
        uid,
        read,
        write: vec![work.to_owned()],
        copy: Vec::new(),
        cwd: work.to_owned(),
        limits: ResourceLimits { processes: Some(512), open_files: Some(1024), data_bytes: None },
        no_network: false,
    }
}

/// A sandboxed server, spoken to over its standard streams. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Server {
    pub(crate) fn start(policy: &Policy, prepared: &Prepared, args: &[&str]) -> Self {
        let mut child = Command::new(helper())
            .args(["__sandbox", &serde_json::to_string(policy).unwrap(), "--"])
            .args(&prepared.command)
            .args(args)
            .env_clear()
            .envs(&prepared.env)
            .env("HOME", &policy.cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Sends `initialize`; the server's answer.
    pub(crate) fn initialize(&mut self) -> serde_json::Value {
        let request = serde_json::json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "test", "version": "0"},
            },
        });
        let mut input = self.child.stdin.as_ref().unwrap();
        writeln!(input, "{request}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
