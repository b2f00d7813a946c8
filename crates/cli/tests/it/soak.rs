//! The short version of `cargo xtask soak`: clients of every era on one server, one kill of it and one of the DTMA.

use std::path::Path;

use soak::Plan;

use crate::BERTH;

#[test]
fn no_answer_is_wrong_or_missing_while_parts_are_killed() {
    let berth = Path::new(BERTH);
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    eprintln!("seed {seed}");
    let plan = Plan::short(berth.to_owned(), berth.with_file_name("fixture"), seed);
    let report = soak::run(&plan).unwrap();
    eprintln!("{report}");
    assert_eq!(report.broken(), [""; 0]);
}
