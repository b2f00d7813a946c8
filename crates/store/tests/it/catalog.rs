//! The catalog.

use domain::catalog::{CatalogEntry, Input, InputFormat, InputTarget, Listing, Transport};
use domain::ids::CatalogEntryId;
use domain::server_json::Document;
use domain::spec::Launch;
use serde_json::json;
use store::catalog_sources::{self, Ended};
use store::catalog_versions::{self, VersionRow, Wanted};
use store::{Store, StoreError, catalog};

use crate::{NOW, after, change, on_both_stores};

pub(crate) fn entry(name: &str) -> CatalogEntry {
    CatalogEntry {
        id: CatalogEntryId::generate(),
        name: name.to_owned(),
        title: "A title".to_owned(),
        description: "What it does".to_owned(),
        category: "development".to_owned(),
        transport: Transport::Stdio,
        package: Some("npm:@scope/server@1.2.3".parse().unwrap()),
        launch: Launch { args: vec!["stdio".to_owned()], ..Launch::default() },
        inputs: vec![Input {
            name: "key".to_owned(),
            description: "A key".to_owned(),
            target: InputTarget::Env { variable: "KEY".to_owned() },
            format: InputFormat::String,
            required: true,
            secret: true,
            default: None,
            placeholder: None,
            choices: vec![],
        }],
        templates: vec![],
        documentation_url: Some("https://example.com/docs".to_owned()),
        listing: Listing::default(),
    }
}

async fn upsert(store: &Store, entry: &CatalogEntry) -> Result<(), StoreError> {
    change(store, async |tx| catalog::upsert(tx, entry, "Official", NOW).await).await
}

#[test]
fn entries_are_found_replaced_and_listed_by_name() {
    on_both_stores(async |store| {
        assert_eq!(catalog::all(&store).await.unwrap(), [], "the generic entry cannot be deployed");
        let (mut time, git) = (entry("time"), entry("git"));
        upsert(&store, &time).await.unwrap();
        upsert(&store, &git).await.unwrap();
        assert_eq!(catalog::all(&store).await.unwrap(), [git.clone(), time.clone()]);
        assert_eq!(catalog::by_name(&store, "time").await.unwrap(), Some(time.clone()));
        for unknown in ["Time", "tim_", "%", "MCP Server", ""] {
            assert_eq!(catalog::by_name(&store, unknown).await.unwrap(), None, "{unknown}");
        }

        time.name = "clock".to_owned();
        time.package = Some("pypi:clock".parse().unwrap());
        change(&store, async |tx| catalog::upsert(tx, &time, "Official", after(1)).await).await.unwrap();
        assert_eq!(catalog::all(&store).await.unwrap(), [time, git]);
    });
}

#[test]
fn a_name_belongs_to_one_entry() {
    on_both_stores(async |store| {
        upsert(&store, &entry("time")).await.unwrap();
        for name in ["time", "MCP Server"] {
            let error = upsert(&store, &entry(name)).await;
            let Err(StoreError::Taken { value, .. }) = error else { panic!("{error:?}") };
            assert_eq!(value, name);
        }
        let error = upsert(&store, &CatalogEntry { description: "\0".to_owned(), ..entry("x") }).await;
        assert!(matches!(error, Err(StoreError::Invalid { field: "description", .. })), "{error:?}");
    });
}

fn version(name: &str, version: &str, status: &str) -> VersionRow {
    let around = json!({ "io.modelcontextprotocol.registry/official": { "status": status, "updatedAt": "2025-09-17T08:00:00Z" } });
    let document = json!({ "server": { "name": name, "version": version, "x": "\0" }, "_meta": around });
    VersionRow { document: Document::read(document).unwrap(), is_latest: version == "2" }
}

