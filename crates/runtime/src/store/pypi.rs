//! PyPI projects: `pip install --target` of one project into a directory of its own, from wheels only. No virtual
//! environment: it would hold absolute paths, and the tree moves once it is complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use domain::package::Package;
use domain::status::Progress;
use serde::Deserialize;

use super::install::{Installer, Outcome, Run};
use super::{Installed, Record, Request, config, search_path};
use crate::error::RuntimeError;
use crate::interpreter::{self, Python};
use crate::process::text;
use crate::{OnProgress, Prepared};

const REGISTRY: &str = "PyPI";

pub(super) async fn install(
    installer: &Installer<'_>,
    python: &Python,
    request: &Request,
    progress: OnProgress<'_>,
) -> Result<Installed, RuntimeError> {
    let name = request.package.name();
    let tree = installer.staging.join("tree");
    let constraints = installer.staging.join("constraints.txt");
    fs::write(&constraints, lines(name, &request.constraints)?)
        .map_err(RuntimeError::io("write", &constraints))?;
    let report = installer.staging.join("tmp/report.json");

    let mut arguments = vec!["install".to_owned(), "--target".to_owned(), text(&tree)];
    arguments
        .extend(["--no-cache-dir", "--progress-bar=off", "--no-warn-script-location"].map(str::to_owned));
    arguments.extend(["--report".to_owned(), text(&report), "--constraint".to_owned(), text(&constraints)]);
    if !request.install_scripts {
        arguments.extend(["--only-binary", ":all:"].map(str::to_owned));
    }
    arguments.push(match request.package.version() {
        Some(version) => format!("{name}=={version}"),
        None => name.to_owned(),
    });
    let on_line = |line: &str| {
        let line = line.trim();
        if let Some(what) = line.strip_prefix("Collecting ").or_else(|| line.strip_prefix("Downloading ")) {
            let what = what.split([' ', ';']).next().unwrap_or(what);
            let what = what.rsplit('/').next().unwrap_or(what);
            progress(Progress { step: format!("downloading {what}"), percent: None });
        } else if let Some(list) = line.strip_prefix("Installing collected packages: ") {
            let count = list.split(',').count();
            progress(Progress { step: format!("installing {count} packages"), percent: None });
        }
    };
    let outcome = installer.run(name, pip(python, arguments), config::pip(&python.prefix), &on_line).await?;
    if !outcome.succeeded {
        return Err(refusal(installer, python, request, &outcome).await);
    }
    let (version, lock) = read_report(&report, name)?;
    Ok(Installed { version: Some(version), lock, executables: executables(&tree, name)? })
}

