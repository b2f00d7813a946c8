//! What came of a run: the table for people, and which of the criteria were broken.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use tokio::time::Instant;

use crate::kills::Outage;
use crate::record::{Failure, Recorded};
use crate::samples::{OWN, Sample};
use crate::wire::Failed;
use crate::{COMPARABLE, Plan};

/// A killed part must be back within this.
const BACK: Duration = Duration::from_secs(10);
/// Memory and processes may grow so much, in hundredths.
const GROWTH: u64 = 5;
/// Of what is broken so many examples are shown.
const SHOWN: usize = 20;

/// What came of a run. Shown, it is the table.
#[derive(Debug)]
pub struct Report {
    clients: u64,
    time: Duration,
    start: Instant,
    recorded: Recorded,
    outages: Vec<Outage>,
    samples: Vec<Sample>,
    /// Slow calls that the server still has when all clients are gone.
    running: Option<u64>,
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        start: Instant,
        recorded: Recorded,
        outages: Vec<Outage>,
        samples: Vec<Sample>,
        running: Option<u64>,
    ) -> Self {
        Self { clients: plan.clients, time: plan.time, start, recorded, outages, samples, running }
    }

    /// Each criterion that was not met, in words.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = vec![];
        let never_excused = self.recorded.failures.iter().filter(|failure| self.excuse(failure).is_none());
        let total = never_excused.clone().count();
        broken.extend(never_excused.take(SHOWN).map(|failure| self.describe(failure)));
        if SHOWN < total {
            broken.push(format!("{} more like these", total - SHOWN));
        }
        if 0 < self.recorded.not_kept {
            broken.push(format!("{} more failures than could be kept", self.recorded.not_kept));
        }
        for outage in &self.outages {
            let back = outage.until.map(|until| until - outage.from);
            if back.is_none_or(|back| BACK < back) {
                broken
                    .push(format!("the {} was back after {back:?}, more than {BACK:?}", outage.part.name()));
            }
        }
        if self.running != Some(0) {
            broken.push(format!("the server still runs {:?} call(s) that nobody waits for", self.running));
        }
        for kind in
            ["echo", "slow call with progress", "cancelled in mid-call", "list of tools", "resource read"]
        {
            if !self.recorded.done.contains_key(kind) {
                broken.push(format!("no {kind} went well"));
            }
        }
        if COMPARABLE <= self.time {
            for (name, before, after) in self.growth() {
                if before * (100 + GROWTH) < after * 100 {
                    broken.push(format!("{name} grew from {before} to {after}, more than {GROWTH} %"));
                }
            }
        }
        broken
    }

    /// The outage that a failure belongs to. What was in flight at a kill, or was begun until calls were answered again,
    /// may have failed; a wrong answer or none is never excused.
    fn excuse(&self, failure: &Failure) -> Option<usize> {
        if matches!(failure.failed, Failed::Wrong(_) | Failed::Hung) {
            return None;
        }
        self.outages.iter().position(|outage| {
            outage.from <= failure.ended && outage.until.is_none_or(|until| failure.begun <= until)
        })
    }

    fn describe(&self, failure: &Failure) -> String {
        let since = |at: Instant| at.saturating_duration_since(self.start).as_secs_f64();
        let (begun, ended) = (since(failure.begun), since(failure.ended));
        format!("{}: from {begun:.2} s to {ended:.2} s: {:?}", failure.what, failure.failed)
    }

    /// What is compared between the second fifth and the last one of the time: each holds the same kills.
    fn growth(&self) -> Vec<(String, u64, u64)> {
        let compare = |name: &str, value: &dyn Fn(&Sample) -> u64| {
            let median = |from: u32, to: u32| {
                let (from, to) = (self.time * from / 10, self.time * to / 10);
                let within = self.samples.iter().filter(|sample| from <= sample.at && sample.at < to);
                let mut values: Vec<u64> = within.map(value).collect();
                values.sort_unstable();
                values.get(values.len() / 2).copied().unwrap_or_default()
            };
            (name.to_owned(), median(2, 4), median(8, 10))
        };
        let mut rows: Vec<_> = (OWN.iter().enumerate())
            .map(|(at, own)| {
                compare(&format!("memory of `berth {own}`, KiB"), &|s| kib(s.memory.get(at).copied()))
            })
            .collect();
        rows.push(compare("memory of these together, KiB", &|sample| kib(Some(sample.total()))));
        rows.push(compare("processes", &|sample| sample.count));
        rows
    }
}

