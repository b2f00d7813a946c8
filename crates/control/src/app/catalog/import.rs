//! Taking entries in: what a version is never changes, how it stands does, and the newest of an entry is what people get.

use api::catalog::{AddEntries, AddedEntries, RefusedEntry};
use domain::ids::CatalogEntryId;
use domain::scopes::Scope;
use domain::server_json::{Document, newest};
use domain::time::Timestamp;
use serde_json::{Value, json};
use store::Tx;
use store::catalog::Holder;
use store::catalog_versions::VersionRow;

use super::{FILE, OFFICIAL};
use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem, accounts};
use crate::auth::Caller;
use crate::directory::now;

/// The most entries of one request.
const MOST: usize = 500;
/// The most of one answer that are named which were not taken.
const MOST_NAMED: usize = 100;

/// Adds what stands in a file.
///
/// # Errors
/// 403 for who does not look after the installation, 422.
pub(crate) async fn add(app: &App, caller: &Caller, request: AddEntries) -> Outcome<AddedEntries> {
    require_operator(app, caller).await?;
    if MOST < request.entries.len() {
        return Err(Problem::invalid("entries", format!("at most {MOST} are taken at once")));
    }
    let taken = take(app, FILE, request.entries).await?;
    if 0 < taken.added + taken.updated {
        let at = now();
        let mut tx = app.store.begin().await?;
        let detail =
            json!({ "added": taken.added, "updated": taken.updated, "refused": taken.refused.len() });
        let act = Act { action: "catalog.add", kind: "catalog", id: FILE.to_owned(), name: FILE, detail };
        audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
        tx.commit().await?;
    }
    Ok(taken)
}

/// The catalog is everybody's, so who changes it looks after the installation.
///
/// # Errors
/// 403.
pub(crate) async fn require_operator(app: &App, caller: &Caller) -> Outcome<()> {
    caller.require_scope(&Scope::Admin)?;
    accounts::require_operator(app, caller, "the catalog is changed by who looks after the installation")
        .await
}

/// Takes entries of a source in, all of them in one change.
///
/// # Errors
/// What the store says; what is wrong with an entry is in the answer.
pub(super) async fn take(app: &App, source: &str, documents: Vec<Value>) -> Outcome<AddedEntries> {
    let (at, mut taken) = (now(), AddedEntries::default());
    let mut tx = app.store.begin().await?;
    for value in documents {
        match Document::read(value) {
            Ok(document) => one(&mut tx, source, document, at, &mut taken).await?,
            Err(error) => refuse(&mut taken, String::new(), error.to_string()),
        }
    }
    tx.commit().await?;
    if 0 < taken.added + taken.updated {
        app.catalog.changed();
    }
    Ok(taken)
}

fn refuse(taken: &mut AddedEntries, name: String, why: String) {
    if taken.refused.len() < MOST_NAMED {
        taken.refused.push(RefusedEntry { name, why });
    }
}

async fn one(
    tx: &mut Tx,
    source: &str,
    document: Document,
    at: Timestamp,
    taken: &mut AddedEntries,
) -> Outcome<()> {
    let name = document.name.clone();
    let holder = store::catalog::holder(tx, &name).await?;
    let (id, mut rows) = match holder {
        None => (CatalogEntryId::generate(), vec![]),
        Some(Holder { id, source: Some(owner) }) if owner == source => {
            (id, store::catalog_versions::of_entry(tx, id).await?)
        }
        // Whose a name is, the official registry has made sure of, and nobody else.
        Some(Holder { id, source: Some(_) }) if source == OFFICIAL => {
            store::catalog_versions::clear(tx, id).await?;
            (id, vec![])
        }
        Some(Holder { source: owner, .. }) => {
            let owner = owner.map_or_else(
                || "is part of Berth".to_owned(),
                |owner| format!("came from the source `{owner}`"),
            );
            refuse(taken, name, format!("an entry of this name {owner}"));
            return Ok(());
        }
    };
    let same = rows.iter().position(|row| row.document.version == document.version);
    let changed = match same {
        None => {
            taken.added += 1;
            rows.push(VersionRow { document, is_latest: false });
            rows.len() - 1
        }
        Some(there) => {
            let kept = &rows[there].document;
            if kept.server != document.server {
                let why =
                    format!("its version `{}` is known with other content, which stays", document.version);
                refuse(taken, name, why);
            }
            let stands = Document {
                server: kept.server.clone(),
                updated_at: document.updated_at.or(kept.updated_at),
                ..document
            };
            if *kept == stands {
                taken.unchanged += 1;
                return Ok(());
            }
            taken.updated += 1;
            rows[there].document = stands;
            there
        }
    };
    let Some(latest) = newest(rows.iter().map(|row| &row.document)).map(|it| it.version.clone()) else {
        return Ok(());
    };
    let mut before = vec![];
    for row in &mut rows {
        before.push(row.is_latest);
        row.is_latest = row.document.version == latest;
    }
    if let Some(row) = rows.iter().find(|row| row.is_latest) {
        let entry = row.document.entry(id, source, source == OFFICIAL);
        let provider = entry.listing.publisher.clone().unwrap_or_default();
        store::catalog::upsert(tx, &entry, &provider, at).await?;
    }
    for (i, row) in rows.iter().enumerate() {
        if i == changed || before[i] != row.is_latest {
            store::catalog_versions::put(tx, id, row, at).await?;
        }
    }
    Ok(())
}
