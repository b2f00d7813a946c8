//! What a text is now and was before, line by line; and texts of strangers, in which nothing is hidden.

use std::fmt::Write as _;

/// Lines that are the same on both sides, shown before and after one that is not.
const AROUND: usize = 3;
/// Beyond so many pairs of lines all of the one are gone and all of the other new: that is as true, and made at once.
const PAIRS: usize = 1 << 20;

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is in both.
    Same(String),
    /// It was there before.
    Gone(String),
    /// It is there now.
    New(String),
    /// So many lines that are the same.
    Left(usize),
}

/// The difference between two texts; empty when they are the same.
pub(crate) fn lines(before: &str, now: &str) -> Vec<Line> {
    if before == now {
        return Vec::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), now.split('\n').collect());
    let front = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old_rest, new_rest) = (&old[front..], &new[front..]);
    let back = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old_middle, new_middle) = (&old_rest[..old_rest.len() - back], &new_rest[..new_rest.len() - back]);
    let same = |text: &&str| Line::Same(visible(text));
    let mut all: Vec<Line> = old[..front].iter().map(same).collect();
    middle(old_middle, new_middle, &mut all);
    all.extend(old_rest[old_rest.len() - back..].iter().map(same));
    shortened(all)
}

/// The longest common subsequence of what is between the lines that are the same at both ends.
fn middle(old: &[&str], new: &[&str], all: &mut Vec<Line>) {
    let gone = |text: &&str| Line::Gone(visible(text));
    let added = |text: &&str| Line::New(visible(text));
    if PAIRS < old.len().saturating_mul(new.len()) {
        all.extend(old.iter().map(gone));
        all.extend(new.iter().map(added));
        return;
    }
    let width = new.len() + 1;
    // How many lines the rests have in common, from each pair of places on.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            common[i * width + j] = if one == other {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while let (Some(one), Some(other)) = (old.get(i), new.get(j)) {
        if one == other {
            all.push(Line::Same(visible(one)));
            (i, j) = (i + 1, j + 1);
        } else if common[i * width + j + 1] <= common[(i + 1) * width + j] {
            all.push(gone(one));
            i += 1;
        } else {
            all.push(added(other));
            j += 1;
        }
    }
    all.extend(old[i..].iter().map(gone));
    all.extend(new[j..].iter().map(added));
}

/// Without the lines that are the same and far from any that is not.
fn shortened(all: Vec<Line>) -> Vec<Line> {
    let differs = |line: &Line| !matches!(line, Line::Same(_));
    let mut is_near = vec![false; all.len()];
    for (at, _) in all.iter().enumerate().filter(|(_, line)| differs(line)) {
        let end = (at + AROUND + 1).min(all.len());
        is_near[at.saturating_sub(AROUND)..end].fill(true);
    }
    let mut out = Vec::new();
    for (line, is_near) in all.into_iter().zip(is_near) {
        match (is_near, out.last_mut()) {
            (true, _) => out.push(line),
            (false, Some(Line::Left(count))) => *count += 1,
            (false, _) => out.push(Line::Left(1)),
        }
    }
    out
}

/// JSON with a line for each member, and otherwise as it is: what is written twice stays twice, and a number keeps its digits.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut letters = json.chars().peekable();
    while let Some(letter) = letters.next() {
        if is_text {
            out.push(letter);
            is_text = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            '{' | '[' => {
                out.push(letter);
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = letters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            letter => {
                is_text = letter == '"';
                out.push(letter);
            }
        }
    }
    out
}

/// A text of a stranger's with a name for each character that is not seen, or that changes what others look like: a model reads them all.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            // Writing to a String cannot fail.
            let _ = write!(out, "⟨U+{:04X}⟩", u32::from(letter));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Controls, directions, joiners, fillers, variation selectors and tags.
fn is_hidden(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(lines: &[Line]) -> String {
        lines.iter().fold(String::new(), |mut out, line| {
            let _ = match line {
                Line::Same(text) => writeln!(out, "  {text}"),
                Line::Gone(text) => writeln!(out, "- {text}"),
                Line::New(text) => writeln!(out, "+ {text}"),
                Line::Left(count) => writeln!(out, "… {count}"),
            };
            out
        })
    }

    #[test]
    fn what_differs_is_shown_with_what_is_around() {
        for (before, now, expected) in [
            ("a", "a", ""),
            ("", "a", "- \n+ a\n"),
            ("a\nb\nc", "a\nx\nc", "  a\n- b\n+ x\n  c\n"),
            ("a\nb", "a\nb\nc", "  a\n  b\n+ c\n"),
            ("1\n2\n3\n4\n5\n6", "1\n2\n3\n4\n5\n7", "… 2\n  3\n  4\n  5\n- 6\n+ 7\n"),
            ("x\na\nb\ny", "a\nz\nb\ny", "- x\n  a\n+ z\n  b\n  y\n"),
            ("a\u{202e}b", "a\u{200b}b\u{e0041}", "- a⟨U+202E⟩b\n+ a⟨U+200B⟩b⟨U+E0041⟩\n"),
        ] {
            assert_eq!(shown(&lines(before, now)), expected, "{before:?} {now:?}");
        }
        let (old, new) = ("a\n".repeat(3000), "b\n".repeat(3000));
        assert_eq!(lines(&old, &new).len(), 6001, "far too many pairs: all gone, all new, and the end");
    }

    #[test]
    fn json_is_laid_out_and_changed_in_nothing() {
        for (json, expected) in [
            ("{}", "{}"),
            ("[ ]", "[]"),
            (
                r#"{"a":1e400,"a":[true, "x,{\"}\\"],"b":{}}"#,
                "{\n  \"a\": 1e400,\n  \"a\": [\n    true,\n    \"x,{\\\"}\\\\\"\n  ],\n  \"b\": {}\n}",
            ),
            ("}", "\n}"),
        ] {
            assert_eq!(pretty(json), expected);
        }
    }

    proptest! {
        #[test]
        fn both_sides_are_in_the_difference(before in "[abc\n]{0,30}", now in "[abc\n]{0,30}") {
            let all = lines(&before, &now);
            let left: usize = all.iter().map(|line| if let Line::Left(count) = line { *count } else { 0 }).sum();
            let count = |is: fn(&Line) -> bool| all.iter().filter(|line| is(line)).count() + left;
            if before != now {
                prop_assert_eq!(count(|line| matches!(line, Line::Same(_) | Line::Gone(_))), before.split('\n').count());
                prop_assert_eq!(count(|line| matches!(line, Line::Same(_) | Line::New(_))), now.split('\n').count());
            }
        }

        #[test]
        fn any_text_is_laid_out(text in any::<String>()) {
            let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&pretty(&text)), letters(&text));
        }
    }
}
