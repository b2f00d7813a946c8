//! `cargo xtask bench`: builds what is measured as it is published, and runs the measuring program.

use crate::{parts, run};

/// Builds with `--profile dist`, as Berth is published, and measures; the tables go to standard output.
pub(crate) fn bench(only: Option<&str>) -> anyhow::Result<()> {
    parts::install_for_benchmarks()?;
    run::run(run::cargo(&["build", "--profile", "dist", "-p", "cli", "-p", "bench"]))?;
    let mut command = run::cargo(&["run", "--profile", "dist", "--quiet", "-p", "bench", "--"]);
    command.args(only);
    run::run(command)
}
