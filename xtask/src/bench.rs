//! `cargo xtask bench`: builds what is measured as it is published, and runs the measuring program.

use crate::{parts, run};

/// Builds with `--profile dist`, as Berth is published, and measures; the tables go to standard output.
pub(crate) fn bench(only: Option<&str>) -> anyhow::Result<()> {
    measure(only, false)
}

/// As [`bench`]; a goal that is missed is an error.
pub(crate) fn bench_strictly(only: &str) -> anyhow::Result<()> {
    measure(Some(only), true)
}

fn measure(only: Option<&str>, strict: bool) -> anyhow::Result<()> {
    let peers = parts::install_for_benchmarks(matches!(only, None | Some("mcp")))?;
    run::run(run::cargo(&["build", "--profile", "dist", "-p", "cli", "-p", "bench", "-p", "fixture"]))?;
    let mut command = run::cargo(&["run", "--profile", "dist", "--quiet", "-p", "bench", "--"]);
    command.args(only).env("BENCH_PEERS", peers);
    if strict {
        command.env("BENCH_STRICT", "1");
    }
    run::run(command)
}
