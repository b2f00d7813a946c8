//! What an instance used and how it was called, over a span of time: sums that can be added to one another, and a histogram of how long calls
//! took.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The upper bound of the first bucket, in microseconds.
const FIRST: u64 = 100;
/// How many buckets there are; the last has no upper bound.
const BUCKETS: usize = 80;
/// Upper bounds in microseconds, each a fifth more than the one before: from 100 µs to three minutes.
const BOUNDS: [u64; BUCKETS] = bounds();

const fn bounds() -> [u64; BUCKETS] {
    let mut bounds = [FIRST; BUCKETS];
    let mut i = 1;
    while i < BUCKETS {
        bounds[i] = bounds[i - 1] + bounds[i - 1] / 5;
        i += 1;
    }
    bounds
}

/// How long calls took, counted in buckets whose bounds grow by a fifth. A percentile is therefore wrong by a tenth or so, and a histogram
/// takes a few bytes however many calls it has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(BTreeMap<u8, u64>);

impl Histogram {
    /// Counts a call that took so many microseconds.
    pub fn add(&mut self, micros: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < micros).min(BUCKETS - 1);
        // There are fewer buckets than a byte has values.
        let bucket = u8::try_from(bucket).unwrap_or(u8::MAX);
        *self.0.entry(bucket).or_default() += 1;
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            let own = self.0.entry(*bucket).or_default();
            *own = own.saturating_add(*count);
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time in microseconds within which so many thousandths of the calls were done; `None` when there was none. Within a bucket the
    /// calls are taken to lie evenly.
    pub fn percentile(&self, thousandths: u64) -> Option<u64> {
        let total: u64 = self.0.values().sum();
        if total == 0 {
            return None;
        }
        let rank = total.saturating_mul(thousandths.min(1000)).div_ceil(1000).max(1);
        let mut before = 0;
        for (&bucket, &count) in &self.0 {
            if rank <= before + count {
                let bucket = usize::from(bucket).min(BUCKETS - 1);
                let low = bucket.checked_sub(1).map_or(0, |below| BOUNDS[below]);
                let width = BOUNDS[bucket] - low;
                return Some(low + width.saturating_mul(rank - before) / count.max(1));
            }
            before += count;
        }
        None
    }
}

/// What was seen of one instance in a span of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measure {
    /// How often its memory was measured.
    pub memory_samples: u64,
    /// The sum of what was measured, in bytes.
    pub memory_sum: u64,
    /// The most that was measured, in bytes.
    pub memory_max: u64,
    /// How often the processor was measured.
    pub cpu_samples: u64,
    /// The sum of what was measured, in thousandths of a core.
    pub cpu_sum: u64,
    /// The most that was measured, in thousandths of a core.
    pub cpu_max: u64,
    /// Requests at its address that ended in the span.
    pub calls: u64,
    /// Those of them that were answered with an error, or whose answer was lost.
    pub errors: u64,
    /// Those of them that were not carried out.
    pub refused: u64,
    /// How long those that were answered took.
    pub took: Histogram,
}

impl Measure {
    /// One measurement, as a heartbeat has it.
    pub fn sample(&mut self, memory_bytes: u64, cpu_millicores: Option<u64>) {
        self.memory_samples += 1;
        self.memory_sum = self.memory_sum.saturating_add(memory_bytes);
        self.memory_max = self.memory_max.max(memory_bytes);
        if let Some(cpu) = cpu_millicores {
            self.cpu_samples += 1;
            self.cpu_sum = self.cpu_sum.saturating_add(cpu);
            self.cpu_max = self.cpu_max.max(cpu);
        }
    }

    /// Adds what was seen in another span, or by another process in the same.
    pub fn merge(&mut self, other: &Self) {
        self.memory_samples += other.memory_samples;
        self.memory_sum = self.memory_sum.saturating_add(other.memory_sum);
        self.memory_max = self.memory_max.max(other.memory_max);
        self.cpu_samples += other.cpu_samples;
        self.cpu_sum = self.cpu_sum.saturating_add(other.cpu_sum);
        self.cpu_max = self.cpu_max.max(other.cpu_max);
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        self.refused = self.refused.saturating_add(other.refused);
        self.took.merge(&other.took);
    }

    /// The mean of the memory in bytes; `None` when it was not measured.
    pub fn memory_mean(&self) -> Option<u64> {
        self.memory_sum.checked_div(self.memory_samples)
    }

    /// The mean of the processor in thousandths of a core; `None` when it was not measured.
    pub fn cpu_mean(&self) -> Option<u64> {
        self.cpu_sum.checked_div(self.cpu_samples)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for took in micros {
            histogram.add(*took);
        }
        histogram
    }

    #[test]
    fn percentiles() {
        #[track_caller]
        fn check(micros: &[u64], thousandths: u64, expected: Option<u64>) {
            let found = of(micros).percentile(thousandths);
            match (found, expected) {
                (None, None) => {}
                (Some(found), Some(expected)) => {
                    let off = found.abs_diff(expected);
                    assert!(
                        off <= expected / 5 + FIRST,
                        "{thousandths} of {micros:?}: {found}, not {expected}"
                    );
                }
                _ => panic!("{thousandths} of {micros:?}: {found:?}"),
            }
        }
        check(&[], 500, None);
        check(&[1000], 1, Some(1000));
        check(&[1000], 1000, Some(1000));
        check(&[0], 500, Some(100));
        let hundred: Vec<u64> = (1..=100).map(|n| n * 1000).collect();
        check(&hundred, 500, Some(50_000));
        check(&hundred, 950, Some(95_000));
        check(&hundred, 990, Some(99_000));
        let one_slow: Vec<u64> = std::iter::repeat_n(2000, 99).chain([9_000_000]).collect();
        check(&one_slow, 500, Some(2000));
        check(&one_slow, 1000, Some(9_000_000));
        // Beyond the last bound the last bound is said.
        assert_eq!(of(&[u64::MAX]).percentile(500), Some(BOUNDS[BUCKETS - 1]));
        assert!((150_000_000..200_000_000).contains(&BOUNDS[BUCKETS - 1]), "{BOUNDS:?}");
    }

    #[test]
    fn it_is_written_in_few_bytes() {
        let text = serde_json::to_string(&of(&[90, 90, 2000])).unwrap();
        assert_eq!(text, r#"{"0":2,"17":1}"#);
        assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), of(&[2000, 90, 90]));
        // A bucket that this version does not have is taken for the last.
        let odd: Histogram = serde_json::from_str(r#"{"255":1}"#).unwrap();
        assert_eq!(odd.percentile(500), Some(BOUNDS[BUCKETS - 1]));
    }

    proptest! {
        #[test]
        fn to_merge_is_to_have_seen_both(a in prop::collection::vec(0..1u64 << 40, 0..40), b in prop::collection::vec(0..1u64 << 40, 0..40)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn percentiles_grow(micros in prop::collection::vec(0..1u64 << 40, 1..40)) {
            let histogram = of(&micros);
            let found: Vec<_> = [1, 500, 950, 990, 1000].map(|q| histogram.percentile(q)).to_vec();
            prop_assert!(found.is_sorted());
            prop_assert!(found[0].is_some());
        }
    }
}
