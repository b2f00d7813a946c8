//! What a deployment will be, as a page shows it before anything is written.

use api::instances::DeployRequest;
use domain::egress::Egress;
use domain::package::Package;
use domain::time::span;

use crate::app::deployment::Deployment;
use crate::auth::token::hash_text;
use crate::web::marketplace::quoted;

/// What will run, all defaults applied.
#[derive(Debug)]
pub(super) struct Review {
    /// What it is, and with which arguments it is started.
    pub(super) command: String,
    /// Variables or headers, a line each; of secrets their names alone.
    pub(super) variables: Vec<String>,
    /// What else: words and their value.
    pub(super) facts: Vec<(&'static str, String)>,
    /// Known by this text, so that what was seen is what is deployed.
    pub(super) digest: String,
}

impl Review {
    /// Of a plan, and where it is to run.
    pub(super) fn of(request: &DeployRequest, plan: &Deployment, environment: &str, account: &str) -> Self {
        let is_remote = matches!(plan.package, Package::Remote { .. });
        let mut words = vec![plan.package.to_string()];
        words.extend(plan.launch.args.iter().map(|argument| quoted(argument)));
        let between = if is_remote { ": " } else { "=" };
        let preset = plan.launch.env.iter().filter(|(name, _)| !plan.env.contains_key(*name));
        let open = preset.chain(&plan.env).map(|(name, value)| format!("{name}{between}{value}"));
        let secret = plan.secrets.keys().map(|name| match plan.named.get(name) {
            Some(vault) => format!("{name}{between}(the secret {vault})"),
            None => format!("{name}{between}(a secret)"),
        });
        let name = plan.name.as_ref().map_or_else(
            || format!("{} (or with a number, when taken)", plan.name_base),
            ToString::to_string,
        );
        let mut facts = vec![("Name", name.clone()), ("Runs in", environment.to_owned())];
        if plan.launch.container.is_none() {
            let shown = plan.name.as_ref().unwrap_or(&plan.name_base);
            facts.push(("Address", format!("{}{account}/{shown}", gateway::PREFIX)));
            let mode = plan.launch.mode.map_or_else(|| "per-principal".to_owned(), |mode| mode.to_string());
            facts.push(("Processes", mode));
            let sleep = plan.launch.sleep_after_seconds;
            facts.extend(sleep.map(|seconds| ("Sleeps", format!("after {} without use", span(seconds)))));
        }
        if let Some(container) = &plan.launch.container {
            facts.extend(container.ports.iter().map(|port| ("Port", port.to_string())));
            facts.extend(container.volumes.iter().map(|volume| ("Volume", volume.to_string())));
        }
        if !plan.launch.constraints.is_empty() {
            facts.push(("Constraints", plan.launch.constraints.join(", ")));
        }
        let limits = &plan.limits;
        for (words, value, unit) in [
            ("Memory", limits.memory_mib, "MiB"),
            ("Processor", limits.cpu_millicores, "thousandths of a core"),
            ("Processes at most", limits.processes, ""),
            ("Open files", limits.open_files, ""),
            ("Time to start", limits.startup_seconds, "s"),
        ] {
            if let Some(value) = value {
                facts.push((words, format!("{value} {unit}").trim_end().to_owned()));
            }
        }
        if !is_remote {
            facts.push(("Network", network(plan.launch.egress.as_ref())));
        }
        if let Some(profile) = plan.launch.profile {
            facts.push(("Profile", profile.to_string()));
        }
        if let Some(failover) = plan.failover {
            facts.push((
                "Failover",
                format!("on another machine after {} s of silence", failover.lost_after_seconds),
            ));
        }
        let mut review = Self {
            command: words.join(" "),
            variables: open.chain(secret).collect(),
            facts,
            digest: String::new(),
        };
        let server = request.version.as_deref().unwrap_or_default();
        let all = format!("{server}\n{}\n{:?}\n{:?}", review.command, review.variables, review.facts);
        review.digest = hash_text(&all);
        review
    }
}

fn network(egress: Option<&Egress>) -> String {
    match egress {
        None => "what its machine allows by default".to_owned(),
        Some(Egress::None) => "none".to_owned(),
        Some(Egress::Open) => "the internet, not its machine nor Berth".to_owned(),
        Some(Egress::AllowList { hosts }) => {
            let hosts: Vec<String> = hosts.iter().map(|host| String::from(host.clone())).collect();
            hosts.join(", ")
        }
    }
}
