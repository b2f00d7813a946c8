//! `berth alerts`: what is broken, what was, and a test of who is told.

use api::alerts::{Alert, TestedReceiver};
use comfy_table::{Cell, Color};

use super::instances::to_the_second;
use crate::args::{AlertsArgs, AlertsCommand};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Lists, or tests.
pub(crate) async fn run(args: AlertsArgs, client: &Client, output: Output) -> Result<(), CliError> {
    match args.command {
        None => list(client, output).await,
        Some(AlertsCommand::Test) => test(client, output).await,
    }
}

async fn list(client: &Client, output: Output) -> Result<(), CliError> {
    let alerts: Vec<Alert> = client.get("/alerts").await?;
    if output.json() {
        return output.document(&alerts);
    }
    if alerts.is_empty() {
        output.say("nothing is broken, and nothing was lately");
        return Ok(());
    }
    let rows = alerts
        .iter()
        .map(|alert| {
            let state = match alert.healed_at {
                None => Cell::new("open").fg(Color::Red),
                Some(at) => Cell::new(format!("over {}", to_the_second(at))),
            };
            [state, Cell::new(to_the_second(alert.broken_since)), Cell::new(&alert.message)]
        })
        .collect();
    output.table(["STATE", "BROKEN SINCE", "WHAT"], rows)?;
    let undelivered: u64 = alerts.iter().map(|alert| alert.undelivered).sum();
    if 0 < undelivered {
        let why =
            alerts.iter().find_map(|alert| alert.delivery_trouble.as_deref()).unwrap_or("not yet tried");
        output.warn(&format!("{undelivered} messages about these were not taken yet ({why})"));
    }
    Ok(())
}

async fn test(client: &Client, output: Output) -> Result<(), CliError> {
    let tested: Vec<TestedReceiver> = client.act("/alerts/test").await?;
    if output.json() {
        output.document(&tested)?;
    } else {
        for one in tested.iter().filter(|one| one.trouble.is_none()) {
            output.say(&format!("{} took it", one.receiver));
        }
    }
    let failed: Vec<String> = tested
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.receiver, one.trouble.as_deref()?)))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("not everybody took it: {}", failed.join("; "))))
}
