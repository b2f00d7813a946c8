//! `cargo xtask screenshots`: every page in light, in dark and as wide as a phone, into `docs/screenshots/`.

use crate::{parts, run};

/// Has the test that looks at every page keep what it sees.
pub(crate) fn take() -> anyhow::Result<()> {
    let parts = parts::install()?;
    let dir = run::root().join("docs/screenshots");
    let mut nextest = run::cargo(&["nextest", "run", "-p", "cli", "--test", "it", "-E"]);
    nextest.arg("test(every_page_is_without_barriers)");
    nextest.env("BERTH_PARTS", &parts).env("BERTH_SCREENSHOTS", &dir);
    run::run(nextest)?;
    eprintln!("the pictures are in {}", dir.display());
    Ok(())
}
