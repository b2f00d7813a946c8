//! What the kernel knows of processes: CPU time and proportional memory.

use std::time::Duration;

use anyhow::Context as _;
use testkit::processes::Process;

/// CPU time of all threads of these processes together.
pub(crate) fn cpu(pids: &[u32]) -> Duration {
    let mut nanos = 0;
    for pid in pids {
        // A thread that ends meanwhile takes its time with it; Berth's processes keep theirs.
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or_default();
        }
    }
    Duration::from_nanos(nanos)
}

/// Proportional set size in bytes: shared pages are divided by those who share them.
pub(crate) fn pss(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss line")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1024)
}

/// Those whose first argument is `word`.
pub(crate) fn of_command(processes: &[Process], word: &str) -> Vec<u32> {
    processes
        .iter()
        .filter(|p| p.arguments.get(1).is_some_and(|first| first == word))
        .map(|p| p.pid)
        .collect()
}
