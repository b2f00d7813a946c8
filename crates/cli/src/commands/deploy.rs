//! `berth deploy`: ask for an instance and, with `--wait`, follow it until it runs or cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use api::events::Event;
use api::instances::{DeployRequest, Instance};
use api::secrets::GivenSecrets;
use domain::container::Container;
use domain::secret::Secret;
use domain::spec::DesiredState;
use domain::status::{InstanceStatus, TRIES_AGAIN};

use crate::args::{DeployArgs, TransportChoice};
use crate::client::Client;
use crate::error::{CliError, io_failure};
use crate::output::{Output, Steps};
use crate::sse::Events;

/// Without events the instance is asked for this often.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Before the name of one of the account's secrets.
const NAMED: &str = "secret:";
/// Lines of the server's own words after a failure.
const LAST_WORDS: u32 = 10;

/// Deploys, and says how it goes.
pub(crate) async fn run(args: DeployArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let wait = args.wait;
    let request = request(args)?;
    // The stream is opened first, so that no step between the request and the first look is lost.
    let events = if wait { Some(Events::new(client.stream("/events").await?)) } else { None };
    let instance: Instance = client.post("/instances", &request).await?;
    let Some(events) = events else {
        if output.json() {
            return output.document(&instance);
        }
        output.data(&format!("{}  {}", instance.name, place(&instance)))?;
        output.hint(&format!("`berth status {}` shows how it goes", instance.name));
        return Ok(());
    };
    watch(instance, events, client, output).await
}

/// Says how it goes until it runs where it is to run, or cannot.
pub(super) async fn watch(
    instance: Instance,
    events: Events,
    client: &Client,
    output: Output,
) -> Result<(), CliError> {
    let mut interrupts = super::interrupts()?;
    let name = instance.name.to_string();
    let mut steps = output.steps();
    let ended = tokio::select! {
        ended = follow(instance, events, client, &mut steps) => ended,
        _ = interrupts.recv() => {
            steps.end();
            output.say(&format!("no longer waiting; `{name}` goes on being deployed"));
            output.hint(&format!("`berth status {name}` shows how it goes, `berth remove {name}` gives it up"));
            return Err(CliError::Said);
        }
    };
    steps.end();
    let instance = ended?;
    if output.json() {
        output.document(&instance)?;
    }
    match instance.status {
        InstanceStatus::Running | InstanceStatus::Asleep if output.json() => Ok(()),
        InstanceStatus::Stopped if instance.desired == DesiredState::Stopped => Ok(()),
        InstanceStatus::Running | InstanceStatus::Asleep => {
            output.data(&format!("{name}  {}", place(&instance)))?;
            output.hint(&if instance.container.is_some() {
                format!("`berth status {name}` shows its ports, `berth logs {name}` what it says")
            } else {
                format!("`berth tools {name}` lists its tools, `berth connect {name}` connects a client")
            });
            if !instance.each_caller.is_empty() {
                let flags: Vec<String> =
                    instance.each_caller.iter().map(|key| format!("{key}=@FILE")).collect();
                output.hint(&format!(
                    "each caller gives theirs first: `berth secret own {name} {}`",
                    flags.join(" ")
                ));
            }
            Ok(())
        }
        _ => Err(failed(&instance, client, output).await),
    }
}

fn request(args: DeployArgs) -> Result<DeployRequest, CliError> {
    let container = container(&args);
    let (settings, secrets) = given(args.settings, args.secrets)?;
    Ok(DeployRequest {
        server: absolute(args.server)?,
        name: args.name,
        environment: args.environment,
        environment_labels: args.environment_labels.into_iter().collect(),
        version: args.version,
        settings,
        secrets,
        each_caller: args.each_caller,
        args: args.arguments,
        constraints: args.constraints,
        transport: args.transport.map(TransportChoice::transport),
        path: args.path,
        port: args.port,
        mode: args.mode,
        strict_sessions: args.strict_sessions.then_some(true),
        sleep_after_seconds: args.sleep.seconds(),
        container,
        profile: args.profile,
        egress: args.egress,
        limits: args.limits.limits(),
        failover: args.failover.failover(),
    })
}

