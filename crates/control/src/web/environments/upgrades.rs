//! `/a/{account}/environments/upgrades`: host agents that are another program than the control plane, and changing them in waves.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::upgrades::{Upgrade, UpgradeHostsRequest, UpgradeStatus};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::status::EnvironmentStatus;
use domain::waves::HostState;

use crate::app::{App, Outcome, environments, upgrades};
use crate::web::environments::fields::Fields;
use crate::web::member::{Member, PostedBy};
use crate::web::notice::{Notice, status_of};
use crate::web::pages::Pages;
use crate::web::shell::{Section, Shell};
use crate::web::visitor::Turned;
use crate::web::words::{Badge, Tone, ago};
use crate::web::{see, shell_page_with};

/// How many are done when each wave is, when nobody says otherwise.
const WAVES: &str = "1,25%,100%";

/// Waves, and who is changed in each.
type Plan = Vec<(u64, Vec<String>)>;

pub(super) fn pages(pages: Pages) -> Pages {
    pages.page("/a/{account}/environments/upgrades", get(show).post(change))
}

#[derive(Template)]
#[template(path = "environments-upgrades.html")]
struct Page {
    shell: Shell,
    /// The control plane's own version.
    version: &'static str,
    outdated: Vec<Outdated>,
    waves: String,
    plan: Option<Plan>,
    is_running: bool,
    upgrades: Vec<Told>,
    wrong: Option<Notice>,
}

struct Outdated {
    name: String,
    version: String,
    badge: Badge,
    chosen: bool,
}

struct Told {
    id: String,
    version: String,
    program: String,
    badge: Badge,
    when: String,
    message: String,
    hosts: Vec<Host>,
    done: usize,
    percent: usize,
}

struct Host {
    name: String,
    wave: u64,
    badge: Badge,
    when: String,
    message: String,
}

async fn show(State(app): State<Arc<App>>, member: Member) -> Result<Response, Turned> {
    answer(&app, &member, None, WAVES, Ok(None)).await
}

/// What is chosen; `None`: all that report.
async fn answer(
    app: &App,
    member: &Member,
    chosen: Option<&[String]>,
    waves: &str,
    plan: Result<Option<Plan>, Notice>,
) -> Result<Response, Turned> {
    let mut outdated = Vec::new();
    for environment in environments::list(app, &member.caller).await? {
        if environment.outdated {
            let name = environment.name.to_string();
            outdated.push(Outdated {
                chosen: chosen
                    .map_or(environment.status == EnvironmentStatus::Active, |all| all.contains(&name)),
                version: environment.dtma_version.unwrap_or_default(),
                badge: environment.status.into(),
                name,
            });
        }
    }
    let upgrades: Vec<Told> = upgrades::list(app, &member.caller).await?.into_iter().map(told).collect();
    let (plan, wrong) = match plan {
        Ok(plan) => (plan, None),
        Err(wrong) => (None, Some(wrong)),
    };
    let status = status_of(wrong.as_ref());
    let page = Page {
        shell: Shell::new(app, member, Section::Environments),
        version: env!("CARGO_PKG_VERSION"),
        outdated,
        waves: waves.to_owned(),
        plan,
        is_running: upgrades.iter().any(|upgrade| upgrade.badge.tone == Tone::Busy),
        upgrades,
        wrong,
    };
    Ok(shell_page_with(&page, status))
}

fn told(upgrade: Upgrade) -> Told {
    let (tone, words) = match upgrade.state {
        UpgradeStatus::Running => (Tone::Busy, "under way"),
        UpgradeStatus::Done => (Tone::Good, "done"),
        UpgradeStatus::Failed => (Tone::Bad, "stopped"),
    };
    let done = upgrade.hosts.iter().filter(|host| host.state == HostState::Done).count();
    let when = match upgrade.ended_at {
        Some(at) => format!("ended {}", ago(at)),
        None => format!("began {}", ago(upgrade.created_at)),
    };
    let hosts: Vec<Host> = upgrade
        .hosts
        .into_iter()
        .map(|host| Host {
            name: host.environment.to_string(),
            wave: host.wave,
            badge: host_badge(host.state),
            when: if host.state == HostState::Waiting { String::new() } else { ago(host.since) },
            message: host.message.unwrap_or_default(),
        })
        .collect();
    Told {
        id: upgrade.id.to_string(),
        version: upgrade.version,
        program: upgrade.program.short().to_owned(),
        badge: Badge { tone, words },
        when,
        message: upgrade.message.unwrap_or_default(),
        percent: done * 100 / hosts.len().max(1),
        done,
        hosts,
    }
}

fn host_badge(state: HostState) -> Badge {
    let (tone, words) = match state {
        HostState::Waiting => (Tone::Quiet, "waits for its wave"),
        HostState::Started => (Tone::Busy, "being changed"),
        HostState::Done => (Tone::Good, "done"),
        HostState::Failed => (Tone::Bad, "failed"),
    };
    Badge { tone, words }
}

async fn change(
    State(app): State<Arc<App>>,
    PostedBy { member, form }: PostedBy<Fields>,
) -> Result<Response, Turned> {
    let request = UpgradeHostsRequest {
        environments: form.all("environment"),
        all: false,
        waves: form
            .one("waves")
            .split(',')
            .map(|wave| wave.trim().to_owned())
            .filter(|wave| !wave.is_empty())
            .collect(),
    };
    let planned = match form.one("act") {
        "plan" => waves_of(&app, &member, &request).await.map(Some),
        _ => match upgrades::begin(&app, &member.caller, &request).await {
            Ok(_) => return Ok(see(&format!("/a/{}/environments/upgrades", member.caller.account_name))),
            Err(problem) => Err(problem),
        },
    };
    let planned = match planned {
        Ok(plan) => Ok(plan),
        Err(problem) => Err(Notice::wrong(problem)?),
    };
    answer(&app, &member, Some(&request.environments), form.one("waves"), planned).await
}

async fn waves_of(app: &App, member: &Member, request: &UpgradeHostsRequest) -> Outcome<Plan> {
    let mut waves: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (name, wave) in upgrades::plan(app, &member.caller, request).await? {
        waves.entry(wave).or_default().push(name.to_string());
    }
    Ok(waves.into_iter().collect())
}
