//! The catalog.

use domain::catalog::{CatalogEntry, Input, InputFormat, InputTarget, Transport};
use domain::ids::CatalogEntryId;
use domain::spec::Launch;
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
        package: "npm:@scope/server@1.2.3".parse().unwrap(),
        launch: Launch { args: vec!["stdio".to_owned()], ..Launch::default() },
        inputs: vec![Input {
            name: "key".to_owned(),
            description: "A key".to_owned(),
            target: InputTarget::Env { variable: "KEY".to_owned() },
            format: InputFormat::String,
            required: true,
            secret: true,
            default: None,
        }],
        documentation_url: Some("https://example.com/docs".to_owned()),
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
        time.package = "pypi:clock".parse().unwrap();
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
