//! What instances use and how they are called, counted in memory. Calls are counted after their answer, from the lines of their audit, so nothing
//! of this is on their way; every minute the counts are written down.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use api::audit::CallOutcome;
use domain::ids::InstanceId;
use domain::measure::Measure;
use domain::status::InstanceMetrics;
use domain::time::Timestamp;
use gateway::Line;
use store::metrics::{MetricsRow, Step};

/// A span that ended so long ago gets nothing more: calls are counted when they end, and their lines wait for less.
const LATE: i64 = 120_000_000;
/// Methods whose answers are streams that last as long as their client listens: how long says nothing.
const LISTENING: [&str; 1] = ["subscriptions/listen"];

/// The counts of this process.
#[derive(Debug)]
pub(crate) struct Usage {
    /// Which process this is; no other has the same, also not after a restart.
    writer: String,
    spans: Mutex<HashMap<(InstanceId, Step, Timestamp), Span>>,
}

#[derive(Debug, Clone, Default)]
struct Span {
    measure: Measure,
    /// How often it changed since it was last written.
    changes: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { writer: uuid::Uuid::now_v7().to_string(), spans: Mutex::default() }
    }
}

impl Usage {
    /// What a heartbeat says that an instance uses.
    pub(crate) fn sample(&self, instance: InstanceId, at: Timestamp, seen: &InstanceMetrics) {
        self.add(instance, at, |measure| measure.sample(seen.memory_bytes, seen.cpu_millicores));
    }

    /// Calls that have ended.
    pub(crate) fn calls(&self, lines: &[Line]) {
        for line in lines {
            let Some(target) = &line.target else { continue };
            let took = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX);
            let ended = Timestamp(line.at.0.saturating_add(i64::try_from(took).unwrap_or(i64::MAX)));
            let is_timed = !LISTENING.contains(&line.method.as_ref());
            self.add(target.instance, ended, |measure| {
                measure.calls += 1;
                match line.result {
                    CallOutcome::Ok => {}
                    CallOutcome::Error => measure.errors += 1,
                    CallOutcome::Refused => measure.refused += 1,
                    CallOutcome::Cancelled | CallOutcome::Accepted => return,
                }
                if is_timed && line.result != CallOutcome::Refused {
                    measure.took.add(took);
                }
            });
        }
    }

    fn add(&self, instance: InstanceId, at: Timestamp, change: impl Fn(&mut Measure)) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for step in [Step::Minute, Step::Hour] {
            let span = spans.entry((instance, step, begin(step, at))).or_default();
            change(&mut span.measure);
            span.changes += 1;
        }
    }

    /// What is not written yet, with how often each changed, for [`Usage::written`].
    pub(crate) fn unwritten(&self) -> Vec<(MetricsRow, u64)> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = spans.iter().filter(|(_, span)| 0 < span.changes);
        changed.map(|(key, span)| (self.row(key, span), span.changes)).collect()
    }

    /// Notes that rows were written, and forgets spans that are over.
    pub(crate) fn written(&self, rows: &[(MetricsRow, u64)], now: Timestamp) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for (row, changes) in rows {
            if let Some(span) = spans.get_mut(&(row.instance, row.step, row.at)) {
                span.changes = span.changes.saturating_sub(*changes);
            }
        }
        spans.retain(|(_, step, at), span| 0 < span.changes || now.0 < end(*step, *at) + LATE);
    }

    /// Forgets what could not be written and is older than it would be kept.
    pub(crate) fn forget(&self, step: Step, before: Timestamp) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.retain(|(_, of, at), _| *of != step || before <= *at);
    }

    /// What was read from the database, with the counts of this process as they are now in the place of those it wrote.
    pub(crate) fn with_present(
        &self,
        mut rows: Vec<MetricsRow>,
        step: Step,
        since: Timestamp,
        is_wanted: impl Fn(InstanceId) -> bool,
    ) -> Vec<MetricsRow> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|row| row.writer != self.writer || !spans.contains_key(&(row.instance, step, row.at)));
        let own = spans.iter().filter(|((id, of, at), _)| *of == step && since <= *at && is_wanted(*id));
        rows.extend(own.map(|(key, span)| self.row(key, span)));
        rows
    }

    fn row(&self, (instance, step, at): &(InstanceId, Step, Timestamp), span: &Span) -> MetricsRow {
        let (writer, measure) = (self.writer.clone(), span.measure.clone());
        MetricsRow { instance: *instance, step: *step, at: *at, writer, measure }
    }
}

