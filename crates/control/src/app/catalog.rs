//! What can be deployed: searching and showing.

use api::catalog::{CatalogEntry, CatalogQuery};

use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem};

/// The entries in which all words of the query occur, by name.
pub(crate) async fn search(app: &App, query: &CatalogQuery) -> Outcome<Vec<CatalogEntry>> {
    let words: Vec<String> =
        query.search.as_deref().unwrap_or_default().split_whitespace().map(str::to_lowercase).collect();
    let mut entries = store::catalog::all(&app.store).await?;
    entries.retain(|entry| {
        let text = [&entry.name, &entry.title, &entry.description, &entry.category]
            .map(|text| text.to_lowercase())
            .join(" ");
        words.iter().all(|word| text.contains(word.as_str()))
    });
    Ok(entries)
}

/// One entry.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn show(app: &App, name: &str) -> Outcome<CatalogEntry> {
    let entries = store::catalog::all(&app.store).await?;
    if let Some(entry) = entries.iter().find(|entry| entry.name == name) {
        return Ok(entry.clone());
    }
    let problem =
        Problem::refused(api::errors::ErrorCode::NotFound, format!("the catalog has no server `{name}`"));
    Err(match nearest(name, entries.iter().map(|entry| entry.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth catalog search` lists what there is"),
    })
}
