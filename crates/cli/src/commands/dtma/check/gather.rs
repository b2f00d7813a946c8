//! What is true of this machine. Thin: nothing is judged here, and what cannot be found out is absent.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use dtma::Proxy;
use hop::tls::Pin;

use super::judge::{Control, Distribution, Docker, Facts};
use crate::client::http_client_through;
use crate::service;

/// Where an engine listens.
const ENGINE: &str = "/var/run/docker.sock";
/// How long it has to answer.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);
/// How long a control plane has to answer.
const CONTROL_PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything. `data` is where the data will lie.
pub(in super::super) async fn gather(
    control_url: Option<&str>,
    (pin, proxy): (Option<Pin>, Option<&Proxy>),
    data: &Path,
) -> Facts {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    Facts {
        system: text(names.sysname()),
        distribution: std::fs::read_to_string("/etc/os-release").ok().map(|text| distribution(&text)),
        architecture: text(names.machine()),
        kernel: text(names.release()),
        is_root: rustix::process::geteuid().is_root(),
        has_systemd: Some(service::has_systemd()),
        cgroups: cgroups(),
        docker: docker(),
        node: said("node", &["--version"]).filter(|_| said("npm", &["--version"]).is_some()),
        python: said("python3", &["--version"])
            .filter(|_| said("python3", &["-m", "pip", "--version"]).is_some()),
        nft: said("nft", &["--version"]),
        free_bytes: free(data),
        proxy: proxy.map(|proxy| proxy.shown().to_owned()),
        control: match control_url {
            Some(url) => Some(Control { url: url.to_owned(), ahead: ahead(url, pin, proxy).await }),
            None => None,
        },
    }
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

/// The first line that a program says; `None` when it is not there or says no.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn docker() -> Docker {
    if !Path::new(ENGINE).exists() {
        return Docker::Absent;
    }
    match engine_version() {
        Ok(version) => Docker::Version(version),
        Err(error) => Docker::Silent(error.to_string()),
    }
}

/// Asked over HTTP/1.0, so that the answer ends with the connection.
fn engine_version() -> io::Result<String> {
    let mut stream = UnixStream::connect(ENGINE)?;
    stream.set_read_timeout(Some(ENGINE_PATIENCE))?;
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let version = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|answer| answer.get("Version")?.as_str().map(ToOwned::to_owned));
    version.ok_or_else(|| io::Error::other("it does not say its version"))
}

/// Of the disk that holds the path, or will.
fn free(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// By how many seconds this clock is ahead of a control plane's.
async fn ahead(url: &str, pin: Option<Pin>, proxy: Option<&Proxy>) -> Result<Option<i64>, String> {
    let client = http_client_through(url, pin, proxy).map_err(|error| error.to_string())?;
    let asked = client.get(format!("{}/healthz", url.trim_end_matches('/'))).timeout(CONTROL_PATIENCE);
    let sent = seconds(SystemTime::now());
    let response = asked.send().await.map_err(|error| crate::client::innermost(&error.without_url()))?;
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