/// Settings and secrets as they were typed.
pub(super) fn given(
    typed: Vec<(String, String)>,
    typed_secrets: Vec<(String, Secret)>,
) -> Result<(BTreeMap<String, String>, GivenSecrets), CliError> {
    let mut settings = BTreeMap::new();
    for (key, value) in typed {
        if settings.insert(key.clone(), value).is_some() {
            return Err(CliError::usage(format!("`--set {key}` is given twice")));
        }
    }
    let mut secrets = GivenSecrets::default();
    for (key, value) in typed_secrets {
        if settings.contains_key(&key) {
            return Err(CliError::usage(format!("`{key}` is given as a setting and as a secret")));
        }
        if secrets.keys().any(|given| *given == key) {
            return Err(CliError::usage(format!("`--secret {key}` is given twice")));
        }
        if let Some(name) = value.expose().strip_prefix(NAMED) {
            let name = name.parse().map_err(|error| CliError::usage(format!("`--secret {key}`: {error}")))?;
            secrets.named.insert(key, name);
        } else {
            let value = secret_value(&key, value)?;
            secrets.values.insert(key, value);
        }
    }
    Ok((settings, secrets))
}

/// Where it is reached.
fn place(instance: &Instance) -> String {
    match &instance.container {
        None => instance.url.clone(),
        Some(container) if container.ports.is_empty() => "(publishes no port)".to_owned(),
        Some(container) => {
            let ports: Vec<String> = container.ports.iter().map(ToString::to_string).collect();
            ports.join(", ")
        }
    }
}

/// Any of the flags makes it a container tool.
fn container(args: &DeployArgs) -> Option<Container> {
    let container =
        Container { ports: args.publish.clone(), volumes: args.volumes.clone(), health: args.health.clone() };
    (args.tool || container != Container::default()).then_some(container)
}

/// `file:` with a relative path means a file here; Berth has a working directory of its own.
fn absolute(server: String) -> Result<String, CliError> {
    let Some(path) = server.strip_prefix("file:").map(std::path::Path::new) else { return Ok(server) };
    if path.is_absolute() {
        return Ok(server);
    }
    let found = std::fs::canonicalize(path).map_err(|e| io_failure("find", path, e))?;
    match found.to_str() {
        Some(found) => Ok(format!("file:{found}")),
        None => Err(CliError::usage(format!("{} is not UTF-8: rename it", found.display()))),
    }
}

/// `@FILE` and `@-` are read; the line end that editors put at the end of a file is not part of a secret.
pub(super) fn secret_value(key: &str, typed: Secret) -> Result<Secret, CliError> {
    let Some(path) = typed.expose().strip_prefix('@') else { return Ok(typed) };
    let text = if path == "-" {
        std::io::read_to_string(std::io::stdin())
            .map_err(|e| CliError::because(format!("cannot read the secret {key} from standard input"), e))?
    } else {
        let path = std::path::Path::new(path);
        std::fs::read_to_string(path)
            .map_err(|e| io_failure(&format!("read the secret {key} from"), path, e))?
    };
    Ok(without_line_end(text))
}

/// A secret as a file has it.
#[expect(clippy::needless_pass_by_value, reason = "whoever read it needs it no more")]
pub(super) fn without_line_end(text: String) -> Secret {
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Secret::new(text.strip_suffix('\r').unwrap_or(text))
}

