//! What is true of this machine, for [`domain::checks`] to judge. Thin: nothing is judged here, and what cannot be found out is
//! absent. Nothing waits for long, and nothing holds up what else this process does.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use domain::checks::{Check, Control, Distribution, Docker, Facts, Stage, judge};
use hop::tls::Pin;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::Config;
use crate::heartbeat;
use crate::proxy::Proxy;

/// Where an engine listens.
const ENGINE: &str = "/var/run/docker.sock";
/// How long it has to answer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);
/// How long a program has to say its version.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(5);
/// What was found is believed for so long: several who look at once start programs once.
const BELIEVED: Duration = Duration::from_secs(5);

/// What a running host agent finds on its own machine.
#[derive(Debug)]
pub(crate) struct Checks {
    control_url: Option<String>,
    pin: Option<Pin>,
    proxy: Option<Proxy>,
    data: PathBuf,
    /// The last look; held during one, so that there is one at a time.
    last: Mutex<Option<(Instant, Vec<Check>)>>,
}

impl Checks {
    /// Nothing is looked at yet.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            control_url: config.control_url.clone(),
            pin: config.tls_pin,
            proxy: config.proxy.clone(),
            data: config.data.clone(),
            last: Mutex::default(),
        }
    }

    /// What is found, a few seconds old at most.
    pub(crate) async fn look(&self) -> Vec<Check> {
        let mut last = self.last.lock().await;
        if let Some((at, checks)) = &*last
            && at.elapsed() < BELIEVED
        {
            return checks.clone();
        }
        let way = (self.pin, self.proxy.as_ref());
        let checks = judge(&gather(self.control_url.as_deref(), way, &self.data, Stage::Running).await);
        *last = Some((Instant::now(), checks.clone()));
        checks
    }
}

/// Looks at everything. `data` is where the data lies, or will.
pub async fn gather(
    control_url: Option<&str>,
    (pin, proxy): (Option<Pin>, Option<&Proxy>),
    data: &Path,
    stage: Stage,
) -> Facts {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let control = async {
        match control_url {
            Some(url) => Some(Control { url: url.to_owned(), ahead: ahead(url, pin, proxy, stage).await }),
            None => None,
        }
    };
    let (docker, node, npm, python, pip, nft, free_bytes, control) = tokio::join!(
        docker(),
        said("node", &["--version"]),
        said("npm", &["--version"]),
        said("python3", &["--version"]),
        said("python3", &["-m", "pip", "--version"]),
        said("nft", &["--version"]),
        free(data.to_owned()),
        control,
    );
    Facts {
        stage,
        system: text(names.sysname()),
        distribution: std::fs::read_to_string("/etc/os-release").ok().map(|text| distribution(&text)),
        architecture: text(names.machine()),
        kernel: text(names.release()),
        is_root: rustix::process::geteuid().is_root(),
        // Whatever keeps a host agent running that runs will do.
        has_systemd: (stage == Stage::Candidate).then(has_systemd),
        cgroups: cgroups(),
        docker,
        node: node.filter(|_| npm.is_some()),
        python: python.filter(|_| pip.is_some()),
        nft,
        free_bytes,
        proxy: proxy.map(|proxy| proxy.shown().to_owned()),
        control,
    }
}

/// Whether this host is run by systemd.
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").exists()
}

fn distribution(os_release: &str) -> Distribution {
    let value = |name: &str| {
        let found = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    Distribution { ids: format!("{} {}", value("ID"), value("ID_LIKE")), name: value("PRETTY_NAME") }
}

fn cgroups() -> Option<u8> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return Some(2);
    }
    root.join("memory").exists().then_some(1)
}

/// The first line that a program says; `None` when it is not there, says no, or nothing in time.
async fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let asked = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PROGRAM_PATIENCE, asked).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

async fn docker() -> Docker {
    if !Path::new(ENGINE).exists() {
        return Docker::Absent;
    }
    match timeout(ENGINE_PATIENCE, engine_version()).await {
        Ok(Ok(version)) => Docker::Version(version),
        Ok(Err(error)) => Docker::Silent(error.to_string()),
        Err(_elapsed) => Docker::Silent(format!("it said nothing for {} s", ENGINE_PATIENCE.as_secs())),
    }
}

/// Asked over HTTP/1.0, so that the answer ends with the connection.
async fn engine_version() -> io::Result<String> {
    let mut stream = UnixStream::connect(ENGINE).await?;
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let version = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|answer| answer.get("Version")?.as_str().map(ToOwned::to_owned));
    version.ok_or_else(|| io::Error::other("it does not say its version"))
}

/// Of the disk that holds the path, or will.
async fn free(path: PathBuf) -> Option<u64> {
    let asked = tokio::task::spawn_blocking(move || {
        let path = std::path::absolute(path).ok()?;
        let there = path.ancestors().find(|path| path.exists())?;
        let disk = rustix::fs::statvfs(there).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    });
    asked.await.ok().flatten()
}

/// By how many seconds this clock is ahead of a control plane's.
async fn ahead(
    url: &str,
    pin: Option<Pin>,
    proxy: Option<&Proxy>,
    stage: Stage,
) -> Result<Option<i64>, String> {
    let url = heartbeat::place(url, pin, "/healthz")?;
    let patience = match stage {
        Stage::Candidate => Duration::from_secs(10),
        // Whoever asks a host agent waits for all of its checks.
        Stage::Running => Duration::from_secs(5),
    };
    let client = heartbeat::http_client(&url, pin, proxy, |builder| match (stage, proxy) {
        // A host joins without the proxies of the shell that it is done in.
        (Stage::Candidate, None) => builder.no_proxy().timeout(patience),
        _ => builder.timeout(patience),
    })?;
    let sent = seconds(SystemTime::now());
    let response = client.get(url).send().await.map_err(|error| innermost(&error.without_url()))?;
    let received = seconds(SystemTime::now());
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let date = response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok());
    let theirs =
        date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp().as_second());
    // It was said between the two, cut to a second.
    Ok(theirs.map(|theirs| if theirs < sent { sent - theirs } else { (received - theirs).min(0) }))
}

/// The cause of all causes: the layers between say the same again, in the words of libraries.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::distribution;

    #[test]
    fn distributions() {
        for (text, ids, name) in [
            (
                "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\nPRETTY_NAME=\"Ubuntu 24.04 LTS\"\n",
                "ubuntu debian",
                "Ubuntu 24.04 LTS",
            ),
            ("ID=alpine\nPRETTY_NAME='Alpine Linux v3.20'", "alpine ", "Alpine Linux v3.20"),
            ("", " ", ""),
        ] {
            let found = distribution(text);
            assert_eq!((&*found.ids, &*found.name), (ids, name));
        }
    }
}
