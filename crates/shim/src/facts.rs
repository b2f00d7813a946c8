//! What is found out of a package's servers while they run, kept for the next process, by whatever shim.
//!
//! The file belongs to one package digest. Losing it costs a second look, so errors are not worth a failure.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What is known of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it takes `initialize`.
    pub(crate) legacy: Option<bool>,
    /// Whether it can be opened with `server/discover`.
    pub(crate) modern: Option<bool>,
    /// Whether it has asked a client anything.
    pub(crate) asks: bool,
}

#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
    facts: Mutex<Facts>,
}

impl Known {
    /// Reads what was found out before.
    pub(crate) fn open(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut facts = Facts::default();
        for line in text.lines() {
            match line {
                "legacy yes" => facts.legacy = Some(true),
                "legacy no" => facts.legacy = Some(false),
                "modern yes" => facts.modern = Some(true),
                "modern no" => facts.modern = Some(false),
                "asks yes" => facts.asks = true,
                // A later version's, or a line that was cut off.
                _ => {}
            }
        }
        Self { path: path.to_owned(), facts: Mutex::new(facts) }
    }

    pub(crate) fn get(&self) -> Facts {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and writes it down when it is new.
    pub(crate) fn learn(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *facts;
        change(&mut facts);
        if *facts == before {
            return;
        }
        let word = |is: bool| if is { "yes" } else { "no" };
        let mut text = String::new();
        for (name, known) in
            [("legacy", facts.legacy), ("modern", facts.modern), ("asks", facts.asks.then_some(true))]
        {
            if let Some(known) = known {
                text.extend([name, " ", word(known), "\n"]);
            }
        }
        // Written beside and renamed, because shims of one package share the file. The number of the process keeps two
        // of them from writing into each other's.
        let beside = self.path.with_extension(std::process::id().to_string());
        let _ = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_is_known_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("facts");
        let known = Known::open(&path);
        assert_eq!(known.get(), Facts::default());
        known.learn(|facts| facts.modern = Some(false));
        known.learn(|facts| facts.asks = true);
        let expected = Facts { legacy: None, modern: Some(false), asks: true };
        assert_eq!((known.get(), Known::open(&path).get()), (expected, expected));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        fs::write(&path, "modern yes\nlegacy n").unwrap();
        assert_eq!(Known::open(&path).get(), Facts { modern: Some(true), ..Facts::default() });
    }
}
