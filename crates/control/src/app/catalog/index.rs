//! The catalog in memory, so that a search reads no rows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::catalog::{CatalogEntry, CatalogQuery, Sort, Standing};
use store::Store;

use crate::app::{Outcome, Problem};

/// All entries as they can be searched. It never changes: after a change another one is made.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Vec<Listed>,
    by_name: HashMap<String, usize>,
    /// What the table said when it was read.
    pub(super) mark: (i64, i64),
}

/// An entry with its texts in small letters.
#[derive(Debug)]
struct Listed {
    entry: Arc<CatalogEntry>,
    name: String,
    title: String,
    /// Category and publisher.
    around: String,
    description: String,
}

/// What a search gives.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The entries asked for.
    pub(crate) entries: Vec<Arc<CatalogEntry>>,
    /// How many there are in all.
    pub(crate) total: usize,
    /// How many of each category there are, whichever category was asked for.
    pub(crate) categories: BTreeMap<String, usize>,
}

impl Index {
    /// Reads the rows; the work on them is done beside the runtime's thread, which has calls to forward.
    ///
    /// # Errors
    /// What the store says.
    pub(super) async fn read(store: &Store) -> Outcome<Self> {
        let mark = store::catalog::mark(store).await?;
        let texts = store::catalog::texts(store).await?;
        let made = tokio::task::spawn_blocking(move || {
            let entries = texts.iter().map(|text| store::catalog::read(text));
            entries.collect::<Result<Vec<_>, _>>().map(|entries| Self::of(entries, mark))
        });
        Ok(made.await.map_err(|error| Problem::Failed(Box::new(error)))??)
    }

    fn of(mut entries: Vec<CatalogEntry>, mark: (i64, i64)) -> Self {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let entries: Vec<Listed> = entries.into_iter().map(Listed::of).collect();
        let names = entries.iter().enumerate();
        let by_name = names.map(|(at, listed)| (listed.entry.name.clone(), at)).collect();
        Self { entries, by_name, mark }
    }

    /// The entry of a name, also one that was withdrawn.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<CatalogEntry>> {
        self.by_name.get(name).map(|&at| &self.entries[at].entry)
    }

    /// All that is listed, by name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<CatalogEntry>> {
        self.listed().map(|listed| &listed.entry)
    }

    /// All names of what is listed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.listed().map(|listed| listed.entry.name.as_str())
    }

    /// The entries that are part of Berth.
    pub(crate) fn builtin(&self) -> impl Iterator<Item = &Arc<CatalogEntry>> {
        self.entries.iter().map(|listed| &listed.entry).filter(|entry| entry.listing.source.is_none())
    }

    fn listed(&self) -> impl Iterator<Item = &Listed> {
        self.entries.iter().filter(|listed| listed.entry.listing.status != Standing::Deleted)
    }

    /// What a query chooses, of that at most `limit`.
    pub(crate) fn search(&self, query: &CatalogQuery, limit: u32) -> Found {
        let words = query.search.as_deref().unwrap_or_default().split_whitespace();
        let words: Vec<String> = words.map(str::to_lowercase).collect();
        let mut categories = BTreeMap::new();
        let mut hits: Vec<(u32, &Listed)> = vec![];
        for listed in self.listed() {
            if !wants(query, &listed.entry) {
                continue;
            }
            let Some(score) = listed.score(&words) else { continue };
            *categories.entry(listed.entry.category.clone()).or_default() += 1;
            if query.category.as_ref().is_none_or(|category| *category == listed.entry.category) {
                hits.push((score, listed));
            }
        }
        // Of equals the order by name stays, which the entries have.
        match query.sort.unwrap_or_default() {
            Sort::Relevance => hits.sort_by_key(|(score, listed)| {
                let entry = &listed.entry;
                let (deployable, verified) = (entry.deployable().is_ok(), entry.is_verified());
                Reverse((*score, entry.listing.status.is_active(), deployable, verified))
            }),
            Sort::Name => {}
            Sort::Newest => hits.sort_by_key(|(_, listed)| Reverse(listed.entry.listing.published_at)),
        }
        let (skip, take) = (query.offset.unwrap_or_default() as usize, limit as usize);
        let chosen = hits.iter().skip(skip).take(take);
        Found {
            entries: chosen.map(|(_, hit)| Arc::clone(&hit.entry)).collect(),
            total: hits.len(),
            categories,
        }
    }
}

impl Listed {
    fn of(entry: CatalogEntry) -> Self {
        let publisher = entry.listing.publisher.as_deref().unwrap_or("berth");
        Self {
            name: entry.name.to_lowercase(),
            title: entry.title.to_lowercase(),
            around: format!("{} {publisher}", entry.category).to_lowercase(),
            description: entry.description.to_lowercase(),
            entry: Arc::new(entry),
        }
    }

