//! `berth`: the one binary. Read what was typed, do it, say how it went.

mod addressed;
mod args;
mod client;
mod commands;
mod data_dir;
mod error;
mod mcp_client;
mod output;
mod service;
mod settings;
mod sse;
mod supervisor;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // The sandbox forks and gives privileges away, which only a process with one thread may do: it comes before
    // everything else.
    commands::sandbox::run_if_asked();

    let cli = args::Cli::parse();
    let output = output::Output::new(cli.connection.json);
    match commands::run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
