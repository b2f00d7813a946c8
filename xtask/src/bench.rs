//! `cargo xtask bench`: builds what is measured as users build it, and runs the measuring program.

use crate::{parts, run};

/// Builds with `--release` and measures; the tables go to standard output.
pub(crate) fn bench(only: Option<&str>) -> anyhow::Result<()> {
    parts::install_for_benchmarks()?;
    run::run(run::cargo(&["build", "--release", "-p", "cli", "-p", "bench"]))?;
    let mut command = run::cargo(&["run", "--release", "--quiet", "-p", "bench", "--"]);
    command.args(only);
    run::run(command)
}
