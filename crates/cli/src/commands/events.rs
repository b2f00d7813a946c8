//! `berth events`: what happened to an instance.

use api::instance_events::{EventKind, InstanceEvent};
use comfy_table::Cell;

use super::instances::to_the_second;
use crate::args::EventsArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, status_cell};

/// Shows the newest events, newest first.
pub(crate) async fn run(args: &EventsArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let path = Client::instance_path(&args.name, &format!("/events?limit={}", args.limit));
    let answer = client.get(&path).await;
    let events: Vec<InstanceEvent> = client.with_nearest(&args.name, answer).await?;
    if output.json() {
        return output.document(&events);
    }
    output.table(["WHEN", "WHAT", "BY", "WHY"], events.iter().map(row).collect())
}

fn row(event: &InstanceEvent) -> [Cell; 4] {
    let what = match (event.status, &event.action) {
        (Some(status), _) => status_cell(status),
        (None, Some(action)) => Cell::new(action.trim_start_matches("instance.")),
        (None, None) => Cell::new(match event.kind {
            EventKind::Installed => "installed",
            EventKind::Restarted => "started again",
            EventKind::Asked | EventKind::Status => "-",
        }),
    };
    [
        Cell::new(to_the_second(event.at)),
        what,
        Cell::new(event.by.as_deref().unwrap_or("-")),
        Cell::new(event.message.as_deref().unwrap_or("-")),
    ]
}
