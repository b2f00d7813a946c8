//! What the kernel knows of processes: CPU time.

use std::time::Duration;

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

/// Lets this process open as many files as the host lets it.
pub(crate) fn allow_many_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
}

/// Those whose first argument is `word`.
pub(crate) fn of_command(processes: &[Process], word: &str) -> Vec<u32> {
    processes
        .iter()
        .filter(|p| p.arguments.get(1).is_some_and(|first| first == word))
        .map(|p| p.pid)
        .collect()
}
