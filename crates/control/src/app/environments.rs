//! Environments: adding, showing and removing them, and their tunnels.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::dtma::{CleanupReport, CleanupRequest};
use api::environments::{AddEnvironmentRequest, Environment, EnvironmentKind, EnvironmentToken};
use api::errors::ErrorCode;
use api::events::Event;
use api::users::Role;
use domain::ids::EnvironmentId;
use domain::names::{EnvironmentName, InstanceName, NameError, slug};
use domain::secret::Secret;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use hop::tls::Pin;
use hyper::upgrade::OnUpgrade;
use store::droplets::DropletRow;
use store::environments::EnvironmentRow;
use store::policies::Policy;
use store::{StoreError, Tx};

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, droplets, fleet, upgrades};
use crate::auth::{Caller, token};
use crate::directory::now;
use crate::dtma_client::DtmaError;
use crate::reach::{Way, dialled_at, is_local, is_tunnel, reach};
use crate::tunnels::Within;

/// Instances that are named when an environment cannot go because of them.
const MAX_NAMED: usize = 5;
/// What an environment is for, in characters.
const MAX_DESCRIPTION: usize = 500;

/// How far a removal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The environment is gone.
    Done,
    /// Its droplet is being destroyed; it goes with that.
    Begun,
}

/// The account's environments, by name.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Environment>> {
    let rows = store::environments::list(&app.store, caller.account).await?;
    let mut policies = store::policies::of_account(&app.store, caller.account).await?;
    let mut counts: HashMap<_, u64> = HashMap::new();
    for instance in store::instances::list(&app.store, caller.account).await? {
        *counts.entry(instance.environment).or_default() += 1;
    }
    let mut made: HashMap<_, DropletRow> =
        store::droplets::list_all(&app.store).await?.into_iter().map(|row| (row.environment, row)).collect();
    Ok(rows
        .into_iter()
        .map(|row| {
            let count = counts.get(&row.id).copied().unwrap_or_default();
            let policy = policies.remove(&row.id).unwrap_or_default();
            let droplet = made.remove(&row.id);
            render(app, row, count, &policy, droplet.as_ref())
        })
        .collect())
}

/// One environment.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Environment> {
    rendered(app, find(app, caller, name).await?).await
}

/// Makes another machine an environment: its row and its token. Nothing is dialled: before its DTMA has the token there is
/// none that could answer.
///
/// # Errors
/// 403, 422 with field and hint, 409.
pub(crate) async fn add(app: &App, caller: &Caller, request: &AddEnvironmentRequest) -> Outcome<Environment> {
    caller.require(Role::Admin)?;
    let name = check_name(&request.name)?;
    check_description(request)?;
    if request.kind == EnvironmentKind::DigitalOcean {
        return Box::pin(droplets::add(app, caller, name, request)).await;
    }
    droplets::refuse_of_hosts(request)?;
    let address = request.address.as_deref().map(check_address).transpose()?;
    let pin = request.tls_pin.as_deref().map(check_pin).transpose()?;
    if pin.is_some() && (address.is_none() || request.insecure_http) {
        let message = "a pin is for a host that is dialled, over TLS";
        return Err(Problem::invalid("tls_pin", message)
            .hint("give `--address` with it, and leave `--insecure-http` out"));
    }
    let rows = store::environments::list(&app.store, caller.account).await?;
    if let Some(address) = address
        && let Some(other) = rows.iter().find(|row| dialled_at(row) == Some(address))
    {
        let message = format!("{address} is the environment `{}` already", other.name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .field("address")
            .hint("give each host's DTMA an address of its own, or remove the other environment"));
    }
    let (id, at) = (EnvironmentId::generate(), now());
    let token = token::generate()?;
    let way = match address {
        None => Way::Tunnel,
        Some(dtma) if pin.is_none() && !request.insecure_http => Way::Keyless { dtma },
        Some(dtma) => Way::Direct { dtma, pin },
    };
    let reach = serde_json::to_value(way).map_err(|error| Problem::Failed(Box::new(error)))?;
    let row = EnvironmentRow {
        user: Some(caller.user),
        description: request.description.clone(),
        dtma_token_sealed: Some(app.keys.seal(id.0, token.expose())?),
        ..EnvironmentRow::new(id, caller.account, name, EnvironmentStatus::AwaitingHeartbeat, reach, at)
    };
    let act = Act {
        action: "environment.add",
        kind: "environment",
        id: id.to_string(),
        name: row.name.as_str(),
        detail: serde_json::json!({
            "kind": "host", "address": address, "tls_pin": pin, "insecure_http": request.insecure_http,
        }),
    };
    let mut tx = app.store.begin().await?;
    insert(&mut tx, &row, &token).await?;
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.directory.refresh().await?;
    tell(app, row.clone()).await?;
    rendered(app, row).await
}

