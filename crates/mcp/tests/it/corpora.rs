//! The corpora in `fuzz/corpus`, replayed: what the fuzz targets begin with, and what they once found.

use std::path::{Path, PathBuf};

use crate::invariants;

/// The inputs of a target, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn every_input_of_the_corpora_holds() {
    for (target, check) in invariants::ALL {
        let corpus = corpus(target);
        assert!(20 <= corpus.len(), "{target}: only {} inputs", corpus.len());
        for (path, input) in corpus {
            let outcome = std::panic::catch_unwind(|| check(&input));
            assert!(outcome.is_ok(), "{} does not hold; the panic is above", path.display());
        }
    }
}

#[test]
fn every_check_is_a_fuzz_target() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let mut targets: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut checks = invariants::ALL.map(|(name, _)| name);
    targets.sort();
    checks.sort_unstable();
    assert_eq!(targets, checks);
}

/// A corpus that is refused altogether would test little.
#[test]
fn the_corpora_hold_valid_and_refused_messages() {
    let messages = corpus("envelope");
    let accepted = messages.iter().filter(|(_, input)| mcp::envelope::scan(input).is_ok()).count();
    assert!(10 <= accepted && accepted + 10 <= messages.len(), "{accepted} of {}", messages.len());
}
