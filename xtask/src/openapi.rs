//! `cargo xtask openapi`: writes the API descriptions that the code generates.
//!
//! The crates that own the descriptions have a test each that compares them with the committed files; run with
//! `BERTH_WRITE_OPENAPI=1` these tests write instead. So this program need not be linked against the product.

use crate::run;

/// Writes `openapi/control.json` and `openapi/dtma.json`.
pub(crate) fn write() -> anyhow::Result<()> {
    let mut command = run::cargo(&["nextest", "run", "-p", "control", "-p", "dtma", "openapi_is_committed"]);
    command.env("BERTH_WRITE_OPENAPI", "1");
    run::run(command)
}
