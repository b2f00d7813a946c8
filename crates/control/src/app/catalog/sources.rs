//! The sources of the catalog: registries by their address.

use api::catalog_sources::{AddSourceRequest, CatalogSource};
use api::errors::ErrorCode;
use api::users::Role;
use domain::names::{EnvironmentName, slug};
use fetch::{Fetcher, Reach};
use serde_json::json;
use store::catalog_sources::SourceRow;

use super::import::require_operator;
use super::{FILE, IMPORTED, OFFICIAL, OFFICIAL_URL};
use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// The longest address, in bytes.
const MAX_URL: usize = 2048;

/// All sources, by name.
///
/// # Errors
/// 403 below an admin: an address may say more than its entries.
pub(crate) async fn list_sources(app: &App, caller: &Caller) -> Outcome<Vec<CatalogSource>> {
    caller.require(Role::Admin)?;
    Ok(store::catalog_sources::list(&app.store).await?.into_iter().map(render).collect())
}

/// Adds a source and has it read.
///
/// # Errors
/// 403 for who does not look after the installation, 422, 409.
pub(crate) async fn add_source(
    app: &App,
    caller: &Caller,
    request: &AddSourceRequest,
) -> Outcome<CatalogSource> {
    require_operator(app, caller).await?;
    let asked = request.url.trim();
    let url = if asked == OFFICIAL { OFFICIAL_URL } else { asked };
    let url = base(url);
    let problem = |message: String| {
        Problem::invalid("url", message).hint(format!(
            "write `{OFFICIAL}`, or the address of a registry, such as `https://registry.example.com`"
        ))
    };
    if MAX_URL < url.len() {
        return Err(problem(format!("an address has at most {MAX_URL} bytes")));
    }
    app.catalog.fetcher().await?.check(&url).map_err(|error| problem(error.to_string()))?;
    let name = match &request.name {
        Some(name) => {
            name.parse::<EnvironmentName>().map_err(|error| Problem::invalid("name", error))?.to_string()
        }
        None if url == OFFICIAL_URL => OFFICIAL.to_owned(),
        None => slug(
            url.split_once("://")
                .map_or(url.as_str(), |(_, rest)| rest)
                .split('/')
                .next()
                .unwrap_or_default(),
        ),
    };
    // What this name's entries are, is made sure of by one registry alone.
    if name == FILE || name == IMPORTED || (name == OFFICIAL) != (url == OFFICIAL_URL) {
        return Err(
            Problem::invalid("name", format!("`{name}` means something else here")).hint("choose another")
        );
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    store::catalog_sources::insert(&mut tx, &name, &url, &caller.actor(), at).await?;
    let act = Act {
        action: "catalog.source.add",
        kind: "catalog-source",
        id: name.clone(),
        name: &name,
        detail: json!({ "url": url }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.catalog.nudge.notify_one();
    find(app, &name).await
}

/// Has a source read again, as soon as possible.
///
/// # Errors
/// 403 for who does not look after the installation, 404 with the nearest name.
pub(crate) async fn sync(app: &App, caller: &Caller, name: &str) -> Outcome<CatalogSource> {
    require_operator(app, caller).await?;
    find(app, name).await?;
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = store::catalog_sources::ask(&mut tx, name, at).await?;
    let act = Act {
        action: "catalog.source.sync",
        kind: "catalog-source",
        id: row.name.clone(),
        name: &row.name,
        detail: json!({}),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.catalog.nudge.notify_one();
    Ok(render(row))
}

/// Removes a source with its entries. What instances were made of stays, withdrawn.
///
/// # Errors
/// 403 for who does not look after the installation, 404 with the nearest name.
pub(crate) async fn remove_source(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    require_operator(app, caller).await?;
    // What was added from files is no row, and is removed in the same way.
    if name != FILE && name != IMPORTED {
        find(app, name).await?;
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    if name != FILE && name != IMPORTED {
        store::catalog_sources::remove(&mut tx, name).await?;
    }
    let (removed, withdrawn) = store::catalog::forget_source(&mut tx, name, at).await?;
    let act = Act {
        action: "catalog.source.remove",
        kind: "catalog-source",
        id: name.to_owned(),
        name,
        detail: json!({ "removed": removed, "withdrawn": withdrawn }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.catalog.changed();
    Ok(())
}

async fn find(app: &App, name: &str) -> Outcome<CatalogSource> {
    let rows = store::catalog_sources::list(&app.store).await?;
    if let Some(row) = rows.iter().find(|row| row.name == name) {
        return Ok(render(row.clone()));
    }
    let problem = Problem::refused(ErrorCode::NotFound, format!("the catalog has no source `{name}`"));
    Err(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth catalog sources` lists them, `berth catalog add URL` adds one"),
    })
}

fn render(row: SourceRow) -> CatalogSource {
    CatalogSource {
        reading: row.finished_at.is_none(),
        name: row.name,
        url: row.url,
        entries: row.entries,
        skipped: row.skipped,
        read_at: row.finished_at,
        due_at: row.due_at,
        error: row.error,
    }
}

/// An address without the path of the read API, which people may have copied too.
fn base(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let without =
        ["/v0.1/servers", "/v0/servers", "/v0.1", "/v0"].iter().find_map(|path| url.strip_suffix(path));
    without.unwrap_or(url).to_owned()
}

impl super::Catalog {
    /// What asks the sources.
    ///
    /// # Errors
    /// 503.
    pub(super) async fn fetcher(&self) -> Outcome<&Fetcher> {
        let made: Result<_, _> = self.fetcher.get_or_try_init(async || Fetcher::new(self.reach())).await;
        made.map_err(|error| {
            tracing::warn!(error = %crate::app::problem::Chain(&error), "registries cannot be asked");
            Problem::refused(ErrorCode::Unavailable, "this control plane can ask no registry")
                .hint("its log says why; it may lack the system's certificates (`ca-certificates`)")
        })
    }

    fn reach(&self) -> Reach {
        self.reach
    }
}
