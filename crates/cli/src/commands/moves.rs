//! `berth move` and `berth failover`: where an instance runs, and what happens when its host is lost.

use api::instances::Instance;
use api::moves::{FailoverRequest, MoveRequest};

use super::deploy;
use crate::args::{FailoverArgs, MoveArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;
use crate::sse::Events;

/// Moves it; with `--wait`, says how it goes.
pub(crate) async fn move_to(args: MoveArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let name = &args.name;
    let request = MoveRequest {
        environment: args.environment,
        environment_labels: args.environment_labels.into_iter().collect(),
    };
    let events = if args.wait { Some(Events::new(client.stream("/events").await?)) } else { None };
    let answer = client.post(&Client::instance_path(name, "/move"), &request).await;
    let instance: Instance = client.with_nearest(name, answer).await?;
    if let Some(events) = events {
        output.say(&format!("moving `{name}` to `{}`", instance.environment));
        return deploy::watch(instance, events, client, output).await;
    }
    if output.json() {
        return output.document(&instance);
    }
    output.say(&format!(
        "moving `{name}` to `{}`: it starts there once its host has let go of it",
        instance.environment
    ));
    output.hint(&format!("`berth status {name}` shows how it goes"));
    Ok(())
}

/// Sets whether and when it is started elsewhere.
pub(crate) async fn failover(args: &FailoverArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let name = &args.name;
    let request = FailoverRequest { failover: (!args.off).then(|| args.times.failover()) };
    let answer = client.put(&Client::instance_path(name, "/failover"), &request).await;
    let instance: Instance = client.with_nearest(name, answer).await?;
    if output.json() {
        return output.document(&instance);
    }
    output.say(&match instance.failover {
        Some(failover) => format!(
            "`{name}` is started on another host once its own was silent for {} s; that one stops it {} s after its last contact",
            failover.lost_after_seconds, failover.lease_seconds
        ),
        None => format!("`{name}` stays where it is, whatever becomes of its host"),
    });
    Ok(())
}
