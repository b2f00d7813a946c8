//! The processes of a platform: who started whom, and ending one of them as a crash would.

use std::collections::BTreeMap;
use std::path::Path;

/// One process, as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// Program and arguments.
    pub arguments: Vec<String>,
}

impl Process {
    /// Whether an argument is, or ends with, `word`.
    pub fn has(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| argument == word || argument.ends_with(&format!("/{word}")))
    }
}

/// Every process of the machine that is no zombie.
///
/// # Panics
/// When `/proc` cannot be read.
pub fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("/proc is readable");
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("/proc is readable").path();
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        read(&path, pid)
    };
    entries.filter_map(read).collect()
}

/// Every process below `root` at any depth, parents before children.
///
/// # Panics
/// When `/proc` cannot be read.
pub fn below(root: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut open = vec![root];
    let mut found = vec![];
    while let Some(pid) = open.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// `None` for a process that ended meanwhile, or that waits as a zombie.
fn read(path: &Path, pid: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(path.join("stat")).ok()?;
    // The name in parentheses may hold spaces; state and parent follow it.
    let mut rest = stat.rsplit(')').next()?.split_whitespace();
    if rest.next()? == "Z" {
        return None;
    }
    let parent = rest.next()?.parse().ok()?;
    let line = std::fs::read(path.join("cmdline")).ok()?;
    let arguments = line
        .split(|&byte| byte == 0)
        .filter(|part| !part.is_empty())
        .map(|part| String::from_utf8_lossy(part).into_owned())
        .collect();
    Some(Process { pid, parent, arguments })
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    read(Path::new(&format!("/proc/{pid}")), pid).is_some()
}

/// Proportional set size in bytes: shared pages are divided by those who share them. `None` when it is gone or not ours to
/// look at.
pub fn pss(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
}

/// Sends a signal; one who is gone already is fine.
///
/// # Panics
/// When the kernel refuses.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let target = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    match rustix::process::kill_process(target, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("{pid} could not be sent {signal:?}: {error}"),
    }
}

/// `kill -9`.
pub fn kill(pid: u32) {
    signal(pid, rustix::process::Signal::KILL);
}
