//! What a machine can check of the rules: which crate may depend on which, how long a file may be, which third-party
//! crates never come in.

mod comparisons;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::run;

/// "May depend on" of the product's crates (ARCHITECTURE.md has the picture). Dev-dependencies are free.
const ARROWS: [(&str, &[&str]); 21] = [
    ("domain", &[]),
    ("api", &["domain"]),
    ("clients", &[]),
    ("fetch", &["domain", "oauth"]),
    ("hop", &[]),
    ("digitalocean", &[]),
    ("mcp", &[]),
    ("oauth", &["domain"]),
    ("toolbelt", &["domain", "mcp"]),
    ("store", &["api", "domain"]),
    ("runtime", &["domain"]),
    ("shim", &["domain", "hop", "mcp"]),
    ("dtma", &["api", "domain", "hop", "runtime"]),
    ("gateway", &["api", "domain", "hop", "mcp"]),
    (
        "control",
        &[
            "api",
            "clients",
            "digitalocean",
            "domain",
            "fetch",
            "gateway",
            "hop",
            "mcp",
            "oauth",
            "shim",
            "store",
            "toolbelt",
        ],
    ),
    (
        "cli",
        &[
            "api",
            "clients",
            "control",
            "digitalocean",
            "domain",
            "dtma",
            "fetch",
            "hop",
            "mcp",
            "oauth",
            "runtime",
            "shim",
        ],
    ),
    ("testkit", &["api", "domain"]),
    ("fixture", &[]),
    ("visitor", &["domain", "fetch", "oauth", "shim"]),
    ("bench", &["domain", "hop", "mcp", "testkit", "toolbelt"]),
    ("soak", &["hop", "testkit"]),
];

/// One TLS provider, aws-lc-rs; no system libraries.
const BANNED: [&str; 3] = ["native-tls", "openssl-sys", "ring"];

/// The longest source file, in lines.
const LONGEST: usize = 600;

/// Prints what is wrong and fails when anything is.
pub(crate) fn report() -> anyhow::Result<()> {
    let mut wrong = arrows()?;
    wrong.extend(lengths()?);
    wrong.extend(banned()?);
    wrong.extend(without_rmcp()?);
    wrong.extend(comparisons::report()?);
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n"));
}

fn arrows() -> anyhow::Result<Vec<String>> {
    let mut wrong = vec![];
    let known: BTreeSet<&str> = ARROWS.iter().map(|&(name, _)| name).collect();
    for dir in std::fs::read_dir(run::root().join("crates"))? {
        let manifest = dir?.path().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
        let parsed: toml::Table = text.parse().with_context(|| manifest.display().to_string())?;
        let name = parsed
            .get("package")
            .and_then(|p| p.get("name"))
            .and_then(toml::Value::as_str)
            .unwrap_or_default();
        let folder = manifest.parent().and_then(Path::file_name).unwrap_or_default();
        if folder != name {
            wrong.push(format!(
                "crates/{} holds the crate `{name}`: one name for both",
                folder.to_string_lossy()
            ));
        }
        let Some((_, allowed)) = ARROWS.iter().find(|&&(known, _)| known == name) else {
            wrong.push(format!("the crate `{name}` has no row in the arrows of xtask/src/tidy.rs"));
            continue;
        };
        let dependencies = parsed.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            if known.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("`{name}` may not depend on `{dependency}`"));
            }
        }
    }
    Ok(wrong)
}

fn lengths() -> anyhow::Result<Vec<String>> {
    let mut wrong = vec![];
    for path in sources(&["crates", "xtask", "fuzz/src", "fuzz/fuzz_targets"])? {
        let lines = std::fs::read_to_string(&path)?.lines().count();
        if LONGEST < lines {
            wrong.push(format!("{} has {lines} lines, more than {LONGEST}", path.display()));
        }
    }
    Ok(wrong)
}

/// The Rust files below some directories.
fn sources(dirs: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![];
    let mut open: Vec<PathBuf> = dirs.iter().map(|dir| run::root().join(dir)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// What is linked counts, not what Cargo.lock lists: it names optional dependencies that no feature turns on.
fn banned() -> anyhow::Result<Vec<String>> {
    let names = linked(&["--workspace"])?;
    Ok(BANNED
        .iter()
        .filter(|banned| names.contains(**banned))
        .map(|banned| format!("`{banned}` is linked: one TLS provider, aws-lc-rs, and no system libraries"))
        .collect())
}

/// The conformance suite's `auth` scenarios drive the bridge's own way to servers, which must stay ours.
fn without_rmcp() -> anyhow::Result<Vec<String>> {
    let names = linked(&["--package", "visitor"])?;
    let has = names.contains("rmcp");
    Ok(has
        .then(|| "`visitor` links `rmcp`: it is there to try Berth's own client".to_owned())
        .into_iter()
        .collect())
}

/// The crates that are linked into some of ours.
fn linked(which: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let common = ["--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let mut tree = run::cargo(&[&["tree"], which, &common].concat());
    let output = tree.output().context("`cargo tree` could not be started")?;
    if !output.status.success() {
        bail!("`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn tidy() {
        if let Err(wrong) = super::report() {
            panic!("{wrong}");
        }
    }
}
