//! `/` and `/a/{account}`: where one comes in, and how everything is.

use std::sync::Arc;

use api::environments::Environment;
use api::instances::Instance;
use api::toolbelts::Toolbelt;
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::status::InstanceStatus;

use crate::app::{App, environments, instances, toolbelts};
use crate::web::member::Member;
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::{Perhaps, Turned};
use crate::web::words::{Badge, Tone, bytes};
use crate::web::{page, see, shell_page};

/// The server that every installation begins with.
const WELCOME: &str = "welcome";

pub(crate) fn pages(pages: Pages) -> Pages {
    pages.open("/", get(home)).page("/a/{account}", get(show))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    url: &'a str,
    /// Somebody is signed in, who is in no account.
    is_lost: bool,
}

/// Whoever is signed in goes on to their first account.
async fn home(State(app): State<Arc<App>>, Perhaps(visitor): Perhaps) -> Response {
    let accounts = visitor.as_ref().map(|visitor| app.directory.picture().accounts_of(visitor.user));
    match accounts.as_deref() {
        Some([(_, first), ..]) => see(&format!("/a/{first}")),
        accounts => page(&Home { url: &app.public().url, is_lost: accounts.is_some() }),
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    /// How many instances there are of each tone, largest worry first.
    counts: Vec<(Tone, usize, &'static str)>,
    /// What somebody should look at.
    worries: Vec<Worry>,
    environments: Vec<Machine>,
    /// The `welcome` server while it is all there is, running or not.
    welcome: Option<Welcome>,
    instances: usize,
}

/// An instance or an environment that is not as it should be.
struct Worry {
    what: &'static str,
    path: String,
    name: String,
    badge: Badge,
    message: String,
}

struct Machine {
    name: String,
    badge: Badge,
    instances: u64,
    load: Option<Load>,
}

/// Percent of all cores, and memory in use as words and percent.
struct Load {
    cpu: u8,
    memory: String,
    memory_percent: u8,
}

struct Welcome {
    url: String,
    badge: Badge,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    let all = instances::list(&app, &member.caller).await?;
    let machines = environments::list(&app, &member.caller).await?;
    let belts = toolbelts::list(&app, &member.caller).await?;
    let is_first = all.len() <= 1;
    let welcome = all
        .iter()
        .find(|instance| is_first && instance.name.as_str() == WELCOME)
        .map(|instance| Welcome { url: instance.url.clone(), badge: instance.status.into() });
    Ok(shell_page(&Overview {
        shell: Shell::new(&app, &member, Section::Overview),
        counts: counts(&all),
        worries: worries(&all, &machines).chain(changed(&belts)).collect(),
        environments: machines.iter().map(machine).collect(),
        welcome,
        instances: all.len(),
    }))
}

fn counts(all: &[Instance]) -> Vec<(Tone, usize, &'static str)> {
    let of = |tone| all.iter().filter(|instance| Badge::from(instance.status).tone == tone).count();
    [
        (Tone::Good, of(Tone::Good), "running"),
        (Tone::Bad, of(Tone::Bad), "to look at"),
        (Tone::Busy, of(Tone::Busy), "on their way"),
        (Tone::Quiet, of(Tone::Quiet), "asleep or stopped"),
    ]
    .into()
}

fn worries(all: &[Instance], machines: &[Environment]) -> impl Iterator<Item = Worry> {
    let worry = |what, path, name: &str, badge, message: Option<&String>| Worry {
        what,
        path,
        name: name.to_owned(),
        badge,
        message: message.cloned().unwrap_or_default(),
    };
    let is_bad = |status: InstanceStatus| Badge::from(status).tone == Tone::Bad;
    let of_instances = all.iter().filter(move |instance| is_bad(instance.status)).map(move |instance| {
        let name = instance.name.as_str();
        worry(
            "instance",
            format!("instances/{name}"),
            name,
            instance.status.into(),
            instance.message.as_ref(),
        )
    });
    let of_machines = machines
        .iter()
        .filter(move |machine| Badge::from(machine.status).tone == Tone::Bad)
        .map(move |machine| {
            let name = machine.name.as_str();
            worry(
                "environment",
                format!("environments/{name}"),
                name,
                machine.status.into(),
                machine.message.as_ref(),
            )
        });
    of_machines.chain(of_instances)
}

/// Toolbelts with definitions that wait for somebody to look at them.
fn changed(belts: &[Toolbelt]) -> impl Iterator<Item = Worry> {
    belts.iter().filter_map(|belt| {
        let count: u64 = belt.members.iter().map(|member| member.changed).sum();
        let (count, are) = match count {
            0 => return None,
            1 => ("one definition".to_owned(), "is"),
            count => (format!("{count} definitions"), "are"),
        };
        Some(Worry {
            what: "toolbelt",
            path: format!("toolbelts/{}/changes", belt.name),
            name: belt.name.to_string(),
            badge: Badge { tone: Tone::Bad, words: "changed" },
            message: format!("{count} {are} no longer what was approved"),
        })
    })
}

fn machine(machine: &Environment) -> Machine {
    let load = machine.system.as_ref().map(|system| {
        let (used, total) = (system.memory.used_bytes, system.memory.total_bytes);
        Load {
            cpu: percent(system.cpu_load_percent),
            memory: format!("{} of {}", bytes(used), bytes(total)),
            memory_percent: u8::try_from(used.saturating_mul(100) / total.max(1)).unwrap_or(100).min(100),
        }
    });
    Machine {
        name: machine.name.to_string(),
        badge: machine.status.into(),
        instances: machine.instances,
        load,
    }
}

/// A share as a whole number of 0 to 100.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is between 0 and 100"
)]
fn percent(share: f64) -> u8 {
    share.clamp(0.0, 100.0).round() as u8
}
