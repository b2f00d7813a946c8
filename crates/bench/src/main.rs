//! Measures Berth as its users run it, as ratios against references in the same run. `cargo xtask bench` builds and
//! starts it; the tables it prints stand in BENCHMARKS.md.
//!
//! Everything is measured on one core, the load included. With two, the figures of small machines say more about where the
//! scheduler put whom than about what was done: waking another core of a virtual machine costs more than a hop.
//! `BENCH_CORES=all` leaves it to the scheduler.
//!
//! Everything measured is a process of its own, the references too: a hop inside the measuring process would share its
//! scheduler and look cheaper than it is.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod added;
mod belts;
mod calls;
mod catalog;
mod docker;
mod fleet;
mod load;
mod mcp;
mod memory;
mod pages;
mod pipes;
mod processes;
mod reference;
mod start;
mod tunnel;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// The binary that was built beside this program.
fn berth() -> anyhow::Result<String> {
    beside("berth")
}

/// The MCP server that was built beside this program.
fn fixture() -> anyhow::Result<String> {
    beside("fixture")
}

fn beside(name: &str) -> anyhow::Result<String> {
    let path = std::env::current_exe()?.parent().unwrap_or(Path::new(".")).join(name);
    ensure!(path.exists(), "{} is not built: use `cargo xtask bench`", path.display());
    path.into_os_string().into_string().ok().context("the path of the binary is not UTF-8")
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if std::env::var("BENCH_CORES").as_deref() != Ok("all") {
        let mut last = rustix::thread::CpuSet::new();
        last.set(std::thread::available_parallelism()?.get() - 1);
        // Inherited by every process that is started from here.
        rustix::thread::sched_setaffinity(None, &last)?;
    }
    // One thread, as Berth's own processes have.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match words.as_slice() {
            [] => {
                calls::measure().await?;
                added::measure().await?;
                mcp::measure().await?;
                memory::measure().await?;
                start::measure().await?;
                docker::measure().await?;
                fleet::measure().await?;
                pages::measure().await?;
                catalog::measure().await?;
                belts::measure().await?;
                tunnel::measure().await
            }
            ["belts"] => belts::measure().await,
            ["calls"] => {
                calls::measure().await?;
                added::measure().await
            }
            ["added"] => added::measure().await,
            ["mcp"] => mcp::measure().await,
            ["memory"] => memory::measure().await,
            ["start"] => start::measure().await,
            ["docker"] => docker::measure().await,
            ["catalog"] => catalog::measure().await,
            ["fleet"] => fleet::measure().await,
            ["pages"] => pages::measure().await,
            ["tunnel"] => tunnel::measure().await,
            ["host", what, address, files] => tunnel::host(what, address, files).await,
            ["hosts", url, pin, file] => fleet::hosts(url, pin, file).await,
            ["hop", listen, to] => reference::hop(listen, to).await,
            ["leaf", listen] => reference::leaf(listen).await,
            ["mirror", listen] => reference::mirror(listen).await,
            _ => {
                bail!(
                    "usage: bench [calls | added | belts | mcp | memory | start | docker | fleet | catalog | pages | tunnel]"
                )
            }
        }
    })
}
