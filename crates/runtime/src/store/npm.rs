//! npm packages: `npm install` of one package into a directory of its own, without the packages' own scripts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::package::Package;
use domain::status::Progress;
use serde::Deserialize;
use serde_json::json;

use super::install::{Installer, Outcome, Run};
use super::{Installed, Record, Request, config, search_path};
use crate::error::RuntimeError;
use crate::interpreter::{self, Node};
use crate::process::text;
use crate::{OnProgress, Prepared};

const REGISTRY: &str = "npm";
/// The largest manifest or lock that is read, in bytes.
const MAX_MANIFEST: u64 = 32 << 20;

pub(super) async fn install(
    installer: &Installer<'_>,
    node: &Node,
    request: &Request,
    progress: OnProgress<'_>,
) -> Result<Installed, RuntimeError> {
    let name = request.package.name();
    let tree = installer.staging.join("tree");
    let manifest = json!({
        "private": true,
        "dependencies": { name: request.package.version().unwrap_or("latest") },
        "overrides": overrides(name, &request.constraints)?,
    });
    let path = tree.join("package.json");
    fs::write(&path, manifest.to_string()).map_err(RuntimeError::io("write", path))?;

    let mut program = vec![text(&node.program), text(&node.npm)];
    program.extend(
        ["install", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--omit=dev"]
            .map(str::to_owned),
    );
    program.extend(["--package-lock=true", "--lockfile-version=3", "--loglevel=http"].map(str::to_owned));
    program.push(format!("--ignore-scripts={}", !request.install_scripts));
    program.push(format!("--cache={}", text(&installer.staging.join("cache"))));
    let mut read = interpreter::parts_of(&node.program);
    read.extend(node.npm.parent().and_then(Path::parent).map(Path::to_owned));
    let run = Run {
        program,
        env: BTreeMap::from([(
            "PATH".to_owned(),
            format!("{}:/usr/local/bin:/usr/bin:/bin", search_path(&node.program)),
        )]),
        read,
    };
    let fetched = AtomicUsize::new(0);
    let on_line = |line: &str| {
        if line.starts_with("npm http fetch GET 200") {
            let count = fetched.fetch_add(1, Ordering::Relaxed) + 1;
            progress(Progress { step: format!("downloading ({count} files)"), percent: None });
        } else if line.starts_with("added ") {
            progress(Progress { step: line.to_owned(), percent: None });
        }
    };
    let outcome = installer.run(name, run, config::npm(&node.program), &on_line).await?;
    if !outcome.succeeded {
        return Err(refusal(&request.package, &outcome));
    }
    let (version, lock) = read_lock(&tree, name)?;
    let own = Path::new("node_modules").join(name);
    Ok(Installed { version: Some(version), lock, executables: executables(&tree, &own, name)? })
}

/// How the installed package is started: by its own executable, with Node when that is what it is for.
pub(super) fn prepared(node: &Node, tree: &Path, executable: &Path, record: &Record) -> Prepared {
    let file = tree.join(executable);
    let mut command = Vec::new();
    if is_for_node(&file) {
        command.push(text(&node.program));
    }
    command.push(text(&file));
    let mut read = interpreter::parts_of(&node.program);
    read.push(tree.to_owned());
    Prepared {
        version: record.version.clone(),
        digest: Some(record.digest.clone()),
        command,
        read,
        env: BTreeMap::from([
            ("PATH".to_owned(), search_path(&node.program)),
            ("NODE_ENV".to_owned(), "production".to_owned()),
        ]),
        image: None,
    }
}

/// `zod@3.25.0` becomes an override: npm has no constraints.
fn overrides(package: &str, constraints: &[String]) -> Result<BTreeMap<String, String>, RuntimeError> {
    let mut overrides = BTreeMap::new();
    for constraint in constraints {
        let bad = |reason: &str| RuntimeError::Constraint {
            constraint: constraint.clone(),
            reason: reason.to_owned(),
        };
        let at = constraint.char_indices().skip(1).find(|&(_, c)| c == '@').map(|(i, _)| i);
        let (name, range) = at
            .map(|at| (&constraint[..at], constraint[at + 1..].trim()))
            .ok_or_else(|| bad("write NAME@RANGE, such as `zod@3.25.0`"))?;
        let named = format!("npm:{name}").parse::<Package>().is_ok();
        let ranged = !range.is_empty()
            && range.bytes().all(|b| b.is_ascii_alphanumeric() || b" .-+<>=^~|*".contains(&b));
        if !named || !ranged {
            return Err(bad("write NAME@RANGE, such as `zod@3.25.0`"));
        }
        if name == package {
            return Err(bad("it names the package itself: ask for that version instead"));
        }
        overrides.insert(name.to_owned(), range.to_owned());
    }
    Ok(overrides)
}

fn refusal(package: &Package, outcome: &Outcome) -> RuntimeError {
    let name = package.name().to_owned();
    let detail = || outcome.last_words("npm error ");
    let about_itself =
        |line: &str| line.contains(&format!("for {name}@")) || line.contains(&format!("'{name}@"));
    if let Some(line) = outcome.find(&["notarget No matching version found for"]) {
        return match package.version() {
            Some(version) if about_itself(line) => RuntimeError::UnknownVersion {
                registry: REGISTRY,
                package: name,
                version: version.to_owned(),
                known: String::new(),
            },
            _ => RuntimeError::Unsatisfiable { package: name, detail: detail() },
        };
    }
    if outcome.says(&["npm error code E404"]) {
        let itself = outcome.find(&["could not be found"]).is_none_or(about_itself);
        return if itself {
            RuntimeError::UnknownPackage { registry: REGISTRY, package: name }
        } else {
            RuntimeError::Unsatisfiable { package: name, detail: detail() }
        };
    }
    if outcome.says(&["npm error code ERESOLVE", "npm error code EOVERRIDE"]) {
        return RuntimeError::Unsatisfiable { package: name, detail: detail() };
    }
    let network = ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"];
    if outcome.says(&network.map(|code| format!("npm error code {code}")).each_ref().map(String::as_str)) {
        return RuntimeError::Unreachable { registry: REGISTRY, detail: detail() };
    }
    RuntimeError::Install { package: name, detail: detail() }
}

/// The package's version, and one line for each package in the tree.
fn read_lock(tree: &Path, name: &str) -> Result<(String, Vec<String>), RuntimeError> {
    #[derive(Deserialize)]
    struct Lock {
        packages: BTreeMap<String, Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        version: Option<String>,
        integrity: Option<String>,
    }
    let lock: Lock = read_json(&tree.join("package-lock.json"))?;
    let version = lock.packages.get(&format!("node_modules/{name}")).and_then(|own| own.version.clone());
    let version = version.ok_or_else(|| RuntimeError::Install {
        package: name.to_owned(),
        detail: "npm installed it nowhere".to_owned(),
    })?;
    let lines = lock.packages.iter().filter(|(path, _)| !path.is_empty()).map(|(path, package)| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        format!("{path} {} {}", text(&package.version), text(&package.integrity))
    });
    Ok((version, lines.collect()))
}