/// Keeps a new row.
///
/// # Errors
/// 409 when its name is taken.
pub(crate) async fn insert(tx: &mut Tx, row: &EnvironmentRow, token: &Secret) -> Outcome<()> {
    let kept = store::environments::insert(tx, row, Some(&token::hash_text(token.expose()))).await;
    kept.map_err(|error| taken(error, &row.name))
}

/// The error of a name that another environment has.
pub(crate) fn taken(error: StoreError, name: &EnvironmentName) -> Problem {
    match error {
        StoreError::Taken { field: "name", .. } => name_taken(name),
        error => error.into(),
    }
}

/// 409: there is an environment of that name.
pub(crate) fn name_taken(name: &EnvironmentName) -> Problem {
    Problem::refused(ErrorCode::Conflict, format!("an environment `{name}` exists already"))
        .field("name")
        .hint("choose another name")
}

/// Removes an environment that has no instances. Its DTMA's token opens nothing from then on.
///
/// # Errors
/// 403, 404 with the nearest name, 409 with the instances that are in it, and for this machine.
pub(crate) async fn remove(app: &App, caller: &Caller, name: &str) -> Outcome<Removal> {
    caller.require(Role::Admin)?;
    let environment = find(app, caller, name).await?;
    if is_local(&environment) {
        let message = format!("`{}` is the control plane's own machine", environment.name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .hint("it stays for as long as the control plane runs here"));
    }
    if store::droplets::by_environment(&app.store, environment.id).await?.is_some() {
        droplets::remove(app, caller, &environment).await?;
        return Ok(Removal::Begun);
    }
    let mut tx = app.store.begin().await?;
    // In this order, as everywhere, so that two of these do not wait for each other.
    store::enrolments::forget(&mut tx, environment.id).await?;
    let left = store::environments::remove(&mut tx, environment.id).await?;
    if !left.is_empty() {
        return Err(occupied(&environment, &left));
    }
    let act = Act {
        action: "environment.remove",
        kind: "environment",
        id: environment.id.to_string(),
        name: environment.name.as_str(),
        detail: serde_json::json!({}),
    };
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    app.tunnels.close(environment.id);
    app.directory.refresh().await?;
    // What waited for its host to let go of it waits no more.
    app.deploy.notify_one();
    app.publish(caller.account, Event::EnvironmentRemoved { name: environment.name.as_str().to_owned() });
    Ok(Removal::Done)
}

/// 409: what is in an environment that is to go.
pub(crate) fn occupied(environment: &EnvironmentRow, left: &[InstanceName]) -> Problem {
    let mut named: Vec<String> = left.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect();
    if MAX_NAMED < left.len() {
        named.push(format!("{} more", left.len() - MAX_NAMED));
    }
    let count = if left.len() == 1 { "an instance".to_owned() } else { format!("{} instances", left.len()) };
    let message = format!("`{}` has {count}: {}", environment.name, named.join(", "));
    Problem::refused(ErrorCode::Conflict, message)
        .hint("remove them first; one that is being removed is there until its host has let go of it")
}

/// A name that an environment may have.
///
/// # Errors
/// 422 with a name that is like it.
pub(crate) fn check_name(text: &str) -> Outcome<EnvironmentName> {
    if let Some(what) = fleet::stands_for(text) {
        let message = format!("`{text}` stands for {what}");
        return Err(Problem::invalid("name", message).hint("choose another name"));
    }
    text.parse().map_err(|error| {
        let hint = match &error {
            NameError::Empty => "give one, such as `frankfurt`".to_owned(),
            NameError::TooLong(_) | NameError::Shape { .. } => format!("use `{}`", slug(text)),
        };
        Problem::invalid("name", error).hint(hint)
    })
}

fn check_description(request: &AddEnvironmentRequest) -> Outcome<()> {
    let is_text = |text: &str| text.chars().count() <= MAX_DESCRIPTION && !text.contains('\0');
    if request.description.as_deref().is_none_or(is_text) {
        return Ok(());
    }
    let message = format!("a description has at most {MAX_DESCRIPTION} characters, and no NUL among them");
    Err(Problem::invalid("description", message).hint("shorten it"))
}

fn check_address(text: &str) -> Outcome<SocketAddr> {
    let wrong = |message: String| {
        let port = api::dtma::DEFAULT_PORT;
        Problem::invalid("address", message)
            .hint(format!("write the host's IP address and its DTMA's port, such as 10.0.0.5:{port}"))
    };
    let address: SocketAddr =
        text.trim().parse().map_err(|_| wrong(format!("`{text}` is no IP address with a port")))?;
    let nobody = match address.ip() {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local(),
    };
    if nobody || address.port() == 0 {
        return Err(wrong(format!("{address} is not the address of a host")));
    }
    Ok(address)
}

