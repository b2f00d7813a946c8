//! Runs one installer in the sandbox, with the network, and tells what it says.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::config::HostConfig;
use crate::error::RuntimeError;
use crate::identity;
use crate::process::{give, sandboxed, text};
use crate::sandbox::policy::{Enforce, Policy, ResourceLimits, system_paths};

/// How long an install may take in all.
const LONGEST: Duration = Duration::from_mins(10);
/// The last lines that are kept, and the longest of them in bytes.
const KEPT_LINES: usize = 200;
const LONGEST_LINE: usize = 4096;
/// What is shown of an installer's last words, in bytes.
const SHOWN: usize = 800;

/// A disk with less room than this is full, in bytes.
const FULL: u64 = 1 << 20;

fn is_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < FULL)
}

/// Runs installers for one install.
pub(super) struct Installer<'a> {
    pub(super) berth: &'a Path,
    pub(super) enforce: Enforce,
    /// Variables over those of the host: which way its registries are reached.
    pub(super) fetching: Option<&'a BTreeMap<String, String>>,
    /// The only directory that an installer writes.
    pub(super) staging: &'a Path,
}

/// One installer's run.
pub(super) struct Run {
    pub(super) program: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    /// What it reads beyond the system's directories.
    pub(super) read: Vec<PathBuf>,
}

/// How an installer ended.
pub(super) struct Outcome {
    pub(super) succeeded: bool,
    /// Its last lines on both streams.
    lines: VecDeque<String>,
}

impl Installer<'_> {
    /// Runs it to its end; `on_line` sees each line.
    pub(super) async fn run(
        &self,
        package: &str,
        run: Run,
        config: HostConfig,
        on_line: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Outcome, RuntimeError> {
        let uid =
            self.enforce.own_uid.then(|| identity::proposal(self.staging.as_os_str().as_encoded_bytes()));
        if let Some(uid) = uid {
            give(self.staging, uid)?;
        }
        let mut read = system_paths();
        read.extend(run.read);
        read.extend(config.read);
        let policy = Policy {
            enforce: self.enforce,
            uid,
            read,
            write: vec![self.staging.to_owned()],
            copy: config.copy,
            cwd: self.staging.join("tree"),
            limits: ResourceLimits { processes: Some(1024), open_files: Some(65_536), data_bytes: None },
            no_network: false,
        };
        let mut command = sandboxed(self.berth, &policy)?;
        command.extend(run.program);
        let (program, args) = command.split_first().unwrap_or_else(|| unreachable!("a helper is in front"));
        let mut env = config.env;
        env.extend(self.fetching.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        env.extend(run.env);
        env.insert("TMPDIR".to_owned(), text(&self.staging.join("tmp")));
        env.insert("LANG".to_owned(), "C.UTF-8".to_owned());
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(env)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // The helper's death is the death of all it started.
            .kill_on_drop(true)
            .spawn()
            .map_err(RuntimeError::io("start", self.berth))?;

        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let lines = std::sync::Mutex::new(VecDeque::new());
        let keep = |line: &str| {
            let line = &*self.redacted(line);
            on_line(line);
            let mut lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line.to_owned());
        };
        let ended = tokio::time::timeout(LONGEST, async {
            let (status, (), ()) =
                tokio::join!(child.wait(), each_line(stdout, &keep), each_line(stderr, &keep));
            status
        })
        .await;
        let outcome = |succeeded| Outcome {
            succeeded,
            lines: lines.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner),
        };
        match ended {
            Ok(Ok(status)) => {
                let outcome = outcome(status.success());
                // An installer that cannot write its own log says nothing of the kind.
                let is_full = || {
                    outcome.says(&["ENOSPC", "EDQUOT", "No space left on device"]) || is_full(self.staging)
                };
                if !outcome.succeeded && is_full() {
                    return Err(RuntimeError::NoSpace { path: self.staging.to_owned() });
                }
                Ok(outcome)
            }
            Ok(Err(error)) => Err(RuntimeError::io("wait for", self.berth)(error)),
            Err(_) => {
                // It is gone before its directory is.
                if let Err(error) = child.kill().await {
                    tracing::warn!(%error, package, "an installer could not be killed");
                }
                Err(RuntimeError::TimedOut {
                    package: package.to_owned(),
                    minutes: LONGEST.as_secs() / 60,
                    detail: outcome(false).last_words(""),
                })
            }
        }
    }
}

impl Installer<'_> {
    /// A line without the address of a proxy, which may hold a password: what an installer says is shown to people.
    fn redacted<'l>(&self, line: &'l str) -> Cow<'l, str> {
        let secrets =
            self.fetching.into_iter().flat_map(BTreeMap::values).filter(|value| value.contains('@'));
        secrets.fold(Cow::Borrowed(line), |line, secret| {
            if line.contains(secret.as_str()) {
                Cow::Owned(line.replace(secret, "(the proxy)"))
            } else {
                line
            }
        })
    }
}

impl Outcome {
    /// Whether any line holds any of the texts.
    pub(super) fn says(&self, any: &[&str]) -> bool {
        self.find(any).is_some()
    }

    /// The first line that holds any of the texts.
    pub(super) fn find(&self, any: &[&str]) -> Option<&str> {
        self.lines.iter().map(String::as_str).find(|line| any.iter().any(|text| line.contains(text)))
    }

    /// The last lines that begin with `prefix`, without it, or all when none does; bounded.
    pub(super) fn last_words(&self, prefix: &str) -> String {
        let marked = |line: &&String| line.starts_with(prefix);
        // pip marks only the first line of its own crash, and the cause is the last.
        let crashed = self.says(&["ERROR: Exception:"]);
        let any = !crashed && self.lines.iter().any(|line| marked(&line));
        let lines = self.lines.iter().filter(|line| !any || marked(line));
        let mut words: Vec<&str> = Vec::new();
        let mut size = 0;
        for line in lines.rev() {
            let line = line.strip_prefix(prefix).unwrap_or(line).trim();
            size += line.len();
            if SHOWN < size && !words.is_empty() {
                break;
            }
            if !line.is_empty() {
                words.push(line);
            }
        }
        words.reverse();
        let text = words.join("; ");
        if text.is_empty() { "it said nothing".to_owned() } else { text.chars().take(SHOWN * 2).collect() }
    }
}

/// Calls `keep` with each line; a line that never ends is cut, and a stream that cannot be read has ended.
async fn each_line(stream: Option<impl AsyncRead + Unpin>, keep: &(dyn Fn(&str) + Send + Sync)) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; 8192];
    let mut line: Vec<u8> = Vec::new();
    let flush = |line: &mut Vec<u8>| {
        if !line.is_empty() {
            keep(&String::from_utf8_lossy(line));
            line.clear();
        }
    };
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        for &byte in &chunk[..length] {
            if matches!(byte, b'\n' | b'\r') {
                flush(&mut line);
            } else if line.len() < LONGEST_LINE {
                line.push(byte);
            }
        }
    }
    flush(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_password_is_in_no_line() {
        let proxy = "http://me:hunter2@proxy:3128";
        let fetching = BTreeMap::from([("https_proxy".to_owned(), proxy.to_owned())]);
        let berth = Path::new("/berth");
        let installer =
            Installer { berth, enforce: Enforce::default(), staging: berth, fetching: Some(&fetching) };
        let check = |line: &str, expected: &str| assert_eq!(installer.redacted(line), expected);
        check(&format!("cannot reach {proxy}, {proxy}"), "cannot reach (the proxy), (the proxy)");
        check("npm error code E404", "npm error code E404");
    }
}
