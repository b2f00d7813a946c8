//! How long a deployment takes until it is ready, over starting the same installed server by hand.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use testkit::platform::Platform;

use crate::pipes::Server;

const ROUNDS: usize = 7;

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let platform = Platform::start(&crate::berth()?);
    // The first deployment installs the package; from then on it is there.
    platform.ok(&["deploy", "everything", "--name", "first", "--wait"]);
    let program = find(&platform.data().join("dtma/packages"), "mcp-server-everything")
        .context("the installed server was not found")?;
    let (mut deployed, mut by_hand) = (vec![], vec![]);
    for round in 0..ROUNDS {
        let begun = Instant::now();
        platform.ok(&["deploy", "everything", "--name", &format!("again-{round}"), "--wait"]);
        deployed.push(begun.elapsed());
        platform.ok(&["remove", &format!("again-{round}"), "--yes"]);
        let begun = Instant::now();
        let server = Server::start(&program, &["stdio"]).await?;
        by_hand.push(begun.elapsed());
        drop(server);
    }
    let (deployed, by_hand) = (median(deployed)?, median(by_hand)?);
    println!("\n| an installed npm server, median of {ROUNDS} | ms |");
    println!("|---|---:|");
    println!(
        "| `berth deploy --wait`, the command's own start included | {:.0} |",
        deployed.as_secs_f64() * 1e3
    );
    println!("| started and initialised by hand | {:.0} |", by_hand.as_secs_f64() * 1e3);
    println!("| over by hand (goal 150) | {:.0} |", (deployed.as_secs_f64() - by_hand.as_secs_f64()) * 1e3);
    Ok(())
}

pub(crate) fn median(mut times: Vec<Duration>) -> anyhow::Result<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no rounds")
}

/// The package's own executable, wherever its store put it.
pub(crate) fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).ok()?.flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|found| found == name)
                && path.parent().is_some_and(|p| p.ends_with(".bin"))
            {
                return Some(path);
            }
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            }
        }
    }
    None
}
