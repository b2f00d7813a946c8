//! `/a/{account}/environments`: the machines, and a page for each thing that can be done with one.

mod add;
mod change;
mod checks;
mod cleanup;
mod drain;
mod droplet;
mod enrol;
mod fields;
mod load;
mod logs;
mod machine;
mod remove;
mod steps;
mod upgrades;

use std::sync::Arc;

use api::environments::{Environment, EnvironmentDroplet};
use api::users::Role;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::placement::Labels;

use crate::app::{App, environments};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::shell_page;
use crate::web::visitor::Turned;
use crate::web::words::{Badge, ago};
use load::Load;

pub(crate) fn pages(pages: Pages) -> Pages {
    let parts = [
        machine::pages,
        add::pages,
        droplet::pages,
        upgrades::pages,
        change::pages,
        drain::pages,
        enrol::pages,
        cleanup::pages,
        checks::pages,
        logs::pages,
        remove::pages,
    ];
    let pages = pages.page("/a/{account}/environments", get(list));
    parts.into_iter().fold(pages, |pages, more| more(pages))
}

#[derive(Template)]
#[template(path = "environments.html")]
struct List {
    shell: Shell,
    machines: Vec<Row>,
    /// How many host agents are another program than the control plane.
    outdated: usize,
    /// What the droplets cost in a month, when there are any.
    cost: Option<String>,
}

struct Row {
    name: String,
    badge: Badge,
    message: String,
    cordoned: bool,
    outdated: bool,
    /// What it is, such as `droplet s-1vcpu-1gb in fra1, $6.00 a month`.
    facts: Vec<String>,
    labels: Vec<String>,
    load: Option<Load>,
}

async fn list(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    let all = environments::list(&app, &member.caller).await?;
    let prices: Vec<f64> =
        all.iter().filter_map(|one| one.droplet.as_ref()).map(|droplet| droplet.price_monthly).collect();
    Ok(shell_page(&List {
        shell: Shell::new(&app, &member, Section::Environments),
        outdated: all.iter().filter(|environment| environment.outdated).count(),
        cost: (!prices.is_empty()).then(|| dollars(prices.iter().sum())),
        machines: all.into_iter().map(row).collect(),
    }))
}

fn row(environment: Environment) -> Row {
    let count = environment.instances;
    let mut facts = vec![format!("{count} instance{}", if count == 1 { "" } else { "s" })];
    facts.extend(environment.droplet.as_ref().map(droplet_words));
    facts.extend(environment.address.as_ref().map(|address| format!("dialled at {address}")));
    facts.extend(environment.dtma_version.as_ref().map(|version| format!("DTMA {version}")));
    facts.extend(environment.last_heartbeat_at.map(|at| format!("heard {}", ago(at))));
    Row {
        name: environment.name.to_string(),
        badge: environment.status.into(),
        message: environment.message.unwrap_or_default(),
        cordoned: environment.cordoned,
        outdated: environment.outdated,
        facts,
        labels: label_words(&environment.labels),
        load: environment.system.as_ref().map(Load::of),
    }
}

fn droplet_words(droplet: &EnvironmentDroplet) -> String {
    let EnvironmentDroplet { size, region, price_monthly, .. } = droplet;
    format!("droplet {size} in {region}, {} a month", dollars(*price_monthly))
}

/// US dollars, such as `$6.00`.
fn dollars(amount: f64) -> String {
    format!("${amount:.2}")
}

/// Each as `key=value`.
fn label_words(labels: &Labels) -> Vec<String> {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Pages that are there to change something are for those who may.
///
/// # Errors
/// 403.
fn require_admin(member: &Member) -> Result<(), Turned> {
    Ok(member.caller.require(Role::Admin)?)
}

/// Where the pages of a machine begin.
fn path_of(shell: &Shell, name: &str) -> String {
    format!("{}/environments/{name}", shell.base())
}
