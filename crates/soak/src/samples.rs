//! How much memory Berth's processes have and how many processes there are, looked at every few seconds.

use std::time::Duration;

use testkit::platform::Platform;
use testkit::processes;
use tokio::time::Instant;

/// Whose memory is looked at.
pub(crate) const OWN: [&str; 4] = ["up", "server", "dtma", "shim"];

/// One look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) at: Duration,
    /// Proportional set sizes in bytes, in the order of [`OWN`]; both shims together.
    pub(crate) memory: [u64; 4],
    /// `berth up` and all below it.
    pub(crate) count: u64,
}

impl Sample {
    /// All of Berth's own processes.
    pub(crate) fn total(&self) -> u64 {
        self.memory.iter().sum()
    }
}

/// Looks every `every` until `end`.
pub(crate) async fn take(platform: &Platform, start: Instant, end: Instant, every: Duration) -> Vec<Sample> {
    let mut samples = vec![];
    let mut next = start + every;
    while next < end {
        tokio::time::sleep_until(next).await;
        samples.push(sample(platform, start.elapsed()));
        next += every;
    }
    samples
}

fn sample(platform: &Platform, at: Duration) -> Sample {
    let all = platform.processes();
    let mut memory = [0; 4];
    let mut count = 1;
    for process in &all {
        count += 1;
        let word = process.arguments.get(1).map(String::as_str).unwrap_or_default();
        if let Some(sum) = OWN.iter().zip(&mut memory).find_map(|(own, sum)| (*own == word).then_some(sum)) {
            *sum += processes::pss(process.pid).unwrap_or_default();
        }
        // What started the control plane is `berth up`, which is not below itself.
        if word == "server" {
            memory[0] = processes::pss(process.parent).unwrap_or_default();
        }
    }
    Sample { at, memory, count }
}