fn kib(bytes: Option<u64>) -> u64 {
    bytes.unwrap_or_default() / 1024
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let failures = &self.recorded.failures;
        let count = |is: &dyn Fn(&Failure) -> bool| failures.iter().filter(|failure| is(failure)).count();
        let done: usize = self.recorded.done.values().map(Vec::len).sum();
        writeln!(f, "\n| {} clients, {} s | |\n|---|---:|", self.clients, self.time.as_secs())?;
        writeln!(f, "| went well | {done} |")?;
        writeln!(f, "| wrong or crossed answers | {} |", count(&|it| matches!(it.failed, Failed::Wrong(_))))?;
        writeln!(f, "| hangs | {} |", count(&|it| it.failed == Failed::Hung))?;
        writeln!(f, "| failed with a kill | {} |", count(&|it| self.excuse(it).is_some()))?;
        let without = |it: &Failure| {
            self.excuse(it).is_none() && matches!(it.failed, Failed::Lost(_) | Failed::Refused(_))
        };
        writeln!(f, "| failed without one | {} |", count(&without))?;
        let running = self.running.map_or("unknown".to_owned(), |running| running.to_string());
        writeln!(f, "| calls that ran on when all had left | {running} |")?;

        writeln!(f, "\n| what | times | p50 ms | p99 ms | longest ms |\n|---|---:|---:|---:|---:|")?;
        for (what, times) in &self.recorded.done {
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let at = |share: usize| {
                let last = sorted.len().saturating_sub(1);
                f64::from(sorted.get(last * share / 100).copied().unwrap_or_default()) / 1e3
            };
            writeln!(f, "| {what} | {} | {:.1} | {:.1} | {:.1} |", sorted.len(), at(50), at(99), at(100))?;
        }

        writeln!(f, "\n| killed | at s | answers again after s | failed with it |\n|---|---:|---:|---:|")?;
        for (at, outage) in self.outages.iter().enumerate() {
            let killed = (outage.from - self.start).as_secs_f64();
            let back = outage
                .until
                .map_or("never".to_owned(), |until| format!("{:.2}", (until - outage.from).as_secs_f64()));
            let failed = count(&|failure| self.excuse(failure) == Some(at));
            writeln!(f, "| {} | {killed:.1} | {back} | {failed} |", outage.part.name())?;
        }

        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for failure in failures.iter().filter(|failure| self.excuse(failure).is_some()) {
            if let Failed::Lost(why) | Failed::Refused(why) = &failure.failed {
                *reasons.entry(why.chars().take(160).collect()).or_default() += 1;
            }
        }
        writeln!(f, "\n| how calls failed with a kill | times |\n|---|---:|")?;
        for (why, times) in &reasons {
            writeln!(f, "| {} | {times} |", why.replace('|', "/"))?;
        }

        writeln!(f, "\n| MiB (PSS) after min | up | server | dtma | shim | together | processes |")?;
        writeln!(f, "|---:|---:|---:|---:|---:|---:|---:|")?;
        let mut minute = 0;
        for sample in &self.samples {
            if sample.at.as_secs() / 60 < minute {
                continue;
            }
            minute = sample.at.as_secs() / 60 + 1;
            write!(f, "| {:.1} |", sample.at.as_secs_f64() / 60.0)?;
            for bytes in sample.memory.into_iter().chain([sample.total()]) {
                write!(f, " {:.2} |", Duration::from_millis((bytes * 1000) >> 20).as_secs_f64())?;
            }
            writeln!(f, " {} |", sample.count)?;
        }

        writeln!(f, "\n| median | second fifth of the time | last fifth |\n|---|---:|---:|")?;
        for (name, before, after) in self.growth() {
            writeln!(f, "| {name} | {before} | {after} |")?;
        }
        Ok(())
    }
}
