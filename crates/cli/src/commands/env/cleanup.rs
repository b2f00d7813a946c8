//! `berth env cleanup`: removing from a machine what no instance needs. What would go is always shown first.

use std::io::IsTerminal as _;

use api::dtma::{CleanupReport, CleanupRequest};
use comfy_table::Cell;

use crate::client::{Client, path_part};
use crate::error::CliError;
use crate::output::Output;

/// Asks what would go, shows it, and after a yes has it removed.
pub(super) async fn run(
    name: &str,
    dry_run: bool,
    yes: bool,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let path = format!("/environments/{}/cleanup", path_part(name));
    let planned: CleanupReport = client.post(&path, &CleanupRequest { dry_run: true }).await?;
    if dry_run || planned.things.is_empty() {
        return show(&planned, name, output);
    }
    if !yes {
        confirm(&planned, name, output)?;
    }
    let done: CleanupReport = client.post(&path, &CleanupRequest { dry_run: false }).await?;
    show(&done, name, output)?;
    if done.troubles.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("`{name}` could not be cleared of everything that nobody needs")))
}

fn show(report: &CleanupReport, name: &str, output: Output) -> Result<(), CliError> {
    if output.json() {
        return output.document(report);
    }
    table(report, output)?;
    for trouble in &report.troubles {
        output.warn(trouble);
    }
    let size = size(report.bytes);
    output.say(&match (report.things.is_empty(), report.dry_run) {
        (true, _) => format!("`{name}` holds nothing of Berth's that no instance needs"),
        (false, true) => format!("up to {size} would come free on `{name}`"),
        (false, false) => format!("up to {size} came free on `{name}`"),
    });
    Ok(())
}

fn table(report: &CleanupReport, output: Output) -> Result<(), CliError> {
    let rows = report
        .things
        .iter()
        .map(|thing| [Cell::new(thing.kind.word()), Cell::new(&thing.name), Cell::new(size(thing.bytes))])
        .collect();
    output.table(["KIND", "NAME", "SIZE"], rows)
}

fn confirm(planned: &CleanupReport, name: &str, output: Output) -> Result<(), CliError> {
    let unasked = CliError::usage(format!("clearing `{name}` removes {} things", planned.things.len()))
        .with_hint("see them with `--dry-run`, and say so with `--yes`");
    if std::io::stdin().is_terminal() && !output.json() {
        table(planned, output)?;
    }
    output.confirm(&format!("Remove these from `{name}`, up to {}?", size(planned.bytes)), unasked)
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = None;
    let (mut whole, mut rest) = (bytes, 0);
    for next in UNITS {
        if whole < 1024 {
            break;
        }
        (whole, rest) = (whole / 1024, whole % 1024);
        unit = Some(next);
    }
    match unit {
        None => format!("{bytes} B"),
        Some(unit) => format!("{whole}.{} {unit}", rest * 10 / 1024),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
