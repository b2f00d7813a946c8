//! A whole Berth in a temporary directory.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::load::Target;
use crate::processes::{self, Process};

const PATIENCE: Duration = Duration::from_mins(3);

/// `berth up`, ended when dropped.
pub(crate) struct Platform {
    dir: tempfile::TempDir,
    up: Child,
    url: String,
    token: String,
}

impl Platform {
    /// Starts it; `reach` is how the gateway finds shims, `socket` or `dtma`.
    pub(crate) fn start(reach: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let up = Command::new(berth()?)
            .args([
                "up",
                "--listen",
                "127.0.0.1:0",
                "--dtma-listen",
                "127.0.0.1:0",
                "--reach",
                reach,
                "--data",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("`berth up` could not be started")?;
        let mut platform = Self { dir, up, url: String::new(), token: String::new() };
        let deadline = Instant::now() + PATIENCE;
        let file = data.join("client.toml");
        while !file.exists() {
            platform.still_there(deadline)?;
        }
        let client: toml::Table = std::fs::read_to_string(&file)?.parse()?;
        let field = |name: &str| client.get(name).and_then(toml::Value::as_str).map(str::to_owned);
        platform.url = field("url").context("client.toml has no url")?;
        platform.token = field("token").context("client.toml has no token")?;
        while !platform.is_running("welcome") {
            platform.still_there(deadline)?;
        }
        Ok(platform)
    }

    fn still_there(&mut self, deadline: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.up.try_wait()? {
            bail!("`berth up` ended: {status}");
        }
        if deadline < Instant::now() {
            bail!("`berth up` is not ready after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    /// Whether `berth list` says so.
    pub(crate) fn is_running(&self, name: &str) -> bool {
        let Ok(output) = self.command(&["list", "--json"]) else { return false };
        let list: serde_json::Value = serde_json::from_slice(&output).unwrap_or_default();
        list.as_array().into_iter().flatten().any(|item| item["name"] == name && item["status"] == "running")
    }

    /// Runs a `berth` command to its end and gives its standard output.
    pub(crate) fn command(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = Command::new(berth()?)
            .args(arguments)
            .env("BERTH_URL", &self.url)
            .env("BERTH_TOKEN", &self.token)
            .current_dir(self.dir.path())
            .output()?;
        if !output.status.success() {
            bail!("`berth {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    }

    /// Where calls of an instance go.
    pub(crate) fn target(&self, instance: &str) -> anyhow::Result<Target> {
        let host = self.url.strip_prefix("http://").context("not a plain address")?.trim_end_matches('/');
        Ok(Target {
            address: crate::reference::address(host)?,
            path: format!("/mcp/default/{instance}"),
            token: Some(self.token.clone()),
        })
    }

    /// Everything below `berth up`, and `berth up` itself not.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<Process>> {
        processes::below(self.up.id())
    }

    /// Where installed packages lie.
    pub(crate) fn packages(&self) -> PathBuf {
        self.dir.path().join("data/dtma/packages")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // SIGTERM lets it stop its servers; whatever is left after that has lost its parent and its directory.
        let pid = i32::try_from(self.up.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _already_gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        drop(self.up.wait());
    }
}

/// The binary that was built beside this program.
pub(crate) fn berth() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.parent().unwrap_or(Path::new(".")).join("berth");
    if !path.exists() {
        bail!("{} is not built: use `cargo xtask bench`", path.display());
    }
    Ok(path)
}
