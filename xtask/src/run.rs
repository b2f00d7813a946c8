//! Running other programs and saying which one failed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .components()
        .collect::<PathBuf>()
        .canonicalize()
        .unwrap_or_default()
}

/// A command that runs in the workspace's root.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// `cargo` with these arguments. The variables that the outer `cargo` set for this program are not handed on: they
/// would make the inner one build everything again.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = command("cargo", args);
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("CARGO_") && !keeps(name));
        if ours {
            command.env_remove(&name);
        }
    }
    command
}

fn keeps(name: &str) -> bool {
    ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CARGO_HTTP_CAINFO", "CARGO_BUILD_JOBS"]
        .contains(&name)
        || name.starts_with("CARGO_REGISTRIES_")
        || name.starts_with("CARGO_NET_")
}

/// Runs to the end; anything but success is an error that names the command.
pub(crate) fn run(mut command: Command) -> anyhow::Result<()> {
    let shown = shown(&command);
    let status = command.status().with_context(|| format!("`{shown}` could not be started"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Whether a program is on the `PATH`.
pub(crate) fn exists(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
