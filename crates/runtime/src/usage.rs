//! What instances use: the processor time and memory of their shims' process trees, from `/proc`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::Duration;

use domain::ids::InstanceId;

use crate::layout::Layout;
use crate::leftovers;

/// What one instance has used since its start and uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time since its start. It may go back when a process ends.
    pub cpu: Duration,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Received and sent since its start; `None` where it shares the host's network.
    pub network: Option<Traffic>,
}

/// Bytes over a network of an instance's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// In.
    pub received_bytes: u64,
    /// Out.
    pub sent_bytes: u64,
}

/// `/proc` counts in hundredths of a second: `USER_HZ`, part of the kernel's interface on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

struct Process {
    parent: u32,
    ticks: u64,
}

/// Of every instance whose shim lives. One walk for all of them; blocks for some milliseconds.
pub(crate) fn of_trees(layout: &Layout, instances: &[InstanceId]) -> BTreeMap<InstanceId, Usage> {
    let roots: HashMap<u32, InstanceId> =
        instances.iter().filter_map(|id| leftovers::living_shim(layout, *id).map(|pid| (pid, *id))).collect();
    let mut usages: BTreeMap<InstanceId, Usage> =
        roots.iter().map(|(pid, id)| (*id, Usage { network: traffic(*pid), ..Usage::default() })).collect();
    if roots.is_empty() {
        return usages;
    }
    let processes: HashMap<u32, Process> =
        leftovers::processes().filter_map(|pid| read(pid).map(|process| (pid, process))).collect();
    for (pid, process) in &processes {
        let Some(usage) = root_of(*pid, &processes, &roots).and_then(|id| usages.get_mut(&id)) else {
            continue;
        };
        usage.cpu += TICK.saturating_mul(u32::try_from(process.ticks).unwrap_or(u32::MAX));
        usage.memory_bytes += resident(*pid).unwrap_or_default();
    }
    usages
}

/// The instance in whose tree a process is. A number may be reused while we walk, so the way up has an end.
fn root_of(
    pid: u32,
    processes: &HashMap<u32, Process>,
    roots: &HashMap<u32, InstanceId>,
) -> Option<InstanceId> {
    let mut at = pid;
    for _ in 0..64 {
        if let Some(id) = roots.get(&at) {
            return Some(*id);
        }
        at = processes.get(&at)?.parent;
    }
    None
}

/// From `/proc/PID/stat`: parent, and time in user and system mode, its ended children's too.
fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, in parentheses, is the program's name and may hold anything.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    let ticks = (11..15).filter_map(number).sum();
    Some(Process { parent: u32::try_from(number(1)?).ok()?, ticks })
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// What a process with a network of its own received and sent, but for its loopback; `None` for one that shares ours.
fn traffic(pid: u32) -> Option<Traffic> {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let own = network("self")?;
    if network(&pid.to_string())? == own {
        return None;
    }
    Some(counted(&fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?))
}

/// Sums the interfaces of `/proc/PID/net/dev`: after a name and a colon, bytes received are the first number and bytes
/// sent the ninth.
fn counted(text: &str) -> Traffic {
    let mut sum = Traffic::default();
    for (name, numbers) in text.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        sum.received_bytes += numbers.first().copied().unwrap_or_default();
        sum.sent_bytes += numbers.get(8).copied().unwrap_or_default();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_summed() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n    \
                    lo:     900       1    0    0    0     0          0         0      900       1 0 0 0 0 0 0\n  \
                    eth0:    1000       2    0    0    0     0          0         0      200       3 0 0 0 0 0 0\n  \
                    eth1:      50       2    0    0    0     0          0         0        5       3 0 0 0 0 0 0\n";
        assert_eq!(counted(text), Traffic { received_bytes: 1050, sent_bytes: 205 });
        assert_eq!(counted(""), Traffic::default());
    }

    #[test]
    fn a_tree_counts_as_a_whole() {
        let data = tempfile::tempdir().unwrap();
        let layout = Layout::new(data.path()).unwrap();
        let (id, absent) = (InstanceId::generate(), InstanceId::generate());
        fs::create_dir_all(layout.instance_dir(id)).unwrap();
        // A shell whose child does the work: what the child uses is the instance's.
        let script = "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 100' & wait";
        let mut shell = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        leftovers::record_shim(&layout, id, shell.id()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let usage = loop {
            let usages = of_trees(&layout, &[id, absent]);
            assert_eq!(usages.keys().collect::<Vec<_>>(), [&id], "what does not run uses nothing");
            if Duration::from_millis(20) <= usages[&id].cpu || deadline < std::time::Instant::now() {
                break usages[&id];
            }
        };
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.id())).unwrap();
        for pid in children.split_whitespace().map(|pid| pid.parse().unwrap()) {
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid).unwrap(),
                rustix::process::Signal::KILL,
            )
            .unwrap();
        }
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(Duration::from_millis(20) <= usage.cpu, "{usage:?}");
        assert!(100 << 10 < usage.memory_bytes, "{usage:?}");
        assert_eq!(usage.network, None);
        assert!(of_trees(&layout, &[id]).is_empty(), "it ended");
    }
}
