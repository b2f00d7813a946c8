//! `/a/{account}/environments/{name}`: everything about one machine.

use std::sync::Arc;

use api::environments::Environment;
use api::instances::Instance;
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::status::EnvironmentStatus;
use serde::Deserialize;

use crate::app::machines::{self, Machine, Reached, Tls};
use crate::app::{App, fleet, instances};
use crate::web::environments::checks::Checks;
use crate::web::environments::load::{Load, span};
use crate::web::environments::steps::{self, Steps};
use crate::web::environments::{dollars, label_words, path_of};
use crate::web::member::{Member, PostedBy};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::words::{Badge, ago, bytes, moment};
use crate::web::{see, shell_page};

pub(super) fn pages(pages: Pages) -> Pages {
    pages
        .page("/a/{account}/environments/{name}", get(show))
        .page("/a/{account}/environments/{name}/cordon", post(cordon))
}

#[derive(Deserialize)]
struct Wanted {
    /// `all`: also those of a machine that is there.
    steps: Option<String>,
}

#[derive(Template)]
#[template(path = "environment.html")]
#[expect(clippy::struct_excessive_bools, reason = "each says whether the template shows a part")]
struct Page {
    shell: Shell,
    name: String,
    path: String,
    badge: Badge,
    message: String,
    cordoned: bool,
    outdated: bool,
    can_be_upgraded: bool,
    is_here: bool,
    is_going: bool,
    has_host: bool,
    steps: Option<Steps>,
    facts: Vec<(&'static str, String)>,
    labels: Vec<String>,
    droplet: Option<Made>,
    load: Option<Load>,
    instances: Vec<Inside>,
    leaving: Vec<String>,
    checks: Checks,
}

/// The droplet that Berth made.
struct Made {
    facts: Vec<(&'static str, String)>,
    price: String,
    link: Option<String>,
}

/// An instance of it.
struct Inside {
    name: String,
    badge: Badge,
    message: String,
    package: String,
    runs_in: String,
    cpu: String,
    memory: String,
}

async fn show(
    State(app): State<Arc<App>>,
    member: Member,
    Path((_, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Turned> {
    let machine = machines::show(&app, &member.caller, &name).await?;
    let mut inside = instances::list(&app, &member.caller).await?;
    inside.retain(|instance| instance.environment == machine.environment.name);
    let shell = Shell::new(&app, &member, Section::Environments);
    let path = path_of(&shell, &name);
    let all = wanted.steps.as_deref() == Some("all");
    let live = if all { format!("{path}?steps=all") } else { String::new() };
    let steps = steps::of(&machine, all, live);
    let is_step = |message: &str| {
        steps.as_ref().is_some_and(|steps| steps.list.iter().any(|step| step.note == message))
    };
    let facts = facts(&machine);
    let Machine { environment, reached, has_host, can_be_upgraded, leaving, .. } = machine;
    let message = environment.message.as_deref().filter(|message| !is_step(message));
    let message = message.unwrap_or_default().to_owned();
    Ok(shell_page(&Page {
        checks: Checks::known(&path, &environment.protections),
        shell,
        path,
        badge: environment.status.into(),
        cordoned: environment.cordoned,
        outdated: environment.outdated,
        can_be_upgraded,
        is_here: reached == Reached::Here,
        is_going: matches!(
            environment.status,
            EnvironmentStatus::Deleting | EnvironmentStatus::ErrorDeletion
        ),
        has_host,
        steps,
        facts,
        labels: label_words(&environment.labels),
        droplet: made(&environment),
        load: environment.system.as_ref().map(Load::of),
        instances: inside.iter().map(instance).collect(),
        leaving: leaving.iter().map(ToString::to_string).collect(),
        message,
        name: environment.name.to_string(),
    }))
}

fn facts(machine: &Machine) -> Vec<(&'static str, String)> {
    let environment = &machine.environment;
    let reached = match &machine.reached {
        Reached::Here => "the control plane's own machine".to_owned(),
        Reached::Tunnel { is_open: true } => "through the tunnel that it opened".to_owned(),
        Reached::Tunnel { is_open: false } => "through a tunnel that it opens; there is none now".to_owned(),
        Reached::Dialled { address, tls, .. } => format!("dialled at {address}, {}", tls_words(tls)),
        Reached::Unknown => "in a way that this version does not know".to_owned(),
    };
    let mut facts = vec![("Reached", reached)];
    if let Some(version) = &environment.dtma_version {
        facts.push(("DTMA", version.clone()));
    }
    if let Some(at) = environment.last_heartbeat_at {
        facts.push(("Last heard", format!("{} ({})", ago(at), moment(at))));
    }
    if let Some(system) = &environment.system {
        if system.cores != 0 {
            facts.push(("Cores", system.cores.to_string()));
        }
        if system.uptime_seconds != 0 {
            facts.push(("On for", span(system.uptime_seconds)));
        }
    }
    facts.push(("Id", environment.id.to_string()));
    facts
}

fn tls_words(tls: &Tls) -> String {
    match tls {
        Tls::Pinned(pin) => format!("over TLS, its key is {pin}"),
        Tls::ToCome => "over TLS; it says its key when it is enrolled".to_owned(),
        Tls::None => "without encryption".to_owned(),
    }
}

fn made(environment: &Environment) -> Option<Made> {
    let droplet = environment.droplet.as_ref()?;
    let mut facts = vec![("Name", droplet.name.clone())];
    facts.extend(droplet.id.map(|id| ("Number", id.to_string())));
    facts.extend([
        ("Region", droplet.region.clone()),
        ("Size", droplet.size.clone()),
        ("Image", droplet.image.clone()),
    ]);
    facts.extend(droplet.address.clone().map(|address| ("Public address", address)));
    facts.extend(droplet.status.clone().map(|status| ("At DigitalOcean", status)));
    let link = droplet.id.map(|id| format!("https://cloud.digitalocean.com/droplets/{id}"));
    Some(Made { facts, price: dollars(droplet.price_monthly), link })
}

fn instance(instance: &Instance) -> Inside {
    let metrics = instance.metrics.as_ref();
    let of_core = |millicores: u64| format!("{}.{:02}", millicores / 1000, millicores % 1000 / 10);
    let runs_in = match instance.confinement.as_deref() {
        Some(confinement) if confinement.runtime == "docker" => "container",
        Some(confinement) if confinement.runtime == "process" => "sandbox",
        Some(confinement) => confinement.runtime.as_str(),
        None => "",
    };
    Inside {
        name: instance.name.to_string(),
        badge: instance.status.into(),
        message: instance.message.clone().unwrap_or_default(),
        package: domain::image::shortened(&instance.package),
        runs_in: runs_in.to_owned(),
        cpu: metrics.and_then(|metrics| metrics.cpu_millicores).map(of_core).unwrap_or_default(),
        memory: metrics.map(|metrics| bytes(metrics.memory_bytes)).unwrap_or_default(),
    }
}

#[derive(Deserialize)]
struct Cordon {
    cordoned: String,
}

async fn cordon(
    State(app): State<Arc<App>>,
    Path((_, name)): Path<(String, String)>,
    PostedBy { member, form }: PostedBy<Cordon>,
) -> Result<Response, Turned> {
    let request = api::environments::ChangeEnvironmentRequest {
        cordoned: Some(form.cordoned == "yes"),
        ..Default::default()
    };
    let changed = fleet::change(&app, &member.caller, &name, &request).await?;
    Ok(see(&format!("/a/{}/environments/{}", member.caller.account_name, changed.name)))
}
