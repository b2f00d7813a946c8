//! Instances as the older front end knows them: in a toolbox, by their ids.

use std::collections::BTreeMap;

use api::catalog::{CatalogEntry, InputTarget};
use api::errors::ErrorCode;
use api::instances::{DeployRequest, Instance, LogQuery};
use domain::catalog::Transport;
use domain::ids::CatalogEntryId;
use domain::names::{EnvironmentName, InstanceName, slug};
use domain::secret::{Secret, Secrets};
use domain::spec::Limits;
use http_body_util::{BodyExt as _, Limited};
use store::instances::InstanceRow;

use super::toolboxes;
use crate::app::instances::{self, Order, rendered, row_by_id};
use crate::app::{App, Outcome, Problem, catalog};
use crate::auth::Caller;

/// The lines of a log that are shown.
const LINES: u32 = 50;
/// The most of them, in bytes.
const MAX_LOG: usize = 1 << 20;

/// An instance, and its row for what only that has.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) row: InstanceRow,
    pub(crate) shown: Instance,
}

/// What is to be deployed.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// An entry of the catalog; absent, or the generic one: an image.
    pub(crate) template: Option<String>,
    /// An image, where no entry says one.
    pub(crate) image: Option<String>,
    /// What it is to be called.
    pub(crate) name: String,
    /// Environment variables.
    pub(crate) variables: BTreeMap<String, String>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// How messages reach an image's server; absent: standard input and output.
    pub(crate) transport: Option<Transport>,
    /// Where an image's server takes them.
    pub(crate) path: Option<String>,
    /// The port that it listens on.
    pub(crate) port: Option<u16>,
}

/// What is in a toolbox, by name.
///
/// # Errors
/// 400, 404.
pub(crate) async fn list(app: &App, caller: &Caller, toolbox: &str) -> Outcome<Vec<Tool>> {
    let environment = toolboxes::find(app, caller, toolbox).await?;
    let rows = store::instances::list_by_environment(&app.store, environment.id).await?;
    let shown = |row: InstanceRow| Some(Tool { shown: rendered(app, &row).ok()?, row });
    let mut tools: Vec<Tool> = rows.into_iter().filter_map(shown).collect();
    tools.sort_by(|a, b| a.row.name.cmp(&b.row.name));
    Ok(tools)
}

/// The account's MCP servers, by name.
///
/// # Errors
/// What the store says.
pub(crate) async fn servers(app: &App, caller: &Caller) -> Outcome<Vec<Tool>> {
    let rows = store::instances::list(&app.store, caller.account).await?;
    let servers = rows.into_iter().filter(|row| row.spec.launch.container.is_none());
    Ok(servers.filter_map(|row| Some(Tool { shown: rendered(app, &row).ok()?, row })).collect())
}

/// One instance, by its id. With a toolbox, it is in that one.
///
/// # Errors
/// 400 for what is no id, 404.
pub(crate) async fn find(app: &App, caller: &Caller, toolbox: Option<&str>, id: &str) -> Outcome<Tool> {
    let environment = match toolbox {
        Some(toolbox) => Some(toolboxes::find(app, caller, toolbox).await?),
        None => None,
    };
    let row = row_by_id(app, caller, id).await?;
    if environment.is_some_and(|environment| environment.id != row.environment) {
        return Err(Problem::refused(ErrorCode::NotFound, format!("this toolbox has no tool `{id}`")));
    }
    Ok(Tool { shown: rendered(app, &row)?, row })
}

