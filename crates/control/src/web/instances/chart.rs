//! Charts as SVG, drawn here: figures over time as lines, with what they say in words and nothing that would need a script.

use std::fmt::Write as _;

use domain::time::Timestamp;

/// The picture, in its own units.
const WIDTH: i64 = 480;
const HEIGHT: i64 = 190;
/// Where the lines are in it.
const LEFT: i64 = 66;
const RIGHT: i64 = 8;
const TOP: i64 = 12;
const BOTTOM: i64 = 24;
/// Marks of time along the bottom.
const MARKS: i64 = 4;

/// A chart as a template draws it.
#[derive(Debug)]
pub(crate) struct Chart {
    /// Unique in its page.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What the lines say, in words.
    pub(crate) description: String,
    pub(crate) lines: Vec<Line>,
    /// Lines across: how far down, and the figure.
    pub(crate) levels: Vec<(i64, String)>,
    /// Along the bottom: how far right, and the time.
    pub(crate) times: Vec<(i64, String)>,
}

/// One line of a chart.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) label: &'static str,
    /// Its `d`; empty when nothing was seen.
    pub(crate) path: String,
}

/// Figures of one kind over time.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) label: &'static str,
    /// By time.
    pub(crate) points: Vec<(Timestamp, u64)>,
}

/// The span that a chart shows, and what one figure stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) step_seconds: u32,
}

/// How figures of a chart are counted and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    /// What the next larger unit has of the one before: 1000, or of bytes 1024.
    pub(crate) base: u64,
    pub(crate) write: fn(u64) -> String,
}

/// Draws a chart.
pub(crate) fn chart(id: &'static str, title: &'static str, span: Span, all: &[Series], unit: Unit) -> Chart {
    let most = all.iter().flat_map(|series| &series.points).map(|(_, figure)| *figure).max().unwrap_or(0);
    let top = ceiling(most, unit.base);
    let lines = all
        .iter()
        .map(|series| Line { label: series.label, path: path(span, &series.points, top) })
        .collect();
    let level = |figure: u64| (y(figure, top), (unit.write)(figure));
    Chart {
        id,
        title,
        description: description(all, unit),
        lines,
        levels: vec![level(0), level(top / 2), level(top)],
        times: times(span),
    }
}

/// The smallest round figure that is not below, at least 2: one, two, four or eight of a unit's tens.
fn ceiling(most: u64, base: u64) -> u64 {
    let mut unit = 1_u64;
    while let Some(larger) = unit.checked_mul(base).filter(|larger| *larger <= most) {
        unit = larger;
    }
    let steps = [1, 2, 4, 8, 10, 20, 40, 80, 100, 200, 400, 800, 1000];
    let all = steps.into_iter().map(|step: u64| step.saturating_mul(unit));
    all.chain([most]).find(|figure| most <= *figure).unwrap_or(most).max(2)
}

fn y(figure: u64, top: u64) -> i64 {
    let height = u64::try_from(HEIGHT - TOP - BOTTOM).unwrap_or(1);
    let up = u128::from(figure.min(top)) * u128::from(height) / u128::from(top.max(1));
    HEIGHT - BOTTOM - i64::try_from(up).unwrap_or(0)
}

/// How far right a moment is, in tenths.
fn tenths(span: Span, at: i64) -> i64 {
    let (length, width) = ((span.until.0 - span.from.0).max(1), i128::from((WIDTH - LEFT - RIGHT) * 10));
    let right = i128::from((at - span.from.0).clamp(0, length)) * width / i128::from(length);
    LEFT * 10 + i64::try_from(right).unwrap_or(0)
}

/// A line through the figures, with gaps where nothing was seen.
fn path(span: Span, points: &[(Timestamp, u64)], top: u64) -> String {
    let step = i64::from(span.step_seconds) * 1_000_000;
    let mut path = String::new();
    let mut before: Option<i64> = None;
    for (i, (at, figure)) in points.iter().enumerate() {
        let goes_on = before.is_some_and(|before| at.0 - before <= step);
        let is_alone = !goes_on && points.get(i + 1).is_none_or(|(next, _)| step < next.0 - at.0);
        let x = tenths(span, at.0 + step / 2);
        let command = if goes_on { 'L' } else { 'M' };
        // Writing to a String cannot fail.
        let _ = write!(path, "{command}{}.{} {}", x / 10, x % 10, y(*figure, top));
        if is_alone {
            // A line of no length is a dot where its ends are round.
            path.push_str("h.01");
        }
        before = Some(at.0);
    }
    path
}

fn times(span: Span) -> Vec<(i64, String)> {
    let length = span.until.0 - span.from.0;
    let is_long = 2 * 86_400_000_000 < length;
    let marks = (0..MARKS).map(|i| span.from.0 + length * (2 * i + 1) / (2 * MARKS));
    marks.map(|at| (tenths(span, at) / 10, clock(Timestamp(at), is_long))).collect()
}

/// A moment as the marks of a chart have it: of the day, or of the year.
pub(crate) fn clock(at: Timestamp, is_long: bool) -> String {
    let text = at.to_string();
    let part = if is_long { text.get(5..10) } else { text.get(11..16) };
    part.unwrap_or(&text).to_owned()
}

fn description(all: &[Series], unit: Unit) -> String {
    let of = |series: &Series| {
        let most = series.points.iter().map(|(_, figure)| *figure).max()?;
        let (_, last) = series.points.last()?;
        Some(format!("{}: at most {}, {} at last", series.label, (unit.write)(most), (unit.write)(*last)))
    };
    let all: Vec<String> = all.iter().filter_map(of).collect();
    if all.is_empty() { "Nothing was seen in this time.".to_owned() } else { format!("{}.", all.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    const SPAN: Span = Span { from: Timestamp(0), until: Timestamp(60 * MINUTE), step_seconds: 60 };
    const PLAIN: Unit = Unit { base: 1000, write: |figure| figure.to_string() };

    #[test]
    fn ceilings_are_round() {
        for (most, base, expected) in [
            (0, 1000, 2),
            (1, 1000, 2),
            (3, 1000, 4),
            (9, 1000, 10),
            (11, 1000, 20),
            (850, 1000, 1000),
            (1001, 1000, 2000),
            (3 << 20, 1024, 4 << 20),
            (1023 << 20, 1024, 1023 << 20),
            (u64::MAX, 1000, u64::MAX),
        ] {
            let found = ceiling(most, base);
            assert!(most <= found, "{most}: {found}");
            assert_eq!(found, expected, "{most}");
        }
    }

    #[test]
    fn lines_have_gaps_and_stay_in_the_picture() {
        let points =
            [(0, 0), (1, 10), (3, 5), (59, 100)].map(|(at, figure)| (Timestamp(at * MINUTE), figure));
        let series = [Series { label: "calls", points: points.to_vec() }];
        let chart = chart("calls", "Calls", SPAN, &series, PLAIN);
        assert_eq!(chart.lines[0].path, "M69.3 166L76.1 151M89.6 159h.01M468.6 12h.01");
        assert_eq!(chart.description, "calls: at most 100, 100 at last.");
        assert_eq!(chart.levels, [(166, "0".to_owned()), (89, "50".to_owned()), (12, "100".to_owned())]);
        let times: Vec<&str> = chart.times.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(times, ["00:07", "00:22", "00:37", "00:52"]);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let series = [Series { label: "calls", points: Vec::new() }];
        let chart = chart("calls", "Calls", SPAN, &series, PLAIN);
        assert_eq!(chart.lines[0].path, "");
        assert_eq!(chart.description, "Nothing was seen in this time.");
    }
}
