//! What the fuzz targets check. It is the tests' own module, so that `cargo xtask test` replays the corpora without a
//! fuzzer; `cargo xtask test --full` also runs the targets.

#[path = "../../crates/mcp/tests/it/invariants/mod.rs"]
mod invariants;

/// Panics when something does not hold of the input.
pub fn check(target: &str, data: &[u8]) {
    let found = invariants::ALL.iter().find(|(name, _)| *name == target);
    let (_, check) = found.unwrap_or_else(|| panic!("no check is called {target}"));
    check(data);
}
