//! The suite's `auth` scenarios of every revision. `conformance/expected.toml` lists those that fail, with the reason; one that fails and
//! is not listed, and one that is listed and passes, both fail the test.

use std::path::Path;

use testkit::conformance::{Wire, compare, expected, run_client};

/// The revisions, and how many scenarios each has at least, so that a suite that lost them is noticed.
const WIRES: [(Wire, usize); 4] = [
    (Wire::Everything("2025-03-26"), 2),
    (Wire::Everything("2025-06-18"), 3),
    (Wire::Requirements("2025-11-25"), 20),
    (Wire::Requirements("2026-07-28"), 31),
];

#[test]
fn the_client_of_remote_servers_conforms() {
    let visitor = Path::new(env!("CARGO_BIN_EXE_visitor"));
    let expected =
        expected(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/expected.toml"));
    let wrong: Vec<String> = WIRES
        .iter()
        .filter_map(|&(wire, least)| {
            let mut seen = run_client(visitor, wire);
            // The others are of what this client does not do, such as elicitation.
            seen.retain(|name, _| name.starts_with("auth/"));
            assert!(least <= seen.len(), "{}: {seen:?}", wire.revision());
            compare(&format!("client {}", wire.revision()), &seen, &expected)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
