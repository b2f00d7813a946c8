//! The fuzz targets in `fuzz/`, each for half a minute from the committed corpus. Only `cargo xtask test --full` does
//! this; what they find becomes a file of the corpus, which every test run replays.

use std::path::Path;

use anyhow::Context as _;

use crate::{parts, run};

/// Seconds for each target.
const SECONDS: u32 = 30;

/// Runs every target; the first input that breaks one ends this, and cargo-fuzz prints where the input lies.
pub(crate) fn run() -> anyhow::Result<()> {
    parts::install_for_fuzzing()?;
    for target in targets()? {
        eprintln!("fuzzing {target}");
        // New inputs go into the first directory; the committed ones are read.
        let found = format!("target/fuzz/corpus/{target}");
        std::fs::create_dir_all(run::root().join(&found))?;
        let committed = format!("fuzz/corpus/{target}");
        let seconds = format!("-max_total_time={SECONDS}");
        // Coverage needs no nightly toolchain, sanitizers would; there is no `unsafe` here for them to look at.
        let mut fuzz = run::cargo(&["fuzz", "run", "--sanitizer", "none", "--target-dir", "target/fuzz"]);
        fuzz.args([&target, &found, &committed, "--", &seconds]);
        fuzz.args(["-max_len=4096", "-timeout=10", "-verbosity=0", "-print_final_stats=1"]);
        run::run(fuzz)?;
    }
    Ok(())
}

fn targets() -> anyhow::Result<Vec<String>> {
    let dir = run::root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let mut targets = Vec::new();
    for entry in entries {
        let file = entry?.file_name();
        if let Some(target) = Path::new(&file).file_stem().and_then(|stem| stem.to_str()) {
            targets.push(target.to_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
