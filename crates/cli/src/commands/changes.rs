//! `berth upgrade`, `berth configure`, `berth rollback` and `berth changes`: what an instance is, was and becomes.

use std::time::Duration;

use api::changes::{Change, ChangeRequest, NEWEST, RollbackRequest};
use comfy_table::Cell;
use domain::change::{ChangeState, ToolChanges};
use domain::image::shortened;

use super::deploy;
use super::instances::to_the_second;
use crate::args::{ChangesArgs, ConfigureArgs, HowArgs, InstanceUpgradeArgs, RollbackArgs, WhatArgs};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Between two looks at a change that is waited for.
const LOOK: Duration = Duration::from_millis(300);

/// Makes it another version.
pub(crate) async fn upgrade(
    args: InstanceUpgradeArgs,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let mut request = request(args.what, &args.how)?;
    request.version = Some(args.version.unwrap_or_else(|| NEWEST.to_owned()));
    let answer = client.post(&Client::instance_path(&args.name, "/changes"), &request).await;
    begun(&args.name, answer, &args.how, client, output).await
}

/// Gives it other settings, secrets, arguments or limits.
pub(crate) async fn configure(args: ConfigureArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let request = request(args.what, &args.how)?;
    let answer = client.post(&Client::instance_path(&args.name, "/changes"), &request).await;
    begun(&args.name, answer, &args.how, client, output).await
}

/// Makes it what it was.
pub(crate) async fn roll_back(args: RollbackArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let request = RollbackRequest { to: args.to, review: args.how.review };
    let answer = client.post(&Client::instance_path(&args.name, "/rollback"), &request).await;
    begun(&args.name, answer, &args.how, client, output).await
}

/// Lists its changes, or decides on one.
pub(crate) async fn run(args: ChangesArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let name = &args.name;
    if let Some(number) = args.switch {
        let path = Client::instance_path(name, &format!("/changes/{number}/switch"));
        let change = client.with_nearest(name, client.post(&path, &()).await).await?;
        let how = HowArgs { review: false, wait: true };
        return begun(name, Ok(change), &how, client, output).await;
    }
    if let Some(number) = args.drop {
        let path = Client::instance_path(name, &format!("/changes/{number}/drop"));
        let change: Change = client.with_nearest(name, client.post(&path, &()).await).await?;
        if output.json() {
            return output.document(&change);
        }
        output.say(&format!("change {number} of `{name}` was given up; it is what it was"));
        return Ok(());
    }
    let answer = client.get(&Client::instance_path(name, "/changes")).await;
    let changes: Vec<Change> = client.with_nearest(name, answer).await?;
    if output.json() {
        return output.document(&changes);
    }
    output.table(["NUMBER", "STATE", "WHEN", "RUNS", "DIFFERENT", "WHY"], changes.iter().map(row).collect())
}

fn row(change: &Change) -> [Cell; 6] {
    let different = match change.back_to {
        Some(number) => format!("back to {number}"),
        None if change.changed.is_empty() => "-".to_owned(),
        None => change.changed.join(", "),
    };
    [
        Cell::new(change.number),
        Cell::new(change.state.word()),
        Cell::new(to_the_second(change.created_at)),
        Cell::new(shortened(&change.package)),
        Cell::new(different),
        Cell::new(change.message.as_deref().unwrap_or("-")),
    ]
}

fn request(what: WhatArgs, how: &HowArgs) -> Result<ChangeRequest, CliError> {
    let (settings, secrets) = deploy::given(what.settings, what.secrets)?;
    let list = |given: Vec<String>, none: bool| (none || !given.is_empty()).then_some(given);
    Ok(ChangeRequest {
        version: None,
        settings,
        secrets,
        unset: what.unset,
        args: list(what.arguments, what.no_args),
        constraints: list(what.constraints, what.no_constraints),
        mode: what.mode,
        sleep_after_seconds: what.sleep.seconds(),
        profile: what.profile,
        egress: what.egress,
        limits: what.limits.limits(),
        review: how.review,
    })
}

async fn begun(
    name: &str,
    answer: Result<Change, CliError>,
    how: &HowArgs,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let mut change = client.with_nearest(name, answer).await?;
    if how.wait {
        change = wait(name, change, client, output).await?;
    }
    if output.json() {
        output.document(&change)?;
    } else if let Some(tools) = change.tools.as_ref().filter(|_| how.wait) {
        show(tools, output)?;
    }
    let number = change.number;
    let why = change.message.as_deref().unwrap_or("it gave no reason");
    match change.state {
        ChangeState::Trying | ChangeState::Switching => {
            let beside = change.candidate.map(|it| format!(" beside it, as `{it}`")).unwrap_or_default();
            output.say(&format!("change {number} of `{name}` is tried{beside}"));
            output.hint(&format!("`berth changes {name}` shows how it goes"));
        }
        ChangeState::Ready => {
            let candidate = change.candidate.as_ref().map_or(name, |candidate| candidate.as_str());
            output.say(&format!("change {number} of `{name}` works, and waits for you"));
            output.hint(&format!(
                "try it as `{candidate}`; then `berth changes {name} --switch {number}`, or `--drop {number}`"
            ));
        }
        ChangeState::Current | ChangeState::Replaced => {
            output.say(&format!("`{name}` runs {}", shortened(&change.package)));
            output.hint(&format!("`berth rollback {name}` makes it what it was"));
        }
        ChangeState::Dropped => output.say(&format!("`{name}` is what it was: {why}")),
        ChangeState::Failed => {
            return Err(CliError::failed(format!("`{name}` was left as it was: {why}")));
        }
        ChangeState::RolledBack => {
            return Err(CliError::failed(format!("`{name}` did not work so: {why}")));
        }
    }
    Ok(())
}

/// Until nothing more happens by itself.
async fn wait(name: &str, begun: Change, client: &Client, output: Output) -> Result<Change, CliError> {
    let mut interrupts = super::interrupts()?;
    let mut steps = output.steps();
    let (number, mut change) = (begun.number, begun);
    let ended = loop {
        match change.state {
            ChangeState::Trying => steps.show(change.message.as_deref().unwrap_or("trying"), None),
            ChangeState::Switching => steps.show("taking its place", None),
            _ => break Ok(change),
        }
        tokio::select! {
            _ = interrupts.recv() => break Err(CliError::Said),
            () = tokio::time::sleep(LOOK) => {}
        }
        let changes: Vec<Change> = match client.get(&Client::instance_path(name, "/changes")).await {
            Ok(changes) => changes,
            Err(error) => break Err(error),
        };
        match changes.into_iter().find(|change| change.number == number) {
            Some(found) => change = found,
            None => break Err(CliError::failed(format!("change {number} of `{name}` is gone"))),
        }
    };
    steps.end();
    if let Err(CliError::Said) = ended {
        output.say(&format!("no longer waiting; change {number} of `{name}` goes on"));
        output.hint(&format!("`berth changes {name}` shows how it goes, `--drop {number}` gives it up"));
    }
    ended
}

fn show(tools: &ToolChanges, output: Output) -> Result<(), CliError> {
    for (sign, names) in [("+", &tools.added), ("-", &tools.removed)] {
        for name in names {
            output.data(&format!("{sign} {name}"))?;
        }
    }
    for tool in &tools.changed {
        output.data(&format!("~ {}", tool.name))?;
    }
    output.say(&tools.to_string());
    Ok(())
}
