//! What can be deployed: searching and showing; what people add to it; and where it is read from.

mod import;
mod index;
mod published;
mod read;
mod sources;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::catalog::{CatalogEntry, CatalogQuery};
use api::errors::ErrorCode;
use arc_swap::ArcSwapOption;
use domain::server_json::Document;
use fetch::{Fetcher, Reach};
use tokio::sync::{Mutex, Notify, OnceCell};

pub(crate) use self::import::{add, require_operator};
pub(crate) use self::index::{Found, Index};
pub(crate) use self::published::{PageQuery, Published, page, versions};
pub(crate) use self::read::pass;
pub(crate) use self::sources::{add_source, list_sources, remove_source, sync};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem};

/// The most entries of one answer.
const MOST: u32 = 1000;
/// How many an answer has when nobody says.
const USUAL: u32 = 100;
/// The source that everybody knows, and where it is.
pub(crate) const OFFICIAL: &str = "official";
const OFFICIAL_URL: &str = "https://registry.modelcontextprotocol.io";
/// The source of what was added from files.
pub(crate) const FILE: &str = "file";
/// The source of what was imported from an older platform's catalog.
pub(crate) const IMPORTED: &str = "imported";

/// The catalog as it is searched, and what reads its sources. One per process.
#[derive(Debug)]
pub(crate) struct Catalog {
    index: ArcSwapOption<Index>,
    /// Whether the rows changed since the index was made.
    is_stale: AtomicBool,
    /// Held by who makes it.
    making: Mutex<()>,
    /// Wakes who reads the sources.
    pub(crate) nudge: Notify,
    reach: Reach,
    fetcher: OnceCell<Fetcher>,
}

impl Catalog {
    /// Reads nothing yet.
    pub(crate) fn new(reach: Reach) -> Self {
        Self {
            index: ArcSwapOption::empty(),
            is_stale: AtomicBool::new(true),
            making: Mutex::new(()),
            nudge: Notify::new(),
            reach,
            fetcher: OnceCell::new(),
        }
    }

    /// After a change of the rows was committed.
    fn changed(&self) {
        self.is_stale.store(true, Ordering::Release);
    }
}

/// The index of the rows as they are. It is made anew by whoever first asks after a change.
///
/// # Errors
/// What the store says.
pub(crate) async fn index(app: &App) -> Outcome<Arc<Index>> {
    let catalog = &app.catalog;
    let fresh = || catalog.index.load_full().filter(|_| !catalog.is_stale.load(Ordering::Acquire));
    if let Some(index) = fresh() {
        return Ok(index);
    }
    let _making = catalog.making.lock().await;
    if let Some(index) = fresh() {
        return Ok(index);
    }
    // Before the rows are read: what changes meanwhile makes it stale again.
    catalog.is_stale.store(false, Ordering::Release);
    match Index::read(&app.store).await {
        Ok(index) => {
            let index = Arc::new(index);
            catalog.index.store(Some(Arc::clone(&index)));
            Ok(index)
        }
        Err(problem) => {
            catalog.changed();
            Err(problem)
        }
    }
}

/// The entries that a query chooses, in its order.
///
/// # Errors
/// 422 for a limit that is none.
pub(crate) async fn search(app: &App, query: &CatalogQuery) -> Outcome<Found> {
    let limit = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::invalid("limit", format!("an answer has 1 to {MOST} entries")));
    }
    Ok(index(app).await?.search(query, limit))
}

/// One entry: the version that people get.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, name: &str) -> Outcome<Arc<CatalogEntry>> {
    let index = index(app).await?;
    if let Some(entry) = index.by_name(name) {
        return Ok(Arc::clone(entry));
    }
    let problem = Problem::refused(ErrorCode::NotFound, format!("the catalog has no server `{name}`"));
    Err(match nearest(name, index.names()) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth catalog search` lists what there is"),
    })
}

/// What a request for `server` can mean: the entry of that name and version, or what to compare a name that there is none of with.
///
/// # Errors
/// 422 when an entry from a source has no such version.
pub(crate) async fn candidates(app: &App, server: &str, version: Option<&str>) -> Outcome<Vec<CatalogEntry>> {
    let (index, server) = (index(app).await?, server.trim());
    let Some(entry) = index.by_name(server) else {
        let near = if server.contains(':') { None } else { nearest(server, index.names()) };
        let near = near.and_then(|name| index.by_name(name));
        return Ok(index.builtin().chain(near).map(|entry| CatalogEntry::clone(entry)).collect());
    };
    let own = entry.listing.version.as_deref();
    let (Some(source), Some(wanted)) =
        (&entry.listing.source, version.filter(|version| Some(*version) != own))
    else {
        return Ok(vec![CatalogEntry::clone(entry)]);
    };
    let rows = store::catalog_versions::of_name(&app.store, server).await?;
    let known: Vec<&Document> = rows.iter().map(|row| &row.document).collect();
    if let Some(document) = known.iter().find(|document| document.version == wanted) {
        return Ok(vec![document.entry(entry.id, source, entry.listing.verified)]);
    }
    let versions: Vec<String> = known.iter().take(10).map(|it| format!("`{}`", it.version)).collect();
    Err(Problem::invalid("version", format!("`{server}` has no version `{wanted}` here"))
        .hint(format!("it has {}", versions.join(", "))))
}

/// What is known of the versions of a name, the one that people get first; of what is part of Berth nothing.
///
/// # Errors
/// What the store says.
pub(crate) async fn known_versions(app: &App, name: &str) -> Outcome<Vec<Document>> {
    let rows = store::catalog_versions::of_name(&app.store, name).await?;
    Ok(rows.into_iter().map(|row| row.document).collect())
}