/// Deploys into an environment of the caller's account.
///
/// # Errors
/// Those of [`instances::deploy`]; 422 for an entry that there is none of.
pub(crate) async fn deploy(
    app: &App,
    caller: &Caller,
    environment: Option<&EnvironmentName>,
    wanted: Wanted,
) -> Outcome<Tool> {
    let entry = match wanted.template.as_deref() {
        Some(id) if id != CatalogEntryId::GENERIC_MCP.to_string() => Some(template(app, id).await?),
        Some(_) | None => None,
    };
    let server = match (&entry, &wanted.image) {
        (Some(entry), _) => entry.name.clone(),
        (None, Some(image)) => format!("oci:{image}"),
        (None, None) => {
            return Err(Problem::invalid("dockerImage", "the generic entry names no image of its own")
                .hint("give one, or the id of another entry of the catalog"));
        }
    };
    let (settings, secrets) = values(entry.as_ref(), wanted.variables);
    let name = match wanted.name.trim().parse::<InstanceName>() {
        Ok(name) => name.to_string(),
        Err(_) => slug(&wanted.name),
    };
    let request = DeployRequest {
        server,
        name: Some(name),
        environment: environment.map(ToString::to_string),
        settings,
        secrets: secrets.into(),
        limits: wanted.limits,
        transport: wanted.transport,
        path: wanted.path,
        port: wanted.port,
        ..DeployRequest::default()
    };
    let shown = Box::pin(instances::deploy(app, caller, &request)).await?;
    let row = row_by_id(app, caller, &shown.id.to_string()).await?;
    Ok(Tool { row, shown })
}

/// The entry of the catalog with an id, or with a name.
async fn template(app: &App, id: &str) -> Outcome<CatalogEntry> {
    let index = catalog::index(app).await?;
    let found = index.entries().find(|entry| entry.id.to_string() == id || entry.name == id);
    found.map(|entry| CatalogEntry::clone(entry)).ok_or_else(|| {
        Problem::invalid("toolCatalogId", format!("the catalog has no entry `{id}`"))
            .hint("GET /functions/v1/mcp-template-manager lists what there is")
    })
}

/// Variables as settings and secrets by the names of the entry's inputs. Those of an image are all secrets, since some are and none
/// says so.
fn values(
    entry: Option<&CatalogEntry>,
    variables: BTreeMap<String, String>,
) -> (BTreeMap<String, String>, Secrets) {
    let (mut settings, mut secrets) = (BTreeMap::new(), Secrets::default());
    for (name, value) in variables {
        let is_of =
            |target: &InputTarget| matches!(target, InputTarget::Env { variable } if *variable == name);
        let input =
            entry.and_then(|entry| entry.inputs.iter().find(|it| it.name == name || is_of(&it.target)));
        match input {
            Some(input) if input.secret => drop(secrets.insert(input.name.clone(), Secret::new(value))),
            Some(input) => drop(settings.insert(input.name.clone(), value)),
            None if entry.is_none() => drop(secrets.insert(name, Secret::new(value))),
            None => drop(settings.insert(name, value)),
        }
    }
    (settings, secrets)
}

/// Carries an order out.
///
/// # Errors
/// 400, 403, 404.
pub(crate) async fn order(
    app: &App,
    caller: &Caller,
    toolbox: Option<&str>,
    id: &str,
    order: Order,
) -> Outcome<Tool> {
    let tool = find(app, caller, toolbox, id).await?;
    let shown = instances::order(app, caller, tool.row.name.as_str(), order).await?;
    let row = row_by_id(app, caller, &shown.id.to_string()).await?;
    Ok(Tool { row, shown })
}

/// The last lines of an instance's log.
///
/// # Errors
/// 400, 404, 503 when its DTMA does not answer.
pub(crate) async fn logs(
    app: &App,
    caller: &Caller,
    toolbox: Option<&str>,
    id: &str,
) -> Outcome<Vec<String>> {
    let tool = find(app, caller, toolbox, id).await?;
    let query = LogQuery { tail: Some(LINES), follow: false };
    let body = instances::logs(app, caller, tool.row.name.as_str(), query).await?;
    let whole = Limited::new(body, MAX_LOG).collect().await.map_err(|error| {
        let name = &tool.row.name;
        Problem::refused(ErrorCode::BadGateway, format!("the log of `{name}` broke off: {error}"))
            .hint("try again shortly")
    })?;
    let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
    Ok(text.lines().map(str::to_owned).collect())
}
