//! Carries out upgrades of host agents, wave by wave: sends each host this control plane's program in pieces, has the host put it in the
//! place of its own, and looks whether it reports as that program with its instances as they were.
//!
//! Whatever was begun is known to the rows and the hosts, and every step can be done twice: so a control plane that ends anywhere
//! goes on there. Which hosts are begun, [`domain::waves::next`] decides. A host takes back by itself what does not serve.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::dtma::{MAX_PIECE, PieceQuery, UpgradeRequest};
use bytes::Bytes;
use domain::ids::EnvironmentId;
use domain::spec::DesiredState;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use domain::waves::{HostState, Next, next};
use serde::Serialize;
use store::environments::EnvironmentRow;
use store::upgrades::{HostRow, UpgradeRow, UpgradeState};

use crate::app::environments::tell;
use crate::app::problem::Chain;
use crate::app::upgrades::{own_program, program_of};
use crate::app::{App, Outcome};
use crate::directory::now;
use crate::dtma_client::DtmaError;
use crate::reach::{Host, reach};

/// Between two looks at hosts that are being upgraded.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks when none is.
const IDLE: Duration = Duration::from_secs(5);
/// How long a host has, from its first piece to its instances: sending takes most of it.
const PATIENCE: Duration = Duration::from_mins(15);

/// What the last look found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Status {
    /// Upgrades that are under way.
    pub(crate) running: usize,
    /// What went wrong with the last look.
    pub(crate) error: Option<String>,
}

/// How far a host was brought.
enum Brought {
    /// It is not there yet, and why that is.
    Waits(String),
    /// It is the new program, and its instances are as they were.
    Done,
    /// It is not, and will not be.
    Failed(String),
}

