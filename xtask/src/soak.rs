//! `cargo xtask soak`: builds what is tested as a newcomer builds it, with `--release`, and runs the soak on it.

use crate::run;

/// Builds and runs; the table goes to standard output.
pub(crate) fn soak(minutes: u32, seed: Option<u64>) -> anyhow::Result<()> {
    run::run(run::cargo(&["build", "--release", "-p", "cli", "-p", "fixture", "-p", "soak"]))?;
    let minutes = minutes.to_string();
    let mut command = run::cargo(&["run", "--release", "--quiet", "-p", "soak", "--", "--minutes", &minutes]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    run::run(command)
}
