//! The official conformance suite against one MCP address or one client, and what came of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// What the suite checks: the frozen requirements of a revision, or everything that applies to one that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `--requirements`.
    Requirements(&'static str),
    /// `--suite all --spec-version`.
    Everything(&'static str),
}

impl Wire {
    /// The revision.
    pub fn revision(self) -> &'static str {
        match self {
            Self::Requirements(revision) | Self::Everything(revision) => revision,
        }
    }
}

/// The file of scenarios that fail, and why each does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// One for each.
    #[serde(default)]
    pub failing: Vec<Failing>,
}

/// Some scenarios of one run that fail for one reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// The runs, each a backend and a revision such as `stdio legacy 2026-07-28`.
    pub runs: Vec<String>,
    /// The scenarios' names.
    pub scenarios: Vec<String>,
    /// Why.
    pub reason: String,
}

/// Runs the suite; for each scenario its checks that passed and that failed.
///
/// # Panics
/// When the suite is not installed, or says nothing.
pub fn run(url: &str, wire: Wire) -> BTreeMap<String, (u32, u32)> {
    suite(&["server", "--url", url], wire)
}

/// Runs the suite against a client, which is started with the address of each scenario's server as its last argument.
///
/// # Panics
/// As [`run`].
pub fn run_client(program: &Path, wire: Wire) -> BTreeMap<String, (u32, u32)> {
    suite(&["client", "--command", &program.display().to_string()], wire)
}

/// The suite for authorization servers: it prints the address at which a person decides, and comes back to `port` of this machine.
/// It succeeds when every scenario passes.
///
/// # Panics
/// When the suite is not installed.
pub fn authorization(issuer: &str, client: &str, resource: &str, port: u16) -> Command {
    let suite = parts().join("conformance/node_modules");
    let mut command = Command::new(node(&suite));
    command
        .arg(suite.join("@modelcontextprotocol/conformance/dist/index.js"))
        .args(["authorization", "--url", issuer, "--client-id", client, "--resource", resource])
        .args(["-p", &port.to_string()])
        .env("NO_COLOR", "1");
    command
}

fn suite(what: &[&str], wire: Wire) -> BTreeMap<String, (u32, u32)> {
    let suite = parts().join("conformance/node_modules");
    let mut command = Command::new(node(&suite));
    command
        .arg(suite.join("@modelcontextprotocol/conformance/dist/index.js"))
        .args(what)
        .args(match wire {
            Wire::Requirements(revision) => ["--requirements", revision].to_vec(),
            Wire::Everything(revision) => ["--suite", "all", "--spec-version", revision].to_vec(),
        })
        .env("NO_COLOR", "1");
    let results = tempfile::tempdir().expect("a temporary directory");
    command.arg("-o").arg(results.path());
    let output = command.output().expect("node starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = text.split_once("SUMMARY ===").map(|(_, summary)| summary);
    let seen = summary.map(scenarios).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!seen.is_empty(), "the suite gave no summary: {}\n{text}\n{errors}", output.status);
    for (name, (_, failed)) in &seen {
        if 0 < *failed {
            print_failed(results.path(), what[0], name);
        }
    }
    seen
}

/// Compares the scenarios that failed with those that are expected to; what is wrong, in words, if anything is.
pub fn compare(run: &str, seen: &BTreeMap<String, (u32, u32)>, expected: &Expected) -> Option<String> {
    let listed: Vec<&str> = expected
        .failing
        .iter()
        .filter(|failing| failing.runs.iter().any(|name| name == run))
        .flat_map(|failing| failing.scenarios.iter().map(String::as_str))
        .collect();
    let failed: Vec<&str> =
        seen.iter().filter(|(_, (_, failed))| 0 < *failed).map(|(name, _)| name.as_str()).collect();
    let new: Vec<_> = failed.iter().filter(|name| !listed.contains(name)).collect();
    let mended: Vec<_> = listed.iter().filter(|name| !failed.contains(name)).collect();
    let (passed, wrong) = seen.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    eprintln!("{run}: {passed} checks passed, {wrong} failed");
    (!new.is_empty() || !mended.is_empty())
        .then(|| format!("{run}: fail and are not listed: {new:?}; are listed and pass: {mended:?}"))
}

/// Reads the file of expected failures.
///
/// # Panics
/// When it is not there or not as it should be.
pub fn expected(file: &Path) -> Expected {
    let text = std::fs::read_to_string(file).expect("the file of expected failures");
    toml::from_str(&text).expect("the file of expected failures is TOML")
}

/// Where `cargo xtask parts` put the suite, and what else tests need.
///
/// # Panics
/// When it was not run.
pub fn parts() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
    let dir = std::env::var_os("BERTH_PARTS").map_or(default, PathBuf::from);
    assert!(dir.join("conformance").exists(), "the conformance suite is missing: run `cargo xtask parts`");
    dir
}

/// The suite needs Node 22, which is newer than what distributions have; it is installed beside it.
///
/// # Panics
/// When it is not there.
pub fn node(suite: &Path) -> PathBuf {
    let found = std::fs::read_dir(suite).expect("the suite's directory").flatten().find_map(|entry| {
        let is_node = entry.file_name().to_string_lossy().starts_with("node-linux-");
        is_node.then(|| entry.path().join("bin/node"))
    });
    found.expect("Node beside the suite: run `cargo xtask parts`")
}

/// What failed in a scenario, in the suite's words. Whoever reads a failed test wants them.
fn print_failed(results: &Path, side: &str, scenario: &str) {
    // The suite puts the time of the run after the name, and a client's `auth/…` into a directory.
    let path = if side == "server" { format!("server-{scenario}-2") } else { format!("{scenario}-2") };
    let (dir, prefix) = path.rsplit_once('/').unwrap_or(("", &path));
    let Ok(found) = std::fs::read_dir(results.join(dir)) else { return };
    let found = found.flatten();
    for entry in found.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let text = std::fs::read_to_string(entry.path().join("checks.json")).unwrap_or_default();
        let checks: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        for check in checks.iter().filter(|check| check["status"] == "FAILURE") {
            let message = check["errorMessage"].as_str().unwrap_or_default();
            eprintln!("  {scenario}: {}: {message}", check["id"].as_str().unwrap_or_default());
        }
    }
}

/// Lines such as `✓ ping: 2 passed, 0 failed`, up to the total.
fn scenarios(summary: &str) -> BTreeMap<String, (u32, u32)> {
    let line = |line: &str| {
        let (_, rest) = line.trim().split_once(' ')?;
        let (name, counts) = rest.split_once(": ")?;
        let (passed, failed) = counts.split_once(" passed, ")?;
        let failed = failed.split(' ').next()?;
        Some((name.to_owned(), (passed.parse().ok()?, failed.parse().ok()?)))
    };
    summary.lines().take_while(|line| !line.starts_with("Total")).filter_map(line).collect()
}
