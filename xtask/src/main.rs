//! The project's own commands: `cargo xtask test`, `tidy`, `openapi`, `bench`, `screenshots`, `soak`.
//!
//! Nothing here is part of the product. What a command needs of the machine it installs itself, or says how to.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for people at a terminal")]

mod bench;
mod fuzz;
mod images;
mod machine;
mod openapi;
mod parts;
mod run;
mod screenshots;
mod soak;
mod suites;
mod tidy;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Berth's project commands", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Installs what the tests need, then formatting, lints, unit, integration and end-to-end tests.
    Test {
        /// Also the suites that take too long for every change.
        #[arg(long)]
        full: bool,
        /// Handed to `cargo nextest run`: only these tests, no formatting, no lints. Such as `faults` or `-p store`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        only: Vec<String>,
    },
    /// Installs what the tests need and nothing else.
    Parts,
    /// Checks the crate arrows, the file lengths and the banned crates.
    Tidy,
    /// Writes openapi/*.json from the code.
    Openapi,
    /// Builds as Berth is published, with LTO, and prints the tables of BENCHMARKS.md.
    Bench {
        /// `calls`, `mcp`, `memory`, `start`, `docker` or `fleet`; all of them when absent.
        only: Option<String>,
    },
    /// Pictures of every page, in light, in dark and on a phone, into docs/screenshots/.
    Screenshots,
    /// 200 clients on one server whose parts are killed; fails when an answer is wrong or missing, or memory grows.
    Soak {
        /// How long; memory is judged from six minutes on.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
        /// Of the run that is to be repeated.
        #[arg(long)]
        seed: Option<u64>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test { full, only } => suites::test(full, &only),
        Command::Parts => parts::install().map(drop),
        Command::Tidy => tidy::report(),
        Command::Openapi => openapi::write(),
        Command::Bench { only } => bench::bench(only.as_deref()),
        Command::Screenshots => screenshots::take(),
        Command::Soak { minutes, seed } => soak::soak(minutes, seed),
    }
}