/// Looks, on a period and on a nudge, until the process stops.
pub(crate) async fn run(app: &Arc<App>) {
    let mut at_work = HashMap::new();
    loop {
        let status = match look(app, &mut at_work).await {
            Ok(running) => Status { running, error: None },
            Err(problem) => {
                tracing::warn!(error = %Chain(&problem), "upgrades of hosts could not go on");
                Status { running: 0, error: Some(problem.to_string()) }
            }
        };
        let wait = if status.running == 0 { IDLE } else { LOOK };
        app.statuses.set_upgrades(status);
        // Every step is idempotent, so what is under way can be left at any point.
        tokio::select! {
            () = app.stop.cancelled() => break,
            () = app.upgrades.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One look at every upgrade that is under way, and one step of each of its hosts. Hosts do not wait for each other.
async fn look(
    app: &Arc<App>,
    at_work: &mut HashMap<EnvironmentId, tokio::task::JoinHandle<Brought>>,
) -> Outcome<usize> {
    let upgrades = store::upgrades::list_running(&app.store).await?;
    let count = upgrades.len();
    if app.offered.known().is_none() {
        // Known from then on, so that lists can say who is outdated without waiting for it.
        let environments = store::environments::list_all(&app.store).await?;
        if environments.iter().any(|row| program_of(row).is_some()) {
            own_program(app).await?;
        }
    }
    for upgrade in upgrades {
        advance(app, upgrade, at_work).await?;
    }
    Ok(count)
}

async fn advance(
    app: &Arc<App>,
    mut upgrade: UpgradeRow,
    at_work: &mut HashMap<EnvironmentId, tokio::task::JoinHandle<Brought>>,
) -> Outcome<()> {
    let is_ours = own_program(app).await? == upgrade.program;
    for host in &mut upgrade.hosts {
        if host.state != HostState::Started {
            continue;
        }
        let brought = if is_overdue(host) {
            if let Some(task) = at_work.remove(&host.environment) {
                task.abort();
            }
            let why = host.message.as_deref().unwrap_or("nothing was heard of it");
            Brought::Failed(format!("not done within {} minutes: {why}", PATIENCE.as_secs() / 60))
        } else {
            match at_work.get(&host.environment).map(tokio::task::JoinHandle::is_finished) {
                None => {
                    let (app, host, id) = (Arc::clone(app), host.clone(), upgrade.id);
                    let program = upgrade.program.clone();
                    let environment = host.environment;
                    let request = UpgradeRequest { program, attempt: id };
                    let task = tokio::spawn(async move { bring(&app, &host, request, is_ours).await });
                    at_work.insert(environment, task);
                    continue;
                }
                Some(false) => continue,
                Some(true) => match at_work.remove(&host.environment) {
                    Some(task) => task.await.unwrap_or_else(|error| Brought::Waits(error.to_string())),
                    None => continue,
                },
            }
        };
        let (state, message) = match brought {
            Brought::Done => (HostState::Done, None),
            Brought::Failed(why) => (HostState::Failed, Some(why)),
            Brought::Waits(why) => (HostState::Started, Some(why)),
        };
        if (state, &message) != (host.state, &host.message) {
            let since = if state == host.state { host.since } else { now() };
            set(app, &upgrade.id, host, HostRow { state, message, since, ..host.clone() }).await?;
        }
    }
    let states: Vec<(usize, HostState)> = upgrade.hosts.iter().map(|host| (host.wave, host.state)).collect();
    let end = match next(&states) {
        Next::Wait => return Ok(()),
        Next::Done => (UpgradeState::Done, None),
        Next::Stopped => {
            let untouched = states.iter().filter(|(_, state)| *state == HostState::Waiting).count();
            (
                UpgradeState::Failed,
                Some(format!("a host could not be upgraded; {untouched} were left as they were")),
            )
        }
        Next::Begin(_) if !is_ours => {
            let why = "the control plane runs another program by now; the rest was left as it was";
            (UpgradeState::Failed, Some(why.to_owned()))
        }
        Next::Begin(places) => {
            for place in places {
                let Some(host) = upgrade.hosts.get_mut(place) else { continue };
                let running = running_on(app, host.environment).await?;
                let begun = HostRow { state: HostState::Started, since: now(), running, ..host.clone() };
                set(app, &upgrade.id, host, begun).await?;
            }
            app.upgrades.notify_one();
            return Ok(());
        }
    };
    let mut tx = app.store.begin().await?;
    store::upgrades::end(&mut tx, upgrade.id, end.0, end.1.as_deref(), now()).await?;
    tx.commit().await?;
    tracing::info!(upgrade = %upgrade.id, state = end.0.word(), message = end.1, "an upgrade of hosts ended");
    if let Some(host) = upgrade.hosts.last() {
        tell_of(app, host.environment).await?;
    }
    Ok(())
}

async fn set(app: &App, upgrade: &domain::ids::UpgradeId, host: &mut HostRow, to: HostRow) -> Outcome<()> {
    let mut tx = app.store.begin().await?;
    let is_ours = store::upgrades::set_host(&mut tx, *upgrade, host.state, &to).await?;
    tx.commit().await?;
    if is_ours {
        *host = to;
        tell_of(app, host.environment).await?;
    }
    Ok(())
}

/// Whoever looks at an upgrade reads it again when something is said of one of its environments.
async fn tell_of(app: &App, environment: EnvironmentId) -> Outcome<()> {
    match store::environments::by_id(&app.store, environment).await? {
        Some(row) => tell(app, row).await,
        None => Ok(()),
    }
}

fn is_overdue(host: &HostRow) -> bool {
    PATIENCE.as_micros() <= u128::try_from(now().micros_since(host.since)).unwrap_or_default()
}

async fn running_on(app: &App, environment: EnvironmentId) -> Outcome<Vec<domain::ids::InstanceId>> {
    let rows = store::instances::list_by_environment(&app.store, environment).await?;
    Ok(rows.into_iter().filter(|row| row.status.is_well()).map(|row| row.id).collect())
}

/// One step of one host, or several.
async fn bring(app: &App, host: &HostRow, request: UpgradeRequest, is_ours: bool) -> Brought {
    match try_to_bring(app, host, request, is_ours).await {
        Ok(brought) => brought,
        Err(Trouble::Outcome(problem)) => Brought::Waits(problem.to_string()),
        // What says no says it again; what does not answer is being started again, perhaps of the new program.
        Err(Trouble::Dtma(DtmaError::Refused(detail))) => {
            let hint = detail.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            Brought::Failed(format!("its host refused: {}{hint}", detail.message))
        }
        Err(Trouble::Dtma(error)) => Brought::Waits(error.to_string()),
    }
}

enum Trouble {
    Outcome(crate::app::Problem),
    Dtma(DtmaError),
}

impl<E: Into<crate::app::Problem>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Outcome(error.into())
    }
}

async fn try_to_bring(
    app: &App,
    host: &HostRow,
    request: UpgradeRequest,
    is_ours: bool,
) -> Result<Brought, Trouble> {
    let Some(environment) = store::environments::by_id(&app.store, host.environment).await? else {
        return Ok(Brought::Done);
    };
    if is_new(&environment, host.since, &request) {
        return Ok(as_before(app, host).await?);
    }
    let place = match reach(&environment, &app.keys, app.local) {
        Ok(place) => place,
        Err(error) => return Ok(Brought::Failed(error.to_string())),
    };
    let view = app.dtma.upgrade_view(&place).await.map_err(Trouble::Dtma)?;
    if view.last.as_ref().is_some_and(|last| last.attempt == request.attempt) {
        return Ok(match view.outcome.map(|outcome| outcome.failure) {
            Some(Some(failure)) => Brought::Failed(failure),
            Some(None) => Brought::Waits("its first report as the new program".to_owned()),
            None => Brought::Waits("its host replaces the program".to_owned()),
        });
    }
    if !is_ours {
        return Ok(Brought::Failed("the control plane runs another program by now".to_owned()));
    }
    let info = app.dtma.info(&place).await.map_err(Trouble::Dtma)?;
    if let Some(architecture) = info.architecture.filter(|found| found != std::env::consts::ARCH) {
        return Ok(Brought::Failed(format!(
            "its host is {architecture} and this control plane {}: put a program for it there and run `berth dtma upgrade FILE`",
            std::env::consts::ARCH
        )));
    }
    send(app, &place, &request).await?;
    app.dtma.upgrade(&place, &request).await.map_err(Trouble::Dtma)?;
    Ok(Brought::Waits("its host replaces the program".to_owned()))
}

/// Whether it reported as the new program after it was begun.
fn is_new(environment: &EnvironmentRow, since: Timestamp, request: &UpgradeRequest) -> bool {
    program_of(environment).as_ref() == Some(&request.program)
        && environment.status == EnvironmentStatus::Active
        && environment.last_heartbeat_at.is_some_and(|at| since <= at)
}

/// Whether what ran there runs, as far as it is still wanted.
async fn as_before(app: &App, host: &HostRow) -> Outcome<Brought> {
    let rows = store::instances::list_by_environment(&app.store, host.environment).await?;
    let missing = rows.iter().find(|row| {
        let was_there = host.running.contains(&row.id) && !row.deleting;
        was_there && row.desired == DesiredState::Running && !row.status.is_well()
    });
    Ok(match missing {
        None => Brought::Done,
        Some(row) => Brought::Waits(format!(
            "it is the new program, and instance `{}`, which ran, is {}",
            row.name, row.status
        )),
    })
}

/// Sends the program from where the host has it.
async fn send(app: &App, place: &Host, request: &UpgradeRequest) -> Result<(), Trouble> {
    let failed = |error: std::io::Error| Trouble::Outcome(crate::app::Problem::Failed(Box::new(error)));
    let (mut file, size) = app.offered.open().await.map_err(failed)?;
    let mut query = PieceQuery { offset: 0, size };
    let ask = async |query, piece| {
        app.dtma.put_binary(place, &request.program, query, piece).await.map_err(Trouble::Dtma)
    };
    let mut there = ask(query, Bytes::new()).await?;
    while !there.is_complete {
        query.offset = there.received;
        let piece = read_at(&mut file, query.offset).await.map_err(failed)?;
        let before = there.received;
        there = ask(query, piece).await?;
        if !there.is_complete && there.received <= before {
            // Somebody else sends too, or the host began anew: the next look goes on.
            return Err(Trouble::Outcome(crate::app::Problem::refused(
                api::errors::ErrorCode::Unavailable,
                "what was sent of the program is gone again",
            )));
        }
    }
    Ok(())
}

async fn read_at(file: &mut tokio::fs::File, offset: u64) -> std::io::Result<Bytes> {
    use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
    file.seek(std::io::SeekFrom::Start(offset)).await?;
    let mut piece = Vec::new();
    file.take(MAX_PIECE as u64).read_to_end(&mut piece).await?;
    Ok(piece.into())
}
