//! Everything in one file, from either database into either.

use std::collections::BTreeMap;
use std::path::Path;

use domain::ids::ToolbeltId;
use domain::secret::{Secret, Secrets};
use domain::toolbelts::{Mode, OnChange};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use store::backup::{self, Backup};
use store::toolbelts::ToolbeltRow;
use store::{Database, Store, StoreError};

use crate::{NOW, Place, change, on_both, tenant};

/// More rows than travel at a time.
const MANY: usize = 1_203;

/// Rows of several tables, with numbers, texts and truth values that are easily lost.
async fn fill(store: &Store) {
    let acme = tenant(store, "acme").await;
    tenant(store, "other").await;
    change(store, async |tx| {
        for number in 0..MANY {
            let row = ToolbeltRow {
                id: ToolbeltId::generate(),
                account: acme.account.id,
                name: format!("belt-{number}").parse().unwrap(),
                agent: None,
                description: (number % 2 == 0).then(|| format!("\"{number}\" is \\u0041, ä, {{}} and 'x'\n")),
                mode: Mode::List,
                on_change: OnChange::Keep,
                generation: 9_007_199_254_740_993,
                created_at: NOW,
                updated_at: NOW,
            };
            store::toolbelts::insert(tx, &row).await?;
        }
        Ok(())
    })
    .await
    .unwrap();
}

/// What a backup file has in it, by table: each row as JSON.
async fn rows_of(file: &Path) -> BTreeMap<String, Vec<String>> {
    let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let tables: Vec<(String, String)> = sqlx::query_as(
        r#"SELECT m.name,
            (SELECT group_concat('''' || c.name || ''', "' || c.name || '"') FROM pragma_table_info(m.name) c)
        FROM sqlite_master m WHERE m.type = 'table' AND m.name NOT IN ('_sqlx_migrations', 'berth_backup') AND m.name NOT LIKE 'sqlite%'"#,
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let mut found = BTreeMap::new();
    for (table, columns) in tables {
        let sql = format!("SELECT json_object({columns}) FROM {table} ORDER BY 1");
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        found.insert(table, rows);
    }
    found
}

#[test]
fn everything_comes_through_each_way() {
    on_both(async |place: &Place| {
        let dir = tempfile::tempdir().unwrap();
        let store = place.open().await;
        fill(&store).await;
        let facts = Secrets::from([("who".to_owned(), Secret::new("a test"))]);
        let first = dir.path().join("first");
        backup::write(&store, &first, &facts).await.unwrap();
        let before = rows_of(&first).await;
        assert_eq!(before["toolbelts"].len(), MANY);
        assert!(before["tool_catalog"].iter().any(|row| row.contains("MCP Server")));

        for into in ["sqlite", "postgres"] {
            let copy = dir.path().join(format!("copy-{into}"));
            std::fs::copy(&first, &copy).unwrap();
            let taken = Backup::open(&copy).await.unwrap();
            assert_eq!(taken.facts(), &facts);
            let mut restored = taken.become_database().await.unwrap();
            if into == "postgres" {
                let database = Database::parse(&testkit::postgres::database()).unwrap();
                backup::copy(&restored, &database).await.unwrap();
                let twice = backup::copy(&restored, &database).await;
                assert!(matches!(twice, Err(StoreError::CannotOpen { .. })), "{twice:?}");
                restored.close().await;
                restored = Store::open(&database).await.unwrap();
            }
            let second = dir.path().join(format!("second-{into}"));
            backup::write(&restored, &second, &Secrets::new()).await.unwrap();
            let after = rows_of(&second).await;
            assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
            for (table, rows) in &before {
                let lost: Vec<_> = rows.iter().filter(|row| !after[table].contains(row)).take(1).collect();
                assert_eq!(
                    (after[table].len(), lost),
                    (rows.len(), vec![]),
                    "{table}, {} to {into}",
                    place.database
                );
            }
            restored.close().await;
        }
    });
}

#[test]
fn what_is_no_backup_is_refused() {
    on_both(async |place: &Place| {
        let store = place.open().await;
        let dir = tempfile::tempdir().unwrap();
        // A database of Berth's is none: what is known beside the rows is missing.
        let plain = dir.path().join("plain");
        Store::open(&Database::Sqlite(plain.clone())).await.unwrap().close().await;
        let error = Backup::open(&plain).await.unwrap_err().to_string();
        assert!(error.contains("it is no backup of Berth's"), "{error}");
        let missing = Backup::open(&dir.path().join("missing")).await;
        assert!(missing.is_err(), "{missing:?}");
        let error = backup::write(&store, dir.path(), &Secrets::new()).await.unwrap_err();
        assert!(matches!(error, StoreError::CannotOpen { .. }), "{error:?}");
    });
}