/// `bin` of the manifest in `own`, a directory of the tree: one path (named as the package), or a path for each name.
pub(super) fn executables(
    tree: &Path,
    own: &Path,
    name: &str,
) -> Result<BTreeMap<String, PathBuf>, RuntimeError> {
    #[derive(Deserialize)]
    struct Manifest {
        bin: Option<Bin>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Bin {
        One(PathBuf),
        Many(BTreeMap<String, PathBuf>),
    }
    let manifest: Manifest = read_json(&tree.join(own).join("package.json"))?;
    let bins = match manifest.bin {
        None => BTreeMap::new(),
        Some(Bin::One(path)) => BTreeMap::from([(name.rsplit('/').next().unwrap_or(name).to_owned(), path)]),
        Some(Bin::Many(bins)) => bins,
    };
    let inside =
        |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    Ok(bins
        .into_iter()
        .filter(|(_, path)| inside(path) && tree.join(own).join(path).is_file())
        .map(|(name, path)| (name, own.join(path)))
        .collect())
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, RuntimeError> {
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(RuntimeError::io("open", path))?;
    file.take(MAX_MANIFEST).read_to_end(&mut content).map_err(RuntimeError::io("read", path))?;
    // The content is somebody else's: the error tells the place, never the text.
    serde_json::from_slice(&content).map_err(|e| RuntimeError::io("read", path)(e.into()))
}

/// By its first line (`#!/usr/bin/env node`), or its name when it has none.
pub(super) fn is_for_node(file: &Path) -> bool {
    let mut start = [0; 128];
    let length = fs::File::open(file).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    let line = start[..length].split(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.starts_with(b"#!") {
        String::from_utf8_lossy(line).split(['/', ' ', '\t', '\r']).any(|word| word == "node")
    } else {
        file.extension().is_some_and(|extension| ["js", "mjs", "cjs"].iter().any(|known| extension == *known))
    }
}