/// Shows each step until the instance runs, has failed or is gone. Events tell at once; asking now and then tells
/// too, so that a lost stream costs time and nothing else.
async fn follow(
    mut instance: Instance,
    events: Events,
    client: &Client,
    steps: &mut Steps,
) -> Result<Instance, CliError> {
    let mut events = Some(events);
    loop {
        show(&instance, steps);
        if is_settled(&instance) {
            return Ok(instance);
        }
        let name = instance.name.as_str();
        let told = if let Some(stream) = &mut events {
            tokio::select! {
                event = stream.next() => if let Ok(Some(event)) = event {
                    about(name, &event.event, &event.data)
                } else {
                    // Asking alone goes on.
                    events = None;
                    Told::Ask
                },
                () = tokio::time::sleep(ASK_EVERY) => Told::Ask,
            }
        } else {
            tokio::time::sleep(ASK_EVERY).await;
            Told::Ask
        };
        match told {
            Told::Instance(now) => instance = *now,
            Told::Nothing => {}
            Told::Ask => instance = client.get(&Client::instance_path(name, "")).await?,
            Told::Removed => {
                return Err(CliError::failed(format!("`{name}` was removed while it was being deployed")));
            }
        }
    }
}

enum Told {
    Instance(Box<Instance>),
    Removed,
    Ask,
    Nothing,
}

fn about(name: &str, event: &str, data: &str) -> Told {
    let data = serde_json::from_str::<serde_json::Value>(data).unwrap_or_default();
    let tagged = serde_json::json!({ "event": event, "data": data });
    match serde_json::from_value(tagged) {
        Ok(Event::Instance(instance)) if instance.name.as_str() == name => Told::Instance(instance),
        Ok(Event::InstanceRemoved { name: removed }) if removed == name => Told::Removed,
        Ok(Event::Lagged) => Told::Ask,
        _ => Told::Nothing,
    }
}

/// Nothing more is worth waiting for. A crashed server is started again, but whoever waits wants to know.
fn is_settled(instance: &Instance) -> bool {
    matches!(
        instance.status,
        InstanceStatus::Running
            | InstanceStatus::Asleep
            | InstanceStatus::Stopped
            | InstanceStatus::ErrorInstall
            | InstanceStatus::ErrorRuntime
            | InstanceStatus::Deleting
    )
}

fn show(instance: &Instance, steps: &mut Steps) {
    let name = &instance.name;
    match (&instance.progress, instance.status) {
        (Some(progress), InstanceStatus::Installing) => {
            steps.detail(&format!("{name}: installing: {}", progress.step), progress.percent);
        }
        (_, InstanceStatus::PendingDeploy) if instance.message.is_none() => {
            steps.show(&format!("{name}: waiting for its host"), None);
        }
        (_, status) => match &instance.message {
            // It is tried again, and whoever waits should know why it takes so long.
            Some(message) if !is_settled(instance) => {
                steps.show(&format!("{name}: {status}: {}", first_line(message)), None);
            }
            _ => steps.show(&format!("{name}: {status}"), None),
        },
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

async fn failed(instance: &Instance, client: &Client, output: Output) -> CliError {
    let name = instance.name.as_str();
    if instance.status == InstanceStatus::ErrorRuntime {
        let path = Client::instance_path(name, &format!("/logs?tail={LAST_WORDS}"));
        if let Ok(answer) = client.stream(&path).await
            && let Ok(text) = answer.text().await
            && !text.trim().is_empty()
        {
            output.say("its last words:");
            for line in text.lines() {
                output.say(&format!("  {line}"));
            }
        }
    }
    let why = instance.message.as_deref().unwrap_or("its host gave no reason");
    let hint = match instance.status {
        InstanceStatus::ErrorInstall if why.ends_with(TRIES_AGAIN) => {
            format!("`berth status {name}` shows when it is there; `berth remove {name} --yes` gives it up")
        }
        InstanceStatus::ErrorInstall => {
            format!("`berth remove {name} --yes`, then deploy again with what the message says")
        }
        InstanceStatus::ErrorRuntime => {
            format!(
                "it is being started again; `berth logs {name}` shows more, `berth remove {name}` gives it up"
            )
        }
        _ => format!("`berth status {name}` shows how it is"),
    };
    CliError::failed(format!("`{name}` is {}: {}", instance.status, why.trim_end_matches('.')))
        .with_hint(hint)
}
