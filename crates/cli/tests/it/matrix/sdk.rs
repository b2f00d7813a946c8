//! The SDKs that `cargo xtask parts` installed: their versions, directories of servers made with them, and the programs
//! that are their clients.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Outcome, STEPS};

/// Where Python must lie for a server in the sandbox, which sees the system's directories and its own.
const PYTHON: &str = "/usr/bin/python3";

/// What an SDK is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    TypeScript,
    Python,
}

/// An SDK in a directory of the parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sdk {
    pub(super) language: Language,
    /// The directory.
    pub(super) part: &'static str,
    /// The package that gives the SDK its version.
    pub(super) package: &'static str,
}

/// Where `cargo xtask parts` put everything.
pub(super) fn parts() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/parts");
    let dir = std::env::var_os("BERTH_PARTS").map_or(default, PathBuf::from);
    assert!(Path::new(PYTHON).exists(), "{PYTHON} is missing: apt-get install python3");
    assert!(dir.join("fastmcp").exists(), "the SDKs are missing: run `cargo xtask parts`");
    dir.canonicalize().expect("it is there")
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/matrix")
}

impl Sdk {
    /// The version that is installed.
    pub(super) fn version(self) -> String {
        let part = parts().join(self.part);
        match self.language {
            Language::TypeScript => {
                let manifest = part.join("node_modules").join(self.package).join("package.json");
                let text = fs::read_to_string(&manifest).expect("the package's manifest");
                let manifest: Value = serde_json::from_str(&text).expect("the manifest is JSON");
                manifest["version"].as_str().expect("it has a version").to_owned()
            }
            Language::Python => {
                let prefix = format!("{}-", self.package);
                let name = entries(&part).into_iter().find_map(|path| {
                    let name = path.file_name()?.to_str()?.strip_suffix(".dist-info")?;
                    name.strip_prefix(&prefix).map(str::to_owned)
                });
                name.expect("the package's metadata")
            }
        }
    }

    /// Makes `dir` a directory that can be deployed: the server `source`, the SDK, and what starts the one with the other.
    pub(super) fn server(self, source: &str, dir: &Path) {
        let part = parts().join(self.part);
        let source = sources().join("servers").join(source);
        fs::create_dir_all(dir).expect("a directory");
        match self.language {
            Language::TypeScript => {
                fs::copy(source, dir.join("main.mjs")).expect("the server is copied");
                let manifest = json!({"name": "server", "version": "1.0.0", "bin": {"server": "main.mjs"}});
                fs::write(dir.join("package.json"), manifest.to_string()).expect("a manifest");
                link(&part.join("node_modules"), &dir.join("node_modules"));
            }
            Language::Python => {
                fs::copy(source, dir.join("main.py")).expect("the server is copied");
                link(&part, &dir.join("lib"));
                let start = format!(
                    "#!/bin/sh\nhere=$(dirname \"$0\")\nPYTHONPATH=\"$here/lib\" exec {PYTHON} \"$here/main.py\"\n"
                );
                let file = dir.join("server");
                fs::write(&file, start).expect("what starts it");
                fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("it is executable");
            }
        }
    }

    /// Runs the client `source` against each address and reads what it prints. `dir` is where scripts of Node lie beside
    /// their modules.
    pub(super) fn client(
        self,
        source: &str,
        dir: &Path,
        token: &str,
        mode: &str,
        urls: &[String],
    ) -> Vec<Outcome> {
        let mut program = match self.language {
            Language::TypeScript => {
                let mut node = Command::new("node");
                node.arg(dir.join(self.part).join(source));
                node
            }
            Language::Python => {
                let mut python = Command::new(PYTHON);
                python.arg(sources().join("clients").join(source)).env("PYTHONPATH", parts().join(self.part));
                python.env("PYTHONDONTWRITEBYTECODE", "1");
                python
            }
        };
        program.args([token, mode]).args(urls);
        let output = program.output().unwrap_or_else(|error| panic!("{source}: {error}"));
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let all: Vec<Outcome> = out
            .lines()
            .map(|line| outcome(line).unwrap_or_else(|error| panic!("{source}: {error}: {out}\n{err}")))
            .collect();
        assert!(
            output.status.success() && all.len() == urls.len(),
            "{source}: {}: {out}\n{err}",
            output.status
        );
        all
    }

    /// Modules are looked up beside the script, so Node's clients are copied beside them.
    pub(super) fn copy_clients(self, dir: &Path) {
        if self.language == Language::TypeScript {
            let dir = dir.join(self.part);
            fs::create_dir_all(&dir).expect("a directory");
            std::os::unix::fs::symlink(
                parts().join(self.part).join("node_modules"),
                dir.join("node_modules"),
            )
            .expect("a link to the modules");
            for file in entries(&sources().join("clients")) {
                if file.extension().is_some_and(|extension| extension == "mjs") {
                    fs::copy(&file, dir.join(file.file_name().expect("a name"))).expect("it is copied");
                }
            }
        }
    }
}

/// A line of a client.
fn outcome(line: &str) -> anyhow::Result<Outcome> {
    let mut steps: BTreeMap<String, String> = serde_json::from_str(line)?;
    let revision = steps.remove("revision").context("no revision")?;
    let done: BTreeSet<&str> = steps.keys().map(String::as_str).collect();
    anyhow::ensure!(done == STEPS.map(|(name, _)| name).into(), "not every step was done");
    Ok(Outcome { steps, revision })
}

/// A copy without its bytes where the file system allows it.
fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in entries(from) {
        let target = to.join(entry.file_name().expect("a name"));
        let kind = fs::symlink_metadata(&entry).expect("it is there").file_type();
        if kind.is_dir() {
            link(&entry, &target);
        } else if kind.is_symlink() {
            let leads = fs::read_link(&entry).expect("a link");
            std::os::unix::fs::symlink(leads, target).expect("the same link");
        } else if fs::hard_link(&entry, &target).is_err() {
            fs::copy(&entry, &target).expect("it is copied");
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    read.map(|entry| entry.expect("an entry").path()).collect()
}
