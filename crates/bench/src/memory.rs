//! What Berth weighs when nothing happens: twenty idle instances.

use anyhow::Context as _;
use testkit::platform::Platform;
use testkit::processes::{Process, pss};

use crate::processes::of_command;

const INSTANCES: usize = 20;

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let platform = Platform::start(&crate::berth()?);
    for number in 1..INSTANCES {
        platform.ok(&["deploy", "welcome", "--name", &format!("idle-{number}"), "--wait"]);
    }
    // Pages of the start that are returned late should not count; nothing is waited for here but that.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let all = platform.processes();
    let mib = |pids: &[u32]| -> anyhow::Result<f64> {
        let mut kib = 0;
        for &pid in pids {
            kib += pss(pid).context("a process ended meanwhile")? / 1024;
        }
        Ok(f64::from(u32::try_from(kib)?) / 1024.0)
    };
    let shims = of_command(&all, "shim");
    let sandboxes: Vec<u32> = all
        .iter()
        .filter(|p: &&Process| p.arguments.iter().any(|a| a == "__sandbox"))
        .map(|p| p.pid)
        .collect();
    anyhow::ensure!(shims.len() == INSTANCES, "{} shims for {INSTANCES} instances", shims.len());
    println!("\n| {INSTANCES} idle instances | MiB (PSS) | goal |");
    println!("|---|---:|---:|");
    let each = f64::from(u32::try_from(INSTANCES)?);
    println!("| one shim | {:.2} | 4 |", mib(&shims)? / each);
    println!("| its sandbox helpers | {:.2} | |", mib(&sandboxes)? / each);
    println!("| DTMA | {:.2} | 15 |", mib(&of_command(&all, "dtma"))?);
    println!("| control plane and gateway | {:.2} | 40 |", mib(&of_command(&all, "server"))?);
    Ok(())
}