    /// How well it fits words that must all occur: the beginning of the name before the name, that before the title, that before the rest.
    fn score(&self, words: &[String]) -> Option<u32> {
        let base = self.name.rsplit('/').next().unwrap_or_default();
        let mut score = 0;
        for word in words {
            let word = word.as_str();
            score += if base == word || self.name == word {
                200
            } else if base.starts_with(word) || self.name.starts_with(word) {
                100
            } else if is_word_start(base, word) {
                70
            } else if self.name.contains(word) {
                50
            } else if is_word_start(&self.title, word) {
                40
            } else if self.title.contains(word) {
                30
            } else if self.around.contains(word) {
                20
            } else if self.description.contains(word) {
                10
            } else {
                return None;
            };
        }
        Some(score)
    }
}

/// Whether a word of a text begins like that.
fn is_word_start(text: &str, word: &str) -> bool {
    text.match_indices(word)
        .any(|(at, _)| text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric()))
}

fn wants(query: &CatalogQuery, entry: &CatalogEntry) -> bool {
    let is = |asked: Option<bool>, found: bool| asked.is_none_or(|asked| asked == found);
    query.kind.is_none_or(|kind| kind == entry.kind())
        && query.transport.is_none_or(|transport| transport == entry.transport)
        && query
            .package
            .is_none_or(|kind| entry.package.as_ref().is_some_and(|package| package.kind() == kind))
        && is(query.secrets, entry.takes_secrets())
        && is(query.offline, entry.listing.offline)
        && is(query.verified, entry.is_verified())
        && is(query.deployable, entry.deployable().is_ok())
}

#[cfg(test)]
mod tests {
    use domain::ids::CatalogEntryId;
    use domain::server_json::Document;
    use serde_json::json;

    use super::*;

    fn entry(name: &str, title: &str, description: &str, published: &str) -> CatalogEntry {
        let server = json!({
            "name": name, "title": title, "description": description, "version": "1.0.0",
            "packages": [{ "registryType": "npm", "identifier": "x" }],
        });
        let around = json!({ "io.modelcontextprotocol.registry/official": { "publishedAt": published } });
        let document = Document::read(json!({ "server": server, "_meta": around })).expect("a document");
        document.entry(CatalogEntryId::generate(), "official", name.starts_with("v."))
    }

    #[track_caller]
    fn check(query: &CatalogQuery, expected: &[&str]) {
        let mut gone = entry("a.b/github-gone", "", "", "2025-01-01T00:00:00Z");
        gone.listing.status = Standing::Deleted;
        let entries = vec![
            entry("io.x/tracker", "Tracker", "issues of GitHub", "2025-05-01T00:00:00Z"),
            entry("io.x/issues", "GitHub issues", "", "2025-04-01T00:00:00Z"),
            entry("io.github.x/slack", "Slack", "", "2025-03-01T00:00:00Z"),
            entry("io.x/my-github", "Mine", "", "2025-02-01T00:00:00Z"),
            entry("v.x/github-tools", "Tools", "", "2025-01-01T00:00:00Z"),
            entry("io.x/github", "Git", "", "2025-06-01T00:00:00Z"),
            gone,
        ];
        let found = Index::of(entries, (0, 0)).search(query, 100);
        let names: Vec<&str> = found.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, expected, "{query:?}");
        assert_eq!(found.total, expected.len());
    }

    #[test]
    fn the_order_of_what_fits() {
        let search = |text: &str| CatalogQuery { search: Some(text.to_owned()), ..CatalogQuery::default() };
        check(
            &search("GitHub"),
            &[
                "io.x/github",
                "v.x/github-tools",
                "io.x/my-github",
                "io.github.x/slack",
                "io.x/issues",
                "io.x/tracker",
            ],
        );
        check(&search("github issues"), &["io.x/issues", "io.x/tracker"]);
        check(&search("nothing"), &[]);
        check(
            &CatalogQuery { sort: Some(Sort::Newest), ..search("github") },
            &[
                "io.x/github",
                "io.x/tracker",
                "io.x/issues",
                "io.github.x/slack",
                "io.x/my-github",
                "v.x/github-tools",
            ],
        );
        check(&CatalogQuery { verified: Some(true), ..CatalogQuery::default() }, &["v.x/github-tools"]);
        check(&CatalogQuery { offline: Some(true), ..CatalogQuery::default() }, &[]);
        check(&CatalogQuery { category: Some("nothing".to_owned()), ..search("github") }, &[]);
    }
}
