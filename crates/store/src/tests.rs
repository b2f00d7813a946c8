//! What can only be tested from inside: migrations that this binary does not have yet, and a disk that is full.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use domain::ids::{AccountId, AuditId};
use domain::names::{InstanceName, MAX_NAME};
use domain::time::Timestamp;
use proptest::prelude::*;

use crate::audit::{self, AuditRow};
use crate::instances::numbered;
use crate::migrate::{MIGRATIONS, Step};
use crate::open::{Dialect, on_pool};
use crate::{Database, Store, StoreError};

/// The version of the newest migration there is.
const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].0;
const LATER: Step = (NEWEST + 1, "later", "CREATE TABLE later (id text NOT NULL PRIMARY KEY)");
const BROKEN: Step =
    (NEWEST + 2, "broken", "CREATE TABLE broken (id text NOT NULL PRIMARY KEY); SELECT nothing FROM nowhere");

/// The migrations there are, and further ones.
fn with(further: &[Step]) -> Vec<Step> {
    [MIGRATIONS, further].concat()
}

/// The newest lines of an account's audit.
async fn audit_lines(store: &Store, account: AccountId, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let wanted = audit::Wanted { limit, ..Default::default() };
    let found = audit::list(store, account, &wanted).await?;
    Ok(found.into_iter().map(|(line, _)| line).collect())
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Both databases, empty.
fn databases(directory: &tempfile::TempDir) -> [Database; 2] {
    let file = directory.path().join("berth.db");
    [
        Database::parse(file.to_str().unwrap()).unwrap(),
        Database::parse(&testkit::postgres::database()).unwrap(),
    ]
}

fn line(detail: &str) -> AuditRow {
    AuditRow {
        id: AuditId::generate(),
        account: AccountId::generate(),
        actor: "user:1".to_owned(),
        action: "test".to_owned(),
        object_kind: "test".to_owned(),
        object_id: None,
        object_name: None,
        detail: serde_json::Value::String(detail.to_owned()),
        at: Timestamp(1),
    }
}

async fn tables_named(store: &Store, name: &'static str) -> bool {
    match store.write() {
        Dialect::Sqlite(db) => {
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_master WHERE name = $1")
                .bind(name)
                .fetch_one(db)
                .await
        }
        Dialect::Postgres(db) => {
            sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'berth' AND tablename = $1")
                .bind(name)
                .fetch_one(db)
                .await
        }
    }
    .unwrap()
        == 1
}

#[test]
fn a_newer_schema_is_refused_and_an_older_one_is_backed_up() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        for database in databases(&directory) {
            let old = Store::open(&database).await.unwrap();
            let kept = line("kept");
            let mut tx = old.begin().await.unwrap();
            audit::append(&mut tx, &kept).await.unwrap();
            tx.commit().await.unwrap();
            old.close().await;

            let new = Store::open_at(&database, &with(&[LATER])).await.unwrap();
            assert!(tables_named(&new, "later").await);
            assert_eq!(audit_lines(&new, kept.account, 10).await.unwrap(), std::slice::from_ref(&kept));
            new.close().await;

            let error = Store::open(&database).await.unwrap_err();
            assert!(
                matches!(error, StoreError::Newer { found, known: NEWEST, .. } if found == LATER.0),
                "{error:?}"
            );
            assert!(error.to_string().contains(&database.to_string()), "{error}");

            if let Database::Sqlite(file) = &database {
                let backup = file.with_file_name(format!("berth.db.before-{}", LATER.0));
                assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
                let copy = Store::open(&Database::Sqlite(backup)).await.unwrap();
                assert_eq!(audit_lines(&copy, kept.account, 10).await.unwrap(), [kept]);
                let made: Vec<_> =
                    fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().path()).collect();
                assert!(made.iter().all(|f| f.extension() != Some("part".as_ref())), "{made:?}");
            }
        }
    });
}

#[test]
fn a_migration_that_fails_leaves_what_was_before() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        for database in databases(&directory) {
            Store::open(&database).await.unwrap().close().await;
            let error = Store::open_at(&database, &with(&[LATER, BROKEN])).await.unwrap_err();
            assert!(matches!(error, StoreError::CannotOpen { .. }), "{error:?}");
            // SQLite keeps all steps of one start in one transaction, PostgreSQL each in its own.
            let is_sqlite = matches!(database, Database::Sqlite(_));
            let known = with(if is_sqlite { &[] } else { &[LATER] });
            let store = Store::open_at(&database, &known).await.unwrap();
            assert!(!tables_named(&store, "broken").await);
        }
    });
}

#[test]
fn every_migration_file_is_in_the_list() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<String> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    let listed: Vec<String> =
        MIGRATIONS.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
    assert_eq!(files, listed);
}

/// SQLite is given no more pages than it has, which it reports as it does a disk without room; PostgreSQL is made to
/// report its own code for that.
#[test]
fn a_full_disk_is_told_apart() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        for database in databases(&directory) {
            let store = Store::open(&database).await.unwrap();
            let error = match store.write() {
                Dialect::Sqlite(db) => {
                    sqlx::query("PRAGMA max_page_count = 1").execute(db).await.unwrap();
                    let mut tx = store.begin().await.unwrap();
                    let failed = audit::append(&mut tx, &line(&"x".repeat(1 << 20))).await.unwrap_err();
                    drop(tx);
                    sqlx::query("PRAGMA max_page_count = 1000000").execute(db).await.unwrap();
                    failed
                }
                Dialect::Postgres(db) => {
                    let full =
                        "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$";
                    StoreError::from_driver(sqlx::query(full).execute(db).await.unwrap_err())
                }
            };
            assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
            assert!(error.is_retryable());
            // Nothing was left behind that keeps the next writer from working.
            let mut tx = store.begin().await.unwrap();
            audit::append(&mut tx, &line("room again")).await.unwrap();
            tx.commit().await.unwrap();
        }
    });
}

#[test]
fn a_broken_row_names_its_column() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        for database in databases(&directory) {
            let store = Store::open(&database).await.unwrap();
            let line = line("soon broken");
            let mut tx = store.begin().await.unwrap();
            audit::append(&mut tx, &line).await.unwrap();
            tx.commit().await.unwrap();
            on_pool!(store.write(), db => sqlx::query("UPDATE audit_log SET detail_json = '{'").execute(db).await.map(drop))
                .unwrap();
            let error = audit_lines(&store, line.account, 1).await.unwrap_err();
            assert_eq!(error.to_string(), "the database holds a broken value in audit_log.detail_json");
        }
    });
}

proptest! {
    #[test]
    fn a_numbered_name_is_a_name(base in "[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", number in 2_usize..1_000_000) {
        let base: InstanceName = base.parse().unwrap();
        let numbered = numbered(&base, number);
        prop_assert!(numbered.parse::<InstanceName>().is_ok(), "{numbered}");
        let end = format!("-{number}");
        prop_assert!(numbered.ends_with(&end) && numbered.len() <= MAX_NAME);
    }
}