/// When the span begins in which `at` lies.
pub(crate) fn begin(step: Step, at: Timestamp) -> Timestamp {
    floor(step.seconds(), at)
}

/// The last multiple of so many seconds that is not after `at`.
pub(crate) fn floor(seconds: i64, at: Timestamp) -> Timestamp {
    let length = seconds * 1_000_000;
    Timestamp(at.0.div_euclid(length) * length)
}

fn end(step: Step, at: Timestamp) -> i64 {
    at.0 + step.seconds() * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    /// The beginning of an hour.
    const HOUR: i64 = 1_800_000_000 * SECOND;

    fn seen(memory_bytes: u64) -> InstanceMetrics {
        InstanceMetrics { cpu_millicores: None, memory_bytes, received_bytes: None, sent_bytes: None }
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_again() {
        let (usage, id) = (Usage::default(), InstanceId::generate());
        assert!(usage.unwritten().is_empty());
        usage.sample(id, Timestamp(HOUR + 5 * SECOND), &seen(10));
        let first = usage.unwritten();
        assert_eq!(first.len(), 2, "the minute and the hour");
        usage.sample(id, Timestamp(HOUR + 6 * SECOND), &seen(30));
        usage.written(&first, Timestamp(HOUR + 7 * SECOND));
        let second = usage.unwritten();
        assert_eq!(second.len(), 2);
        assert!(second.iter().all(|(row, _)| row.measure.memory_mean() == Some(20)), "{second:?}");
        usage.written(&second, Timestamp(HOUR + 8 * SECOND));
        assert!(usage.unwritten().is_empty());
        // The minute is over, the hour goes on where it was.
        usage.sample(id, Timestamp(HOUR + 65 * SECOND), &seen(80));
        let third = usage.unwritten();
        let hour = third.iter().find(|(row, _)| row.step == Step::Hour).unwrap();
        assert_eq!((hour.0.measure.memory_samples, hour.0.measure.memory_max), (3, 80));
        usage.written(&third, Timestamp(HOUR + 4000 * SECOND));
        let left = usage.with_present(Vec::new(), Step::Minute, Timestamp(0), |_| true);
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn the_present_takes_the_place_of_what_was_written() {
        let (usage, id, other) = (Usage::default(), InstanceId::generate(), InstanceId::generate());
        usage.sample(id, Timestamp(HOUR), &seen(10));
        usage.sample(other, Timestamp(HOUR), &seen(7));
        let row = |writer: &str, at: i64, memory_sum: u64| MetricsRow {
            instance: id,
            step: Step::Minute,
            at: Timestamp(at),
            writer: writer.to_owned(),
            measure: Measure { memory_samples: 1, memory_sum, memory_max: memory_sum, ..Measure::default() },
        };
        let stored = vec![
            row(&usage.writer, HOUR - 60 * SECOND, 1),
            row(&usage.writer, HOUR, 2),
            row("another", HOUR, 4),
        ];
        let all = usage.with_present(stored, Step::Minute, Timestamp(0), |wanted| wanted == id);
        let mut sums: Vec<u64> = all.iter().map(|row| row.measure.memory_sum).collect();
        sums.sort_unstable();
        assert_eq!(sums, [1, 4, 10]);
        usage.forget(Step::Minute, Timestamp(HOUR + 1));
        assert_eq!(usage.unwritten().len(), 2, "the hours");
    }
}
