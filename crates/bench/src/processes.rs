//! What the kernel knows of processes: CPU time, proportional memory, who started whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

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

/// A process below another one.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) arguments: Vec<String>,
}

/// Every process below `root`, at any depth.
pub(crate) fn below(root: u32) -> anyhow::Result<Vec<Process>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
        // The name in parentheses may hold spaces; the parent is the second word after it.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or_default()).or_default().push(pid);
    }
    let mut open = vec![root];
    let mut found = vec![];
    while let Some(pid) = open.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            let line = std::fs::read(PathBuf::from(format!("/proc/{child}/cmdline"))).unwrap_or_default();
            let arguments =
                line.split(|&b| b == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
            found.push(Process { pid: child, arguments });
            open.push(child);
        }
    }
    Ok(found)
}

/// Those whose first argument is `word`.
pub(crate) fn of_command(processes: &[Process], word: &str) -> Vec<u32> {
    processes
        .iter()
        .filter(|p| p.arguments.get(1).is_some_and(|first| first == word))
        .map(|p| p.pid)
        .collect()
}
