//! `cargo xtask bench`: builds what is measured as it is published, and runs the measuring program.

use crate::{parts, run};

/// Builds with `--profile dist`, as Berth is published, and measures; the tables go to standard output.
pub(crate) fn bench(only: Option<&str>) -> anyhow::Result<()> {
    let peers = parts::install_for_benchmarks(matches!(only, None | Some("mcp")))?;
    run::run(run::cargo(&["build", "--profile", "dist", "-p", "cli", "-p", "bench", "-p", "fixture"]))?;
    let mut command = run::cargo(&["run", "--profile", "dist", "--quiet", "-p", "bench", "--"]);
    command.args(only).env("BENCH_PEERS", peers);
    run::run(command)
}
