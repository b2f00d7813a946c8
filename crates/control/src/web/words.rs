//! Figures as people read them, for templates.

use std::fmt;

use domain::status::{EnvironmentStatus, InstanceStatus};
use domain::time::Timestamp;

use crate::directory::now;

/// A moment, however often it is borrowed: templates borrow more or less, as they are nested.
pub(crate) trait Moment {
    fn at(&self) -> Timestamp;
}

impl Moment for Timestamp {
    fn at(&self) -> Timestamp {
        *self
    }
}

impl<T: Moment> Moment for &T {
    fn at(&self) -> Timestamp {
        (*self).at()
    }
}

/// How long ago a moment is, in the largest unit that fits, such as `3 minutes ago`.
pub(crate) fn ago(at: impl Moment) -> String {
    since(now().micros_since(at.at()) / 1_000_000)
}

fn since(seconds: i64) -> String {
    let (count, unit) = match seconds {
        ..10 => return "just now".to_owned(),
        10..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// A moment to the second in UTC, such as `2026-11-24 09:30:12 UTC`.
pub(crate) fn moment(at: impl Moment) -> String {
    let text = at.at().to_string();
    text.get(..19).map(|second| format!("{} UTC", second.replace('T', " "))).unwrap_or(text)
}

/// A quantity of bytes in the unit that gives at most four digits, such as `512 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while scale.saturating_mul(1024) <= count && unit + 1 < UNITS.len() {
        scale *= 1024;
        unit += 1;
    }
    let tenths = count / (scale / 10).max(1);
    if unit == 0 || 100 <= tenths {
        return format!("{} {}", count / scale, UNITS[unit]);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A browser and its machine by what it says of itself (`User-Agent`), as people call them; the text itself where nothing of it is known.
pub(crate) fn browser(agent: &str) -> String {
    // The first that is found: each later one is also in what the ones before it say.
    let first = |all: &[(&str, &'static str)]| {
        all.iter().find(|(word, _)| agent.contains(word)).map(|(_, name)| *name)
    };
    let program = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
    ]);
    let machine = first(&[
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("CrOS", "ChromeOS"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (program, machine) {
        (Some(program), Some(machine)) => format!("{program} on {machine}"),
        (Some(program), None) => program.to_owned(),
        (None, _) => agent.to_owned(),
    }
}

/// A text as HTML.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        match letter {
            '&' => out.push_str("&#38;"),
            '<' => out.push_str("&#60;"),
            '>' => out.push_str("&#62;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
        out
    })
}

/// A path, address or package as HTML, of which a line ends after a slash rather than within a word.
pub(crate) fn broken(text: &str) -> String {
    escaped(text).replace('/', "/<wbr>")
}

/// A text of ours as HTML, with what stands between backticks as code. Everything in it is escaped, whoever it comes from.
pub(crate) fn marked(text: &str) -> String {
    let pieces: Vec<&str> = text.split('`').collect();
    // A backtick that nothing answers is a letter like others.
    let paired = if pieces.len() % 2 == 1 { pieces.len() } else { pieces.len() - 1 };
    let mut out = String::with_capacity(text.len() + 32);
    for (at, piece) in pieces.iter().enumerate() {
        match (at % 2 == 1, at < paired) {
            (true, true) => out.extend(["<code>", &escaped(piece), "</code>"]),
            (false, true) => out.push_str(&escaped(piece)),
            (_, false) => out.extend(["`", &escaped(piece)]),
        }
    }
    out
}

/// A time in microseconds as three digits and a unit, such as `1.25 s`.
pub(crate) fn took(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        100_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000),
    }
}

/// How a state looks: what it means for whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Off, as somebody wants it.
    Quiet,
    /// Somebody should look.
    Bad,
}

impl Tone {
    /// For templates, which compare no words.
    pub(crate) fn is_bad(self) -> bool {
        self == Self::Bad
    }

    /// Likewise.
    pub(crate) fn is_busy(self) -> bool {
        self == Self::Busy
    }
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Quiet => "quiet",
            Self::Bad => "bad",
        })
    }
}

/// A state as a page shows it: a tone and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) tone: Tone,
    pub(crate) words: &'static str,
}

impl From<InstanceStatus> for Badge {
    fn from(status: InstanceStatus) -> Self {
        let (tone, words) = match status {
            InstanceStatus::PendingDeploy => (Tone::Busy, "waiting for its host"),
            InstanceStatus::Installing => (Tone::Busy, "installing"),
            InstanceStatus::Starting => (Tone::Busy, "starting"),
            InstanceStatus::Running => (Tone::Good, "running"),
            InstanceStatus::Asleep => (Tone::Quiet, "asleep"),
            InstanceStatus::Stopping => (Tone::Busy, "stopping"),
            InstanceStatus::Stopped => (Tone::Quiet, "stopped"),
            InstanceStatus::ErrorInstall => (Tone::Bad, "install failed"),
            InstanceStatus::ErrorRuntime => (Tone::Bad, "crashed"),
            InstanceStatus::Deleting => (Tone::Busy, "being removed"),
        };
        Self { tone, words }
    }
}

impl From<EnvironmentStatus> for Badge {
    fn from(status: EnvironmentStatus) -> Self {
        let (tone, words) = match status {
            EnvironmentStatus::Creating => (Tone::Busy, "being ordered"),
            EnvironmentStatus::Provisioning => (Tone::Busy, "being made"),
            EnvironmentStatus::AwaitingHeartbeat => (Tone::Busy, "waiting for its DTMA"),
            EnvironmentStatus::Active => (Tone::Good, "active"),
            EnvironmentStatus::Unresponsive => (Tone::Bad, "not heard"),
            EnvironmentStatus::ErrorCreation => (Tone::Bad, "was not made"),
            EnvironmentStatus::ErrorProvisioning => (Tone::Bad, "not usable"),
            EnvironmentStatus::Deleting => (Tone::Busy, "being destroyed"),
            EnvironmentStatus::ErrorDeletion => (Tone::Bad, "cannot be destroyed"),
            EnvironmentStatus::Deprovisioned => (Tone::Bad, "destroyed elsewhere"),
        };
        Self { tone, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (count, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (10 << 20, "10 MiB"),
            (16 << 30, "16 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(bytes(count), words);
        }
        for (seconds, words) in [
            (0, "just now"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (86_400, "1 day ago"),
            (864_000, "10 days ago"),
        ] {
            assert_eq!(since(seconds), words);
        }
        for (text, html) in [
            ("", ""),
            ("no `a<b` here", "no <code>a&#60;b</code> here"),
            ("`<script>`", "<code>&#60;script&#62;</code>"),
            ("one ` alone & \"so\"", "one ` alone &#38; &#34;so&#34;"),
            ("`a` and `b", "<code>a</code> and `b"),
        ] {
            assert_eq!(marked(text), html);
        }
        assert_eq!(broken("npm:@a/<b>"), "npm:@a/<wbr>&#60;b&#62;");
        for (micros, words) in
            [(0, "0 µs"), (999, "999 µs"), (1_250, "1.2 ms"), (250_000, "250 ms"), (1_250_000, "1.25 s")]
        {
            assert_eq!(took(micros), words);
        }
        assert_eq!(moment(Timestamp(1_764_000_000_000_000)), "2025-11-24 16:00:00 UTC");
        for (agent, words) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
                "Chrome on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 Version/18.0 Mobile Safari/604.1",
                "Safari on an iPhone",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Firefox on macOS",
            ),
            ("curl/8.14", "curl"),
            ("Test/1", "Test/1"),
            ("", ""),
        ] {
            assert_eq!(browser(agent), words, "{agent}");
        }
    }
}
