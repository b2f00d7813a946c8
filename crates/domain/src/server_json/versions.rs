//! Which of several versions is what people get.

use std::cmp::Ordering;

use super::Document;
use crate::catalog::Standing;

/// The newest of them: what was withdrawn gives way to what was not, then what the registry says is the newest, then the order of
/// semantic versions (`SemVer` 2.0 §11), then when they were published. Of equals the last.
pub fn newest<'a>(versions: impl IntoIterator<Item = &'a Document>) -> Option<&'a Document> {
    let key = |it: &Document| (it.status != Standing::Deleted, it.is_latest.unwrap_or(false));
    versions.into_iter().max_by(|a, b| {
        key(a)
            .cmp(&key(b))
            .then_with(|| order(&a.version, &b.version))
            .then_with(|| a.published_at.cmp(&b.published_at))
    })
}

/// Of texts that are both versions; others are equal.
fn order(a: &str, b: &str) -> Ordering {
    let (Some(a), Some(b)) = (parts(a), parts(b)) else { return Ordering::Equal };
    a.0.cmp(&b.0).then_with(|| match (a.1, b.1) {
        (None, None) => Ordering::Equal,
        // What is before a release is less than it.
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => before(a, b),
    })
}

type Parts<'a> = ([u64; 3], Option<&'a str>);

fn parts(text: &str) -> Option<Parts<'_>> {
    let text = text.strip_prefix('v').unwrap_or(text).split('+').next()?;
    let (numbers, before) =
        text.split_once('-').map_or((text, None), |(numbers, before)| (numbers, Some(before)));
    let mut found = [0; 3];
    for (i, part) in numbers.split('.').enumerate() {
        *found.get_mut(i)? = part.parse().ok()?;
    }
    Some((found, before))
}

fn before(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let ordering = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}