/// How the installed project is started: by its own console script, with the interpreter that it was installed for.
pub(super) fn prepared(python: &Python, tree: &Path, executable: &Path, record: &Record) -> Prepared {
    let mut read = interpreter::parts_of(&python.program);
    read.push(tree.to_owned());
    Prepared {
        version: record.version.clone(),
        digest: Some(record.digest.clone()),
        command: vec![text(&python.program), text(&tree.join(executable))],
        read,
        env: [
            ("PATH", search_path(&python.program)),
            ("PYTHONPATH", text(tree)),
            ("PYTHONNOUSERSITE", "1".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
            ("PYTHONSAFEPATH", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        image: None,
    }
}

fn pip(python: &Python, arguments: Vec<String>) -> Run {
    let mut program = vec![text(&python.program)];
    program.extend(
        ["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color"].map(str::to_owned),
    );
    program.extend(arguments);
    Run {
        program,
        env: BTreeMap::from([(
            "PATH".to_owned(),
            format!("{}:/usr/local/bin:/usr/bin:/bin", search_path(&python.program)),
        )]),
        read: interpreter::parts_of(&python.program),
    }
}

/// A constraints file: one `NAME` and version specifiers on each line, and nothing else that pip would obey there.
fn lines(package: &str, constraints: &[String]) -> Result<String, RuntimeError> {
    let mut file = String::new();
    for constraint in constraints {
        let bad = |reason: &str| RuntimeError::Constraint {
            constraint: constraint.clone(),
            reason: reason.to_owned(),
        };
        let at = constraint.find(['<', '>', '=', '!', '~']).unwrap_or(constraint.len());
        let (name, range) = (constraint[..at].trim(), constraint[at..].trim());
        let parsed = format!("pypi:{name}").parse::<Package>();
        let ranged = range.len() > 1
            && range.bytes().all(|b| b.is_ascii_alphanumeric() || b" .,-+_!<>=~*".contains(&b))
            && range.bytes().any(|b| b.is_ascii_digit());
        let (Ok(parsed), true) = (parsed, ranged) else {
            return Err(bad("write NAME and a range, such as `mcp<2`"));
        };
        if parsed.name() == package && parsed.version().is_none() && range.starts_with("==") {
            return Err(bad("it names the package itself: ask for that version instead"));
        }
        file.push_str(name);
        file.push_str(range);
        file.push('\n');
    }
    Ok(file)
}

async fn refusal(
    installer: &Installer<'_>,
    python: &Python,
    request: &Request,
    outcome: &Outcome,
) -> RuntimeError {
    let package = request.package.name().to_owned();
    let detail = || outcome.last_words("ERROR: ");
    if let Some(error) = unreachable(outcome) {
        return error;
    }
    if outcome.says(&["ResolutionImpossible", "conflicting dependencies"]) {
        let depends =
            outcome.find(&["requested", "depends on"]).map(str::trim).unwrap_or_default().to_owned();
        return RuntimeError::Unsatisfiable { package, detail: depends };
    }
    let asked = request.package.version().map_or(package.clone(), |version| format!("{package}=={version}"));
    let Some(line) = outcome.find(&["Could not find a version that satisfies the requirement"]) else {
        return RuntimeError::Install { package, detail: detail() };
    };
    if !line.contains(&format!("requirement {asked} ")) {
        return RuntimeError::Unsatisfiable { package, detail: detail() };
    }
    if outcome.says(&["require a different python version"]) {
        return RuntimeError::Install { package, detail: detail() };
    }
    match (request.package.version(), line.split_once("(from versions: ")) {
        (_, Some((_, "none)"))) => nothing_found(installer, python, package).await,
        (Some(version), Some((_, known))) => {
            let known: Vec<&str> = known.trim_end_matches(')').split(", ").collect();
            let newest = known[known.len().saturating_sub(5)..].join(", ");
            RuntimeError::UnknownVersion {
                registry: REGISTRY,
                package,
                version: version.to_owned(),
                known: format!(" (the newest are {newest})"),
            }
        }
        _ => RuntimeError::Unsatisfiable { package, detail: detail() },
    }
}

/// pip says the same of a project that is not there, of one without a wheel for this host, and (told to retry less)
/// of a registry that is away.
async fn nothing_found(installer: &Installer<'_>, python: &Python, package: String) -> RuntimeError {
    let question = ["index", "versions", "--pre", "-vv", package.as_str()].map(str::to_owned);
    let run = pip(python, question.to_vec());
    match installer.run(&package, run, config::pip(&python.prefix), &|_| ()).await {
        Ok(outcome) if outcome.succeeded => {
            RuntimeError::NoWheel { package, interpreter: python.tag.clone() }
        }
        Ok(outcome) => {
            unreachable(&outcome).unwrap_or(RuntimeError::UnknownPackage { registry: REGISTRY, package })
        }
        Err(error) => error,
    }
}

fn unreachable(outcome: &Outcome) -> Option<RuntimeError> {
    let line = outcome.find(&[
        "NewConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ProxyError",
        "SSLError",
        "NameResolutionError",
        "MaxRetryError",
        "connection error",
    ])?;
    let detail = line.trim().chars().take(300).collect();
    Some(RuntimeError::Unreachable { registry: REGISTRY, detail })
}

/// The project's version, and one line for each project in the tree (pip's installation report, version 1).
fn read_report(path: &Path, name: &str) -> Result<(String, Vec<String>), RuntimeError> {
    #[derive(Deserialize)]
    struct Report {
        install: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
        download_info: Download,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        version: String,
    }
    #[derive(Deserialize)]
    struct Download {
        archive_info: Option<Archive>,
    }
    #[derive(Deserialize)]
    struct Archive {
        hash: Option<String>,
        hashes: Option<BTreeMap<String, String>>,
    }
    let content = fs::read(path).map_err(RuntimeError::io("read", path))?;
    let report: Report =
        serde_json::from_slice(&content).map_err(|e| RuntimeError::io("read", path)(e.into()))?;
    let mut version = None;
    let mut lines = Vec::new();
    for item in report.install {
        let hash = item.download_info.archive_info.and_then(|archive| {
            let sha256 =
                archive.hashes.and_then(|hashes| hashes.get("sha256").map(|h| format!("sha256={h}")));
            sha256.or(archive.hash)
        });
        let normal = normalised(&item.metadata.name);
        lines.push(format!("{normal} {} {}", item.metadata.version, hash.as_deref().unwrap_or("-")));
        if normal == name {
            version = Some(item.metadata.version);
        }
    }
    let version = version.ok_or_else(|| RuntimeError::Install {
        package: name.to_owned(),
        detail: "pip does not report it as installed".to_owned(),
    })?;
    Ok((version, lines))
}

/// The project's console scripts (`entry_points.txt` of its `.dist-info`), as pip wrote them into `bin`.
fn executables(tree: &Path, name: &str) -> Result<BTreeMap<String, PathBuf>, RuntimeError> {
    let entries = fs::read_dir(tree).map_err(RuntimeError::io("read", tree))?;
    let info = entries.flatten().map(|entry| entry.path()).find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `NAME-VERSION.dist-info`, with underscores in the name.
        file.strip_suffix(".dist-info")
            .and_then(|stem| stem.rsplit_once('-'))
            .is_some_and(|(project, _)| normalised(project) == name)
    });
    let points = info.map(|info| fs::read_to_string(info.join("entry_points.txt")).unwrap_or_default());
    let points = points.unwrap_or_default();
    let mut section = "";
    let mut scripts = BTreeMap::new();
    for line in points.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').trim();
        } else if let (("console_scripts", Some((script, _))), false) =
            ((section, line.split_once('=')), line.starts_with(['#', ';']))
        {
            let (script, path) = (script.trim(), Path::new("bin").join(script.trim()));
            if !script.contains('/') && tree.join(&path).is_file() {
                scripts.insert(script.to_owned(), path);
            }
        }
    }
    Ok(scripts)
}

/// PEP 503.
fn normalised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.push(c.to_ascii_lowercase()),
        }
    }
    out
}
