//! `berth status`: everything about one instance.

use api::instances::Instance;
use domain::spec::DesiredState;
use domain::status::{Confinement, InstanceMetrics, InstanceStatus};
use domain::time::span;

use super::instances::to_the_second;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Shows the facts, and what to do when it does not run.
pub(crate) async fn run(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let instance = client.instance(name).await?;
    if output.json() {
        return output.document(&instance);
    }
    output.data(&facts(&instance))?;
    if let Some(next) = next_step(&instance) {
        output.hint(&next);
    }
    Ok(())
}

fn facts(instance: &Instance) -> String {
    let mut lines: Vec<(&str, String)> =
        vec![("name", instance.name.to_string()), ("status", instance.status.to_string())];
    if let Some(message) = &instance.message {
        lines.push(("message", message.clone()));
    }
    if let Some(progress) = &instance.progress {
        let percent = progress.percent.map(|p| format!(" ({p}%)")).unwrap_or_default();
        lines.push(("progress", format!("{}{percent}", progress.step)));
    }
    if let Some(since) = instance.since {
        lines.push(("since", to_the_second(since)));
    }
    let desired = match instance.desired {
        DesiredState::Running => "running",
        DesiredState::Stopped => "stopped",
    };
    lines.push(("wanted", desired.to_owned()));
    lines.push(("environment", instance.environment.to_string()));
    lines.extend(
        instance
            .leaving
            .iter()
            .map(|name| ("leaving", format!("{name}, whose host has not let go of it yet"))),
    );
    if let Some(failover) = instance.failover {
        let (lease, lost_after) = (failover.lease_seconds, failover.lost_after_seconds);
        lines.push(("failover", format!("after {lost_after} s of silence, its lease is {lease} s")));
    }
    if let Some(seconds) = instance.sleep_after_seconds {
        lines.push(("sleeps", format!("after {} without use", span(seconds))));
    }
    if let Some(why) = &instance.stays {
        lines.push(("stays", why.clone()));
    }
    match &instance.container {
        None => lines.push(("url", instance.url.clone())),
        Some(container) => {
            lines.push(("kind", "container tool".to_owned()));
            lines.extend(container.ports.iter().map(|port| ("port", port.to_string())));
            lines.extend(container.volumes.iter().map(|volume| ("volume", volume.to_string())));
            lines.extend(container.health.iter().map(|health| ("health", health.to_string())));
        }
    }
    lines.push(("package", instance.package.clone()));
    let optional = [
        ("version", &instance.version),
        ("digest", &instance.digest),
        ("server", &instance.server_name),
        ("protocol", &instance.protocol_version),
    ];
    lines.extend(optional.into_iter().filter_map(|(key, value)| value.clone().map(|value| (key, value))));
    if let Some(confinement) = &instance.confinement {
        lines.push(("runtime", confinement.runtime.clone()));
        if let Some(profile) = confinement.profile {
            lines.push(("profile", profile.to_string()));
        }
        lines.extend(confinement.egress.iter().map(|egress| ("egress", egress.to_string())));
        lines.push(("limits", limits(confinement)));
    }
    lines.push(("restarts", instance.restarts.to_string()));
    if let Some(metrics) = &instance.metrics {
        lines.extend(usage(metrics));
    }
    lines.extend(instance.blocked.iter().map(|blocked| ("blocked", blocked.to_string())));
    for (key, value) in &instance.settings {
        lines.push(("setting", format!("{key}={value}")));
    }
    for name in &instance.secret_names {
        lines.push(("secret", format!("{name}=(hidden)")));
    }
    for name in &instance.each_caller {
        lines.push(("secret", format!("{name}=(each caller's own)")));
    }
    lines.push(("generation", instance.generation.to_string()));
    lines.push(("created", to_the_second(instance.created_at)));
    lines.push(("id", instance.id.to_string()));
    let shown: Vec<String> = lines
        .iter()
        .map(|(key, value)| format!("{key:<12} {}", value.replace('\n', "\n             ")))
        .collect();
    shown.join("\n")
}

/// What it used when its host last said so.
fn usage(metrics: &InstanceMetrics) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(millicores) = metrics.cpu_millicores {
        lines.push(("cpu", format!("{}.{} % of a core", millicores / 10, millicores % 10)));
    }
    lines.push(("memory", bytes(metrics.memory_bytes)));
    if let (Some(received), Some(sent)) = (metrics.received_bytes, metrics.sent_bytes) {
        lines.push(("network", format!("{} in, {} out", bytes(received), bytes(sent))));
    }
    lines
}

/// Bytes with one decimal of the largest unit that fits.
pub(super) fn bytes(count: u64) -> String {
    let (unit, shift) = match count {
        ..0x400 => return format!("{count} B"),
        0x400..0x10_0000 => ("KiB", 10),
        0x10_0000..0x4000_0000 => ("MiB", 20),
        _ => ("GiB", 30),
    };
    let tenths = (u128::from(count) * 10) >> shift;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn limits(confinement: &Confinement) -> String {
    let mut words = vec![];
    words.extend(confinement.memory_mib.map(|mib| format!("{mib} MiB of memory")));
    words.push(confinement.cpu_millicores.map_or_else(|| "any number of cores".to_owned(), cores));
    words.push(format!("{} processes", confinement.processes));
    words.push(format!("{} open files", confinement.open_files));
    words.join(", ")
}

/// Thousandths of a core, as people count them.
fn cores(millicores: u64) -> String {
    let text = format!("{}.{:03}", millicores / 1000, millicores % 1000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {}", if millicores == 1000 { "core" } else { "cores" })
}

/// What its owner may want to do next; nothing while it changes by itself.
pub(crate) fn next_step(instance: &Instance) -> Option<String> {
    let name = &instance.name;
    match instance.status {
        InstanceStatus::ErrorInstall => Some(format!(
            "when the cause is gone, `berth restart {name}` tries again; `berth remove {name}` gives up"
        )),
        InstanceStatus::ErrorRuntime => Some(format!("`berth logs {name}` shows its last words")),
        InstanceStatus::Stopped => Some(format!("`berth start {name}` starts it")),
        InstanceStatus::Running if instance.container.is_some() => {
            Some(format!("`berth logs {name}` shows what it says"))
        }
        InstanceStatus::Asleep => {
            Some(format!("the next call wakes it; `berth tools {name}` lists its tools"))
        }
        InstanceStatus::Running => {
            Some(format!("`berth tools {name}` lists its tools, `berth connect {name}` connects a client"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_processor_time() {
        for (millicores, text) in [
            (2000, "2 cores"),
            (1000, "1 core"),
            (500, "0.5 cores"),
            (10_050, "10.05 cores"),
            (10, "0.01 cores"),
        ] {
            assert_eq!(cores(millicores), text);
        }
    }

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
