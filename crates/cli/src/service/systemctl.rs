//! Asking systemd, through its own command.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use crate::error::CliError;

/// Runs `systemctl`; its standard output.
///
/// # Errors
/// When it says no, with its own words.
pub(crate) fn systemctl(arguments: &[&str]) -> Result<String, CliError> {
    let asked = || format!("`systemctl {}`", arguments.join(" "));
    let output = Command::new("systemctl")
        .arg("--no-pager")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| CliError::because(format!("cannot start {}", asked()), e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(CliError::failed(format!("{} failed: {}", asked(), said.trim())))
}

/// Properties of a unit, by name.
pub(super) fn show(unit: &str, properties: &str) -> Result<HashMap<String, String>, CliError> {
    let text = systemctl(&["show", unit, "--property", properties])?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