#[test]
fn versions_keep_what_they_are_and_pages_follow_each_other() {
    on_both_stores(async |store| {
        let mut known = vec![];
        for name in ["b.c/one", "b.c/two_", "b.c/twox"] {
            let mut entry = entry(name);
            entry.listing.source = Some(if name.ends_with("one") { "file" } else { "official" }.to_owned());
            upsert(&store, &entry).await.unwrap();
            for row in [
                version(name, "1", "active"),
                version(name, "2", "deprecated"),
                version(name, "3", "deleted"),
            ] {
                change(&store, async |tx| catalog_versions::put(tx, entry.id, &row, NOW).await)
                    .await
                    .unwrap();
            }
            known.push(entry);
        }
        let id = known[0].id;
        // The same version with another content stays what it was; how it stands changes.
        let mut other = version("b.c/one", "1", "deleted");
        other.document.server = json!({ "name": "b.c/one", "evil": true });
        change(&store, async |tx| catalog_versions::put(tx, id, &other, NOW).await).await.unwrap();
        let rows = catalog_versions::of_name(&store, "b.c/one").await.unwrap();
        assert_eq!(rows.len(), 3);
        assert!(rows[0].is_latest && rows[0].document.version == "2");
        let one = rows.iter().find(|row| row.document.version == "1").unwrap();
        assert_eq!(one.document.server, version("b.c/one", "1", "active").document.server);
        assert_eq!(one.document.status.as_str(), "deleted");

        let names = async |wanted: Wanted<'_>| -> Vec<String> {
            let rows = catalog_versions::page(&store, &wanted).await.unwrap();
            rows.iter().map(|row| format!("{}@{}", row.document.name, row.document.version)).collect()
        };
        let all = Wanted { limit: 100, with_deleted: true, ..Wanted::default() };
        let whole = names(all.clone()).await;
        assert_eq!(whole.len(), 9);
        let mut paged = vec![];
        loop {
            let last: Option<(String, String)> = paged.last().map(|it: &String| {
                let (name, version) = it.split_once('@').unwrap();
                (name.to_owned(), version.to_owned())
            });
            let after = last.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
            let page = names(Wanted { after, limit: 2, ..all.clone() }).await;
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, whole);
        assert_eq!(names(Wanted { only_latest: true, search: "TWO_", ..all.clone() }).await, ["b.c/two_@2"]);
        assert_eq!(names(Wanted { with_deleted: false, search: "one", ..all.clone() }).await, ["b.c/one@2"]);
        assert_eq!(names(Wanted { hidden_source: "file", only_latest: true, ..all.clone() }).await.len(), 2);
        let late = domain::time::Timestamp(i64::MAX);
        assert!(names(Wanted { updated_since: Some(late), ..all }).await.is_empty());

        change(&store, async |tx| catalog_versions::clear(tx, id).await).await.unwrap();
        assert!(catalog_versions::of_name(&store, "b.c/one").await.unwrap().is_empty());
        let holder = change(&store, async |tx| catalog::holder(tx, "b.c/one").await).await.unwrap().unwrap();
        assert_eq!((holder.id, holder.source.as_deref()), (id, Some("file")));
        let before = catalog::mark(&store).await.unwrap();
        let gone =
            change(&store, async |tx| catalog::forget_source(tx, "official", after(9)).await).await.unwrap();
        assert_eq!(gone, (2, 0));
        assert_ne!(catalog::mark(&store).await.unwrap(), before);
    });
}

#[test]
fn a_source_is_read_by_one_at_a_time_when_it_is_due() {
    on_both_stores(async |store| {
        change(&store, async |tx| catalog_sources::insert(tx, "x", "https://x.example", "me", NOW).await)
            .await
            .unwrap();
        let again = change(&store, async |tx| catalog_sources::insert(tx, "x", "y", "me", NOW).await).await;
        assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
        let claim = async |at: i64| {
            change(&store, async |tx| catalog_sources::claim(tx, after(at), after(at + 60)).await)
                .await
                .unwrap()
        };
        assert!(claim(-1).await.is_none(), "it is not due yet");
        assert_eq!(claim(0).await.unwrap().name, "x");
        assert!(claim(1).await.is_none(), "somebody reads it");
        change(&store, async |tx| catalog_sources::progress(tx, "x", (7, 1), after(100)).await)
            .await
            .unwrap();
        assert!(claim(99).await.is_none(), "and goes on");
        let row = claim(101).await.unwrap();
        assert_eq!((row.entries, row.finished_at), (0, None), "who read it is gone");
        let ended = Ended { at: after(102), due_at: after(1000), updated_since: Some(after(5)), error: None };
        change(&store, async |tx| catalog_sources::end(tx, "x", &ended).await).await.unwrap();
        assert!(claim(999).await.is_none());
        let failed = Ended { at: after(103), due_at: after(1000), updated_since: None, error: Some("away") };
        change(&store, async |tx| catalog_sources::end(tx, "x", &failed).await).await.unwrap();
        let row = catalog_sources::list(&store).await.unwrap().remove(0);
        assert_eq!((row.updated_since, row.error.as_deref()), (Some(after(5)), Some("away")));
        change(&store, async |tx| catalog_sources::ask(tx, "x", after(200)).await).await.unwrap();
        assert!(claim(200).await.is_some(), "somebody asked");
        change(&store, async |tx| catalog_sources::remove(tx, "x").await).await.unwrap();
        let gone = change(&store, async |tx| catalog_sources::progress(tx, "x", (1, 0), NOW).await).await;
        assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
        change(&store, async |tx| catalog_sources::end(tx, "x", &ended).await).await.unwrap();
    });
}
