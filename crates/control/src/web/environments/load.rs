//! Load and room of a machine, for its meters.

use domain::status::SystemMetrics;

use crate::web::words::bytes;

/// Whole percent of each, and words.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) cpu: u8,
    pub(super) memory: u8,
    pub(super) memory_words: String,
    pub(super) disk: Option<Disk>,
}

/// The disk that holds the data.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) used: u8,
    pub(super) words: String,
    pub(super) mount: String,
}

impl Load {
    pub(super) fn of(system: &SystemMetrics) -> Self {
        let memory = &system.memory;
        Self {
            cpu: percent(system.cpu_load_percent),
            memory: share(memory.used_bytes, memory.total_bytes),
            memory_words: format!("{} of {}", bytes(memory.used_bytes), bytes(memory.total_bytes)),
            disk: system.disk.as_ref().map(|disk| Disk {
                used: share(disk.used_bytes, disk.total_bytes),
                words: format!("{} of {}", bytes(disk.used_bytes), bytes(disk.total_bytes)),
                mount: disk.mount.clone(),
            }),
        }
    }
}

/// A part of a whole, 0 to 100.
fn share(part: u64, whole: u64) -> u8 {
    u8::try_from(part.saturating_mul(100) / whole.max(1)).unwrap_or(100).min(100)
}

/// A share as a whole number of 0 to 100.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is between 0 and 100"
)]
fn percent(share: f64) -> u8 {
    share.clamp(0.0, 100.0).round() as u8
}

/// Seconds as the two largest units, such as `3 days 4 hours`.
pub(super) fn span(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let first = units.iter().position(|(size, _)| *size <= seconds).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let words = units.iter().skip(first).take(2).filter_map(|(size, unit)| {
        let count = rest / size;
        rest %= size;
        (count != 0).then(|| format!("{count} {unit}{}", if count == 1 { "" } else { "s" }))
    });
    let words: Vec<String> = words.collect();
    if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (61, "1 minute 1 second"),
            (3_600, "1 hour"),
            (3_659, "1 hour"),
            (90_000, "1 day 1 hour"),
            (86_400 * 40, "40 days"),
        ] {
            assert_eq!(span(seconds), words);
        }
        for (part, whole, percent) in [(0, 0, 0), (1, 3, 33), (3, 3, 100), (4, 3, 100), (u64::MAX, 1, 100)] {
            assert_eq!(share(part, whole), percent);
        }
        assert_eq!((percent(-1.0), percent(33.6), percent(f64::INFINITY)), (0, 34, 100));
    }
}
