//! Environments as the older front end knows them: by their ids, with the row behind what is shown of them.

use api::environments::{AddEnvironmentRequest, Environment, EnvironmentKind};
use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::EnvironmentId;
use domain::names::{EnvironmentName, slug};
use domain::status::EnvironmentStatus;
use http::Method;
use serde_json::{Value, json};
use store::environments::EnvironmentRow;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem, environments};
use crate::auth::Caller;
use crate::directory::now;
use crate::dtma_client::DtmaError;
use crate::reach::reach;

/// A toolbox: an environment, and its row for what only that has.
#[derive(Debug)]
pub(crate) struct Toolbox {
    pub(crate) row: EnvironmentRow,
    pub(crate) shown: Environment,
}

/// What somebody wants of a droplet.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) size: String,
    pub(crate) image: Option<String>,
    pub(crate) description: Option<String>,
}

/// What the console of a host can ask of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// How it is.
    Status,
    /// That it ends, for its supervisor to start it again.
    Restart,
    /// That it looks at its instances anew.
    Redeploy,
}

/// The account's toolboxes, by name.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Toolbox>> {
    let rows = store::environments::list(&app.store, caller.account).await?;
    let mut shown = environments::list(app, caller).await?;
    // One that came or went between the two reads is in neither.
    let pair = |row: EnvironmentRow| {
        let at = shown.iter().position(|one| one.id == row.id)?;
        Some(Toolbox { row, shown: shown.swap_remove(at) })
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// One toolbox.
///
/// # Errors
/// 400 for what is no id, 404.
pub(crate) async fn show(app: &App, caller: &Caller, id: &str) -> Outcome<Toolbox> {
    let row = find(app, caller, id).await?;
    Ok(Toolbox { shown: environments::rendered(app, row.clone()).await?, row })
}

/// The environment of an id.
///
/// # Errors
/// 400 for what is no id, 404.
pub(crate) async fn find(app: &App, caller: &Caller, id: &str) -> Outcome<EnvironmentRow> {
    let parsed: EnvironmentId = id.parse().map_err(|_| {
        Problem::refused(ErrorCode::BadRequest, format!("`{id}` is not the UUID of a toolbox")).field("id")
    })?;
    let row = store::environments::by_id(&app.store, parsed).await?;
    row.filter(|row| row.account == caller.account).ok_or_else(|| Problem::not_found("toolbox", id))
}

/// Orders a droplet. A name that cannot be an environment's becomes the nearest that can.
///
/// # Errors
/// Those of [`environments::add`].
pub(crate) async fn order(app: &App, caller: &Caller, order: Order) -> Outcome<Toolbox> {
    let name = match order.name.trim().parse::<EnvironmentName>() {
        Ok(name) => name.to_string(),
        Err(_) => slug(&order.name),
    };
    let request = AddEnvironmentRequest {
        region: Some(order.region),
        size: Some(order.size),
        image: order.image,
        description: order.description,
        ..AddEnvironmentRequest::new(&name, EnvironmentKind::DigitalOcean)
    };
    let shown = Box::pin(environments::add(app, caller, &request)).await?;
    let row = find(app, caller, &shown.id.to_string()).await?;
    Ok(Toolbox { row, shown })
}

/// Gives a toolbox up.
///
/// # Errors
/// Those of [`environments::remove`].
pub(crate) async fn remove(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    let row = find(app, caller, id).await?;
    environments::remove(app, caller, row.name.as_str()).await.map(drop)
}

/// A toolbox whose host was asked just now, where it has one that reports.
///
/// # Errors
/// 400, 404, 503 when it does not answer.
pub(crate) async fn refresh(app: &App, caller: &Caller, id: &str) -> Outcome<Toolbox> {
    let row = find(app, caller, id).await?;
    if matches!(row.status, EnvironmentStatus::Active | EnvironmentStatus::Unresponsive) {
        told(app, &row, Ask::Status).await?;
    }
    show(app, caller, id).await
}

/// Asks a toolbox's host.
///
/// # Errors
/// 400, 404; 403 below an admin for what changes something; 503 when it does not answer.
pub(crate) async fn console(app: &App, caller: &Caller, id: &str, ask: Ask) -> Outcome<Value> {
    let row = find(app, caller, id).await?;
    let action = match ask {
        Ask::Status => return told(app, &row, ask).await,
        Ask::Restart => "environment.restart",
        Ask::Redeploy => "environment.redeploy",
    };
    caller.require(Role::Admin)?;
    let answer = told(app, &row, ask).await?;
    let act = Act {
        action,
        kind: "environment",
        id: row.id.to_string(),
        name: row.name.as_str(),
        detail: json!({}),
    };
    let mut tx = app.store.begin().await?;
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    Ok(answer)
}

async fn told(app: &App, row: &EnvironmentRow, ask: Ask) -> Outcome<Value> {
    let unavailable = |error: &dyn std::fmt::Display| {
        Problem::refused(ErrorCode::Unavailable, format!("toolbox `{}`: {error}", row.name))
            .hint("see that its host is on and that `berth dtma` runs there")
    };
    let host = reach(row, &app.keys, app.local).map_err(|error| unavailable(&error))?;
    let (method, path) = match ask {
        Ask::Status => (Method::GET, "/status"),
        Ask::Restart => (Method::POST, "/restart"),
        Ask::Redeploy => (Method::POST, "/redeploy"),
    };
    match app.dtma.older(&host, method, path).await {
        Ok(answer) => Ok(answer),
        Err(DtmaError::Refused(detail)) => Err(Problem::Refused(detail)),
        Err(error) => Err(unavailable(&error)),
    }
}