fn check_pin(text: &str) -> Outcome<Pin> {
    text.trim()
        .parse()
        .map_err(|error| Problem::invalid("tls_pin", error).hint("`berth dtma pin` prints it on the host"))
}

/// The account's environment of a name.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn find(app: &App, caller: &Caller, name: &str) -> Outcome<EnvironmentRow> {
    if let Ok(name) = name.parse::<EnvironmentName>()
        && let Some(row) = store::environments::by_name(&app.store, caller.account, &name).await?
    {
        return Ok(row);
    }
    let rows = store::environments::list(&app.store, caller.account).await?;
    let problem = Problem::not_found("environment", name);
    Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    })
}

/// The environment whose DTMA shows this token.
///
/// # Errors
/// 401.
pub(crate) async fn of_token(app: &App, bearer: &str) -> Outcome<EnvironmentRow> {
    store::environments::by_token_hash(&app.store, &token::hash_text(bearer)).await?.ok_or_else(|| {
        Problem::refused(ErrorCode::Unauthorized, "this is not the token of an environment")
            .hint("a DTMA shows the token in its own data directory")
    })
}

/// Tells the account's listeners of an environment's state.
///
/// # Errors
/// What the store says.
pub(crate) async fn tell(app: &App, row: EnvironmentRow) -> Outcome<()> {
    if app.events.is_heard() {
        let account = row.account;
        app.publish(account, Event::Environment(Box::new(rendered(app, row).await?)));
    }
    Ok(())
}

