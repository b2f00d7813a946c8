//! Finds the interpreters and programs of the host: what they really are behind version managers' wrappers, and
//! which parts of them a server must read.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;

use crate::error::RuntimeError;

/// The oldest pip that reports what it installed (`--report`).
const OLDEST_PIP: (u32, u32) = (22, 2);
const INSTALL_NODE: &str = "apt-get install nodejs npm";
const INSTALL_PYTHON: &str = "apt-get install python3 python3-pip";

/// A Node.js with its npm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// The real executable.
    pub(crate) program: PathBuf,
    /// `npm-cli.js`.
    pub(crate) npm: PathBuf,
    /// What compiled parts of a package depend on, such as `node 20 abi 115 x64`.
    pub(crate) tag: String,
}

/// A Python with its pip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Python {
    /// The real executable, outside any virtual environment.
    pub(crate) program: PathBuf,
    /// Such as `Python 3.11`; compiled parts of a package depend on it.
    pub(crate) tag: String,
    /// Where it and its library lie.
    pub(crate) prefix: PathBuf,
}

/// The first `node` on `PATH`, and its npm.
pub(crate) async fn node() -> Result<Node, RuntimeError> {
    #[derive(Deserialize)]
    struct Answer(PathBuf, String, String, String);
    let missing = |program: &str| RuntimeError::MissingProgram {
        program: program.to_owned(),
        detail: String::new(),
        install: INSTALL_NODE.to_owned(),
    };
    let script = "JSON.stringify([process.execPath,process.versions.node.split('.')[0],process.versions.modules,process.arch])";
    let wrapper = on_path("node").next().ok_or_else(|| missing("node"))?;
    let Answer(program, major, abi, arch) =
        ask(&wrapper, &["-p", script]).await.ok_or_else(|| missing("node"))?;
    let program = program.canonicalize().map_err(RuntimeError::io("find", program))?;

    let bundled = prefix_of(&program).map(|prefix| prefix.join("lib/node_modules/npm/bin/npm-cli.js"));
    let npm = on_path("npm")
        .filter_map(|npm| npm.canonicalize().ok())
        .chain(bundled)
        .find(|npm| npm.extension().is_some_and(|extension| extension == "js") && npm.is_file())
        .ok_or_else(|| missing("npm"))?;
    Ok(Node { program, npm, tag: format!("node {major} abi {abi} {arch}") })
}

/// The first Python on `PATH`, or in the usual places, that has a pip new enough.
pub(crate) async fn python() -> Result<Python, RuntimeError> {
    #[derive(Deserialize)]
    struct Answer(PathBuf, String, String, PathBuf);
    // `_base_executable` leads out of a virtual environment, which may be removed any day.
    let script = "import sys, json\n\
        print(json.dumps([getattr(sys, '_base_executable', None) or sys.executable, \
        'Python %d.%d' % sys.version_info[:2], '', sys.base_prefix]))";
    let pip = "import sys, json, pip\n\
        print(json.dumps([sys.executable, '', pip.__version__, sys.base_prefix]))";
    let mut found = String::new();
    let usual = ["/usr/local/bin/python3", "/usr/bin/python3"].map(PathBuf::from);
    for candidate in on_path("python3").chain(usual) {
        let Some(Answer(base, tag, _, prefix)) = ask(&candidate, &["-I", "-c", script]).await else {
            continue;
        };
        let Some(Answer(_, _, version, _)) = ask(&base, &["-I", "-c", pip]).await else {
            found = format!(" ({tag} at {} has no pip)", base.display());
            continue;
        };
        if !at_least(&version, OLDEST_PIP) {
            let (major, minor) = OLDEST_PIP;
            found = format!(" (pip {version} of {} is too old, {major}.{minor} is needed)", base.display());
            continue;
        }
        let program = base.canonicalize().map_err(RuntimeError::io("find", base))?;
        return Ok(Python { program, tag, prefix });
    }
    Err(RuntimeError::MissingProgram {
        program: "python3 with pip".to_owned(),
        detail: found,
        install: INSTALL_PYTHON.to_owned(),
    })
}

/// A program of the host that a server starts, such as `git`.
pub(crate) fn program(name: &str) -> Result<PathBuf, RuntimeError> {
    let plain = !name.is_empty() && !name.contains('/');
    on_path(name).filter(|_| plain).find_map(|path| path.canonicalize().ok()).ok_or_else(|| {
        RuntimeError::MissingProgram {
            program: name.to_owned(),
            detail: String::new(),
            install: format!("apt-get install {name}"),
        }
    })
}

/// What a program needs to run: itself and the libraries that lie beside it. Not its whole prefix, which may be
/// somebody's home.
pub(crate) fn parts_of(program: &Path) -> Vec<PathBuf> {
    let mut parts = vec![program.to_owned()];
    let libraries = prefix_of(program).into_iter().flat_map(|prefix| {
        ["lib", "lib64", "libexec", "share"].map(|name| prefix.join(name)).into_iter().filter(|path| {
            // A home's `.local/share` holds everything but libraries.
            path.is_dir() && !(path.ends_with(".local/share") || path.parent() == Some(Path::new("/")))
        })
    });
    parts.extend(libraries);
    parts
}

/// `/opt/node` of `/opt/node/bin/node`.
fn prefix_of(program: &Path) -> Option<&Path> {
    program.parent().filter(|directory| directory.ends_with("bin"))?.parent()
}

/// Every executable file of that name on `PATH`, in its order.
fn on_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let directories = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let candidates: Vec<PathBuf> = std::env::split_paths(&directories).map(|dir| dir.join(name)).collect();
    candidates
        .into_iter()
        .filter(|path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok())
}

/// Runs an interpreter with a script that prints JSON; `None` when it fails or prints something else.
async fn ask<T: for<'de> Deserialize<'de>>(program: &Path, args: &[&str]) -> Option<T> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(20), output).await.ok()?.ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

fn at_least(version: &str, oldest: (u32, u32)) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= oldest
}
