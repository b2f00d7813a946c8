//! Every server of the built-in catalog, as it is published, on a real platform: deployed by its name, then asked the
//! same by a client of either era. What was seen becomes `docs/servers.md`.
//!
//! It downloads some hundred megabytes and takes minutes, so `.config/nextest.toml` leaves that one test to
//! `cargo xtask test --full`. What needs no download is tested with every change.

#![expect(clippy::expect_used, reason = "a test has nobody to hand an error to")]

mod cases;
mod outside;
mod proof;
mod report;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testkit::platform::Platform;

use crate::cases::CASES;
use crate::outside::Outside;

/// The binary under test.
const BERTH: &str = env!("CARGO_BIN_EXE_berth");
/// Set to write `docs/servers.md` from what was seen.
const WRITE_DOCS: &str = "BERTH_WRITE_DOCS";

/// The names of the catalog's MCP servers. Its container tools are deployed in `it/real_tools.rs`.
fn catalog() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control/catalog/builtin.json");
    let text = std::fs::read_to_string(file).expect("the catalog");
    let entries: Vec<Value> = serde_json::from_str(&text).expect("a list");
    let servers = entries.iter().filter(|entry| entry["launch"]["container"].is_null());
    servers.map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn each_entry_of_the_catalog_has_a_case() {
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.entry.to_owned()).collect();
    assert_eq!(cases, catalog());
}

#[test]
fn each_entry_of_the_catalog_is_in_the_docs() {
    let told = report::told();
    assert_eq!(told, catalog(), "run the test with {WRITE_DOCS}=1, as docs/servers.md says at its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_of_the_catalog_answers_clients_of_both_eras() {
    let outside = Outside::start();
    let platform = Platform::start(BERTH);
    let (mut rows, mut wrong) = (vec![], vec![]);
    // One after another: each needs up to 200 MB of memory.
    for case in CASES {
        match proof::prove(&platform, &outside, case).await {
            Ok(row) => rows.push(row),
            Err(error) => wrong.push(format!("{}: {error:#}", case.entry)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if std::env::var_os(WRITE_DOCS).is_some() {
        report::write(&rows);
    }
}