/// The instant that lies `span` before `at`.
pub(crate) fn before(at: Timestamp, span: Duration) -> Timestamp {
    Timestamp(at.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

/// Keeps the tunnel that an environment's host opens, in a task of its own.
///
/// # Errors
/// 409 when the environment is reached in another way.
pub(crate) fn tunnel(
    app: &Arc<App>,
    environment: &EnvironmentRow,
    upgrade: (OnUpgrade, Within),
) -> Outcome<()> {
    if !is_tunnel(environment) {
        let message = format!("environment `{}` is not reached through a tunnel", environment.name);
        return Err(Problem::refused(ErrorCode::Conflict, message).hint(
            "start its `berth dtma` without `--tunnel`, or add the environment anew without `--address`",
        ));
    }
    let (app, id) = (Arc::clone(app), environment.id);
    let opened_with = environment.dtma_token_sealed.clone();
    tokio::spawn(async move {
        let opened = || {
            // What waited for the host goes to it now.
            app.deploy.notify_one();
            tokio::spawn(close_if_replaced(Arc::clone(&app), id, opened_with));
        };
        app.tunnels.keep(id, &app.dtma.pool, app.heartbeat, upgrade, opened).await;
    });
    Ok(())
}

/// Closes a tunnel whose token was taken away between its request and its opening: whoever did so found none to close.
async fn close_if_replaced(app: Arc<App>, id: EnvironmentId, opened_with: Option<String>) {
    match store::environments::by_id(&app.store, id).await {
        Ok(Some(row)) if row.dtma_token_sealed == opened_with => {}
        Ok(_) => app.tunnels.close(id),
        Err(error) => tracing::warn!(environment = %id, %error, "cannot tell whether its token still counts"),
    }
}

/// The token between an environment's DTMA and the control plane, for an admin who moves a host or an older caller. It is
/// kept sealed, not only as a hash, because the control plane shows it to the DTMA; so it can be shown again, and each
/// time is a line of the audit.
///
/// # Errors
/// 403, 404 with the nearest name, 409 when it has none yet.
pub(crate) async fn token(app: &App, caller: &Caller, name: &str) -> Outcome<EnvironmentToken> {
    caller.require(Role::Admin)?;
    let environment = find(app, caller, name).await?;
    let sealed = environment.dtma_token_sealed.as_deref().ok_or_else(|| {
        Problem::refused(ErrorCode::Conflict, format!("environment `{}` has no token yet", environment.name))
    })?;
    let token = app.keys.unseal(environment.id.0, sealed)?;
    let act = Act {
        action: "environment.token",
        kind: "environment",
        id: environment.id.to_string(),
        name: environment.name.as_str(),
        detail: serde_json::json!({}),
    };
    let mut tx = app.store.begin().await?;
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    Ok(EnvironmentToken { environment: environment.name, token })
}

/// Clears an environment's host of what no instance needs, for an admin; what is removed is a line of the audit.
///
/// # Errors
/// 403, 404 with the nearest name, 409 while something is installed there, 503 when its DTMA does not answer.
pub(crate) async fn cleanup(
    app: &App,
    caller: &Caller,
    name: &str,
    request: CleanupRequest,
) -> Outcome<CleanupReport> {
    caller.require(Role::Admin)?;
    let environment = find(app, caller, name).await?;
    let unavailable = |error: &dyn std::fmt::Display| {
        let message = format!("environment `{}`: {error}", environment.name);
        Problem::refused(ErrorCode::Unavailable, message)
            .hint("what its DTMA was asked to remove before it went silent may be gone")
    };
    let host = reach(&environment, &app.keys, app.local).map_err(|error| unavailable(&error))?;
    let report = match app.dtma.cleanup(&host, request).await {
        Ok(report) => report,
        Err(DtmaError::Refused(detail)) => return Err(Problem::Refused(detail)),
        Err(error) => return Err(unavailable(&error)),
    };
    if !request.dry_run {
        let act = Act {
            action: "environment.cleanup",
            kind: "environment",
            id: environment.id.to_string(),
            name: environment.name.as_str(),
            detail: serde_json::json!({ "things": report.things.len(), "bytes": report.bytes }),
        };
        let mut tx = app.store.begin().await?;
        audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
        tx.commit().await?;
    }
    Ok(report)
}

/// An environment as it is shown.
///
/// # Errors
/// What the store says.
pub(crate) async fn rendered(app: &App, row: EnvironmentRow) -> Outcome<Environment> {
    let instances = store::instances::list_by_environment(&app.store, row.id).await?.len();
    let mut policies = store::policies::of_account(&app.store, row.account).await?;
    let policy = policies.remove(&row.id).unwrap_or_default();
    let droplet = store::droplets::by_environment(&app.store, row.id).await?;
    Ok(render(app, row, instances as u64, &policy, droplet.as_ref()))
}

/// What is wrong with an environment, or waited for.
fn message_of(app: &App, row: &EnvironmentRow) -> Option<String> {
    let address = dialled_at(row);
    match row.status {
        _ if row.dtma_token_sealed.is_none() => Some(format!(
            "the token of its host was revoked: `berth env enrol {}` prints what makes a host this environment again",
            row.name
        )),
        EnvironmentStatus::Creating
        | EnvironmentStatus::Provisioning
        | EnvironmentStatus::ErrorCreation
        | EnvironmentStatus::ErrorProvisioning
        | EnvironmentStatus::Deleting
        | EnvironmentStatus::ErrorDeletion
        | EnvironmentStatus::Deprovisioned => row.provisioning_error_message.clone(),
        EnvironmentStatus::AwaitingHeartbeat if is_local(row) => Some("no heartbeat yet".to_owned()),
        EnvironmentStatus::AwaitingHeartbeat => {
            let name = &row.name;
            Some(format!(
                "no heartbeat yet: run on its host, as root, the line that `berth env enrol {name}` prints, or enrol it by hand \
                 with its token and start `berth dtma` there"
            ))
        }
        EnvironmentStatus::Unresponsive => {
            let since = row.last_heartbeat_at.map(|at| format!(" since {at}")).unwrap_or_default();
            Some(format!(
                "no heartbeat{since}: see that the host is on, that `berth dtma` runs there, and that it reaches this control \
                 plane"
            ))
        }
        EnvironmentStatus::Active if is_tunnel(row) => (!app.tunnels.is_open(row.id)).then(|| {
            "it reports, but has no tunnel open: see that its `berth dtma` runs with `--tunnel`, and that nothing between passes \
             heartbeats alone"
                .to_owned()
        }),
        EnvironmentStatus::Active => {
            let (address, why) = (address?, app.hosts.why(row.id)?);
            Some(format!(
                "it reports, but {why} at {address}: see that this is its address, that its `berth dtma` listens there, \
                 and that no firewall is between"
            ))
        }
    }
}

fn render(
    app: &App,
    row: EnvironmentRow,
    instances: u64,
    policy: &Policy,
    droplet: Option<&DropletRow>,
) -> Environment {
    let labels =
        policy.labels.with_facts(row.droplet.region_slug.as_deref(), row.droplet.size_slug.as_deref());
    let told = droplet.and_then(|droplet| droplets::message_of(app, &row, droplet));
    let (message, address) = (told.or_else(|| message_of(app, &row)), dialled_at(&row));
    let droplet = droplet.map(|droplet| droplets::render(&row, droplet));
    let outdated = upgrades::program_of(&row)
        .and_then(|its| Some(app.offered.known()? != its.as_str()))
        .unwrap_or_default();
    let (system, protections) =
        row.health.map_or((None, Vec::new()), |health| (Some(health.system), health.protections));
    Environment {
        id: row.id,
        name: row.name,
        description: row.description,
        status: row.status,
        message,
        address: address.map(|address| address.to_string()),
        dtma_version: row.dtma_version,
        outdated,
        last_heartbeat_at: row.last_heartbeat_at,
        system,
        protections,
        instances,
        cordoned: policy.cordoned,
        labels,
        droplet,
    }
}
