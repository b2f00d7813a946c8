//! `berth env show`: everything about one machine.

use api::environments::Environment;
use api::instances::Instance;

use super::super::instances::to_the_second;
use super::super::status::bytes;
use super::{address, path_of};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Shows the facts, and what is wrong.
pub(super) async fn run(name: &str, client: &Client, output: Output) -> Result<(), CliError> {
    let environment: Environment = client.get(&path_of(name)).await?;
    if output.json() {
        return output.document(&environment);
    }
    let mut instances: Vec<Instance> = client.get("/instances").await?;
    instances.retain(|instance| instance.environment == environment.name);
    let shown: Vec<String> =
        facts(&environment, &instances).iter().map(|(key, value)| format!("{key:<12} {value}")).collect();
    output.data(&shown.join("\n"))?;
    if let Some(message) = &environment.message {
        output.hint(message);
    }
    Ok(())
}

fn facts(environment: &Environment, instances: &[Instance]) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("name", environment.name.to_string()),
        (
            "status",
            format!(
                "{}{}",
                environment.status,
                if environment.cordoned { ", takes no new instances" } else { "" }
            ),
        ),
        ("address", address(environment).to_owned()),
    ];
    for (key, value) in environment.labels.iter() {
        lines.push(("label", format!("{key}={value}")));
    }
    if let Some(droplet) = &environment.droplet {
        let number = droplet.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let status = droplet.status.as_deref().unwrap_or("not there yet");
        lines.push(("droplet", format!("{number} `{}` ({status})", droplet.name)));
        let price = droplet.price_monthly;
        lines.push(("size", format!("{} in {}, ${price:.2} a month", droplet.size, droplet.region)));
        lines.push(("image", droplet.image.clone()));
        if let Some(address) = &droplet.address {
            lines.push(("public ip", address.clone()));
        }
        if let Some(step) = &droplet.step {
            lines.push(("step", step.clone()));
        }
    }
    if let Some(version) = &environment.dtma_version {
        lines.push(("dtma", version.clone()));
    }
    if let Some(at) = environment.last_heartbeat_at {
        lines.push(("heartbeat", to_the_second(at)));
    }
    if let Some(system) = &environment.system {
        lines.push(("cpu", format!("{:.1} % of {} cores", system.cpu_load_percent, system.cores)));
        let memory = &system.memory;
        lines.push(("memory", format!("{} of {} free", bytes(memory.free_bytes), bytes(memory.total_bytes))));
        if let Some(disk) = &system.disk {
            let (free, total) = (bytes(disk.free_bytes), bytes(disk.total_bytes));
            lines.push(("disk", format!("{free} of {total} free at {}", disk.mount)));
        }
        lines.push(("uptime", format!("{} h", system.uptime_seconds / 3600)));
    }
    for protection in &environment.protections {
        let no = if protection.granted { "" } else { "no " };
        lines.push(("protection", format!("{no}{} ({})", protection.name, protection.detail)));
    }
    for instance in instances {
        lines.push(("instance", format!("{} ({})", instance.name, instance.status)));
    }
    lines.push(("id", environment.id.to_string()));
    lines
}
