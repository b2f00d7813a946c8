//! Upgrades of host agents: asked for here, carried out by `tasks::upgrades`.

use std::collections::{HashMap, HashSet};

use api::errors::ErrorCode;
use api::upgrades::{Upgrade, UpgradeHost, UpgradeHostsRequest, UpgradeStatus};
use api::users::Role;
use domain::ids::{EnvironmentId, UpgradeId};
use domain::names::EnvironmentName;
use domain::program::ProgramDigest;
use domain::status::EnvironmentStatus;
use domain::waves::{HostState, Wave, assign};
use serde_json::json;
use store::StoreError;
use store::environments::EnvironmentRow;
use store::upgrades::{HostRow, UpgradeRow, UpgradeState};

use crate::app::audit::{self, Act};
use crate::app::environments::find;
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// So many are shown.
const LIMIT: u64 = 10;

/// The account's last upgrades, the newest first.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Upgrade>> {
    let names: HashMap<EnvironmentId, _> = store::environments::list(&app.store, caller.account)
        .await?
        .into_iter()
        .map(|row| (row.id, row.name))
        .collect();
    let rows = store::upgrades::list(&app.store, caller.account, LIMIT).await?;
    Ok(rows.into_iter().map(|row| render(row, |id| names.get(&id).cloned())).collect())
}

/// Begins to change hosts to the program that this control plane is, for an admin.
///
/// # Errors
/// 403, 404 with the nearest name, 409 while another is under way, for a host that cannot be upgraded from here, and when there is
/// nothing to do, 422.
pub(crate) async fn begin(app: &App, caller: &Caller, request: &UpgradeHostsRequest) -> Outcome<Upgrade> {
    caller.require(Role::Admin)?;
    let Chosen { rows, waves, program } = choose(app, caller, request).await?;
    let at = now();
    let hosts = rows.iter().zip(waves).map(|(row, wave)| HostRow {
        environment: row.id,
        wave,
        state: HostState::Waiting,
        since: at,
        running: Vec::new(),
        message: None,
    });
    let row = UpgradeRow {
        id: UpgradeId::generate(),
        account: caller.account,
        program,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: UpgradeState::Running,
        message: None,
        created_at: at,
        ended_at: None,
        hosts: hosts.collect(),
    };
    let mut tx = app.store.begin().await?;
    store::upgrades::insert(&mut tx, &row).await.map_err(|error| match error {
        StoreError::Taken { .. } => Problem::refused(ErrorCode::Conflict, "hosts are being upgraded already")
            .hint("`berth env upgrade` without a name shows how far they are"),
        error => error.into(),
    })?;
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let act = Act {
        action: "environments.upgrade",
        kind: "upgrade",
        id: row.id.to_string(),
        name: row.program.short(),
        detail: json!({ "environments": names, "waves": request.waves }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.upgrades.notify_one();
    Ok(render(row, |id| rows.iter().find(|row| row.id == id).map(|row| row.name.clone())))
}

/// Who would be changed in which wave, from 1; changes nothing.
///
/// # Errors
/// As those of [`begin`].
pub(crate) async fn plan(
    app: &App,
    caller: &Caller,
    request: &UpgradeHostsRequest,
) -> Outcome<Vec<(EnvironmentName, u64)>> {
    caller.require(Role::Admin)?;
    let Chosen { rows, waves, .. } = choose(app, caller, request).await?;
    Ok(rows.into_iter().zip(waves).map(|(row, wave)| (row.name, wave as u64 + 1)).collect())
}

/// What is changed: hosts with the wave of each, from 0, and to which program.
struct Chosen {
    rows: Vec<EnvironmentRow>,
    waves: Vec<usize>,
    program: ProgramDigest,
}

async fn choose(app: &App, caller: &Caller, request: &UpgradeHostsRequest) -> Outcome<Chosen> {
    let waves = request
        .waves
        .iter()
        .map(|wave| {
            wave.parse::<Wave>().map_err(|error| Problem::invalid("waves", format!("`{wave}`: {error}")))
        })
        .collect::<Outcome<Vec<Wave>>>()?;
    let program = own_program(app).await?;
    let rows = if request.all {
        if !request.environments.is_empty() {
            return Err(Problem::invalid("environments", "all are meant, or those that are named"));
        }
        let mut rows = store::environments::list(&app.store, caller.account).await?;
        // One that is silent would stop its wave; it can be named.
        rows.retain(|row| {
            row.status == EnvironmentStatus::Active && program_of(row).is_some_and(|its| its != program)
        });
        rows
    } else {
        named(app, caller, &request.environments, &program).await?
    };
    if rows.is_empty() {
        return Err(Problem::refused(ErrorCode::Conflict, "no environment has to be upgraded").hint(
            "those whose host agent is a service, reports and is another program are; `berth env list` shows which",
        ));
    }
    let waves = assign(&waves, rows.len());
    Ok(Chosen { rows, waves, program })
}

async fn named(
    app: &App,
    caller: &Caller,
    names: &[String],
    program: &ProgramDigest,
) -> Outcome<Vec<EnvironmentRow>> {
    if names.is_empty() {
        return Err(Problem::invalid("environments", "no environment is named")
            .hint("name those to upgrade, or take all with `--all`"));
    }
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for name in names {
        let row = find(app, caller, name).await?;
        match program_of(&row) {
            None => {
                let message = format!("the host agent of `{}` cannot be replaced from here", row.name);
                return Err(Problem::refused(ErrorCode::Conflict, message).field("environments").hint(
                    "it is no service of its host, or older than this way: put the program there and run \
                     `berth dtma upgrade FILE`, or `berth dtma install` to make it a service",
                ));
            }
            Some(its) if its == *program => {}
            Some(_) if seen.insert(row.id) => rows.push(row),
            Some(_) => {}
        }
    }
    Ok(rows)
}

/// The program that a host's agent is, where it can be replaced.
pub(crate) fn program_of(row: &EnvironmentRow) -> Option<ProgramDigest> {
    row.health.as_ref()?.program.clone()
}

/// The program that hosts are upgraded to.
///
/// # Errors
/// When it cannot be read.
pub(crate) async fn own_program(app: &App) -> Outcome<ProgramDigest> {
    let text = app.offered.sha256().await.map_err(|error| Problem::Failed(Box::new(error)))?;
    text.parse().map_err(|error| Problem::Failed(Box::new(error) as Box<_>))
}

fn render(row: UpgradeRow, name: impl Fn(EnvironmentId) -> Option<EnvironmentName>) -> Upgrade {
    let hosts = row.hosts.into_iter().filter_map(|host| {
        Some(UpgradeHost {
            environment: name(host.environment)?,
            wave: host.wave as u64 + 1,
            state: host.state,
            since: host.since,
            message: host.message,
        })
    });
    Upgrade {
        id: row.id,
        program: row.program,
        version: row.version,
        state: match row.state {
            UpgradeState::Running => UpgradeStatus::Running,
            UpgradeState::Done => UpgradeStatus::Done,
            UpgradeState::Failed => UpgradeStatus::Failed,
        },
        message: row.message,
        created_at: row.created_at,
        ended_at: row.ended_at,
        hosts: hosts.collect(),
    }
}
