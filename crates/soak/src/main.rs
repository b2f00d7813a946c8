//! `soak [--minutes N] [--seed N]`, with the binaries that were built beside it. `cargo xtask soak` builds and starts it.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use soak::Plan;

fn main() -> anyhow::Result<ExitCode> {
    let (mut minutes, mut seed) = (10, std::time::UNIX_EPOCH.elapsed()?.as_secs());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--minutes" => minutes = value.parse()?,
            "--seed" => seed = value.parse()?,
            _ => bail!("usage: soak [--minutes N] [--seed N]"),
        }
    }
    let own = std::env::current_exe()?;
    let beside = |name| own.parent().unwrap_or(Path::new(".")).join(name);
    let plan = Plan::of_minutes(beside("berth"), beside("fixture"), minutes, seed);
    println!("{} clients for {minutes} minute(s), seed {seed}", plan.clients);
    let report = soak::run(&plan)?;
    println!("{report}");
    let broken = report.broken();
    for why in &broken {
        println!("BROKEN: {why}");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
