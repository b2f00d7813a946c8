//! Opening: new, again, by many at once, and what cannot be opened.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use domain::ids::{AccountId, UserId};
use store::accounts::{self, AccountRow, UserRow};
use store::{Database, Store, StoreError};

use crate::{NOW, change, on_both, tenant};

#[test]
fn what_was_written_is_there_again() {
    on_both(async |place| {
        let store = place.open().await;
        let tenant = tenant(&store, "acme").await;
        store.ping().await.unwrap();
        store.close().await;
        assert!(matches!(store.ping().await, Err(StoreError::Unavailable { .. })));
        let again = place.open().await;
        let found = accounts::account_by_name(&again, &tenant.account.name).await.unwrap();
        assert_eq!(found, Some(tenant.account));
    });
}

#[test]
fn a_transaction_that_is_dropped_changes_nothing() {
    crate::on_both_stores(async |store| {
        let (account, owner) = account("acme");
        let mut tx = store.begin().await.unwrap();
        accounts::create_account(&mut tx, &account, &owner).await.unwrap();
        drop(tx);
        assert_eq!(accounts::list_accounts(&store).await.unwrap(), []);
        change(&store, async |tx| accounts::create_account(tx, &account, &owner).await).await.unwrap();
        assert_eq!(accounts::list_accounts(&store).await.unwrap(), [account]);
    });
}

#[test]
fn a_file_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it's a \"file\"?mode=ro.db");
    let open = async || Store::open(&Database::parse(file.to_str().unwrap()).unwrap()).await.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tenant(&open().await, "acme").await;
        let modes: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|f| f.unwrap().metadata().unwrap().permissions().mode() & 0o777)
            .collect();
        assert_eq!(modes, [0o600; 3], "the file, its -wal and its -shm");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        open().await;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "made tight again");
    });
}

/// The processes are this test itself, told by a variable what to open.
#[test]
fn many_processes_open_one_database_at_once() {
    const VARIABLE: &str = "BERTH_TEST_OPEN";
    if let Ok(database) = std::env::var(VARIABLE) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&Database::parse(&database).unwrap()).await.unwrap();
            let (account, owner) = account(&format!("p{}", std::process::id()));
            change(&store, async |tx| accounts::create_account(tx, &account, &owner).await).await.unwrap();
        });
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("berth.db").to_str().unwrap().to_owned();
    for database in [file, testkit::postgres::database()] {
        let started: Vec<_> = (0..6)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "open::many_processes_open_one_database_at_once", "--nocapture"])
                    .env(VARIABLE, &database)
                    .spawn()
                    .unwrap()
            })
            .collect();
        for mut process in started {
            assert!(process.wait().unwrap().success());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(&Database::parse(&database).unwrap()).await.unwrap();
            assert_eq!(accounts::list_accounts(&store).await.unwrap().len(), 6);
        });
    }
}

#[track_caller]
fn check_parse(text: &str, shown: &str) {
    let found = Database::parse(text).map_or_else(|e| e.to_string(), |d| d.to_string());
    assert!(found.starts_with(shown), "{text}: {found}");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn databases_are_read_as_people_write_them() {
    check_parse("berth.db", "berth.db");
    check_parse("/a b/berth.db", "/a b/berth.db");
    check_parse("sqlite:berth.db", "berth.db");
    check_parse("sqlite:///var/berth.db", "/var/berth.db");
    check_parse("postgres://me:hunter2@db.example:5433/berth", "postgres://me@db.example:5433/berth");
    check_parse("postgresql://me:hunter2@db:5432/berth?sslmode=require", "postgres://me@db:5432/berth");
    check_parse("postgres://me:hunter2@db:x/berth", "database is not a PostgreSQL URL");
    check_parse("mysql://me:hunter2@db/berth", "database is of an unknown kind");
    check_parse("", "database names no file");
    check_parse("sqlite:", "database names no file");
    check_parse("a\0b", "database names no file");
    check_parse("sqlite::memory:", "database cannot be in memory");
}

/// Opens what cannot be opened: the message names the database and the fix, and no password.
async fn check_refused(database: &str, parts: &[&str]) {
    let database = Database::parse(database).unwrap();
    assert!(!format!("{database:?}").contains("hunter2"));
    let error = Store::open(&database).await.unwrap_err();
    assert!(matches!(error, StoreError::CannotOpen { .. }), "{error:?}");
    let said = format!("{error} {error:?}");
    for part in [database.to_string().as_str()].iter().chain(parts) {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn what_cannot_be_opened_says_why_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let in_directory = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let garbage = in_directory("garbage.db");
    fs::write(&garbage, "this is a letter, and a long one, not a database. ".repeat(100)).unwrap();
    let server = testkit::postgres::database();
    let (address, parameters) = server.split_once('?').unwrap_or((&server, ""));
    let (address, _) = address.rsplit_once('/').unwrap();
    let nowhere = format!("{}?{parameters}", address.to_owned() + "/no_such_database");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        check_refused(&in_directory("missing/berth.db"), &["No such file", "make the directory"]).await;
        check_refused(&in_directory(""), &["directory", "give the path of a file"]).await;
        check_refused(&garbage, &["not an SQLite database", "move the file away"]).await;
        check_refused(&nowhere, &["no database of that name", "CREATE DATABASE"]).await;
        check_refused(
            "postgres://me:hunter2@127.0.0.1:1/berth",
            &["refused", "check that PostgreSQL runs there"],
        )
        .await;
    });
    assert!(fs::read_to_string(&garbage).unwrap().starts_with("this is a letter"), "left as it was");
}

#[test]
fn a_server_that_ends_every_connection_is_no_reason_to_start_again() {
    let url = testkit::postgres::database();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Database::parse(&url).unwrap()).await.unwrap();
        let mut open = store.begin().await.unwrap();
        let ended = testkit::postgres::run(
            &url,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        assert_ne!(ended.trim(), "0");
        let (account, owner) = account("acme");
        let error = accounts::create_account(&mut open, &account, &owner).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        drop(open);
        change(&store, async |tx| accounts::create_account(tx, &account, &owner).await).await.unwrap();
        assert_eq!(accounts::list_accounts(&store).await.unwrap(), [account]);
    });
}

/// A caller that goes away in the middle, as an HTTP client does, must not hold the one writer.
#[test]
fn a_cancelled_change_lets_the_next_one_in() {
    crate::on_both_stores(async |store| {
        for n in 0..20 {
            let (account, owner) = account(&format!("n{n}"));
            let cancelled = change(&store, async |tx| {
                accounts::create_account(tx, &account, &owner).await?;
                std::future::pending::<()>().await;
                Ok(())
            });
            let waited = tokio::time::timeout(std::time::Duration::from_millis(n), cancelled).await;
            assert!(waited.is_err(), "it never ends by itself");
        }
        let (last, owner) = account("last");
        change(&store, async |tx| accounts::create_account(tx, &last, &owner).await).await.unwrap();
        assert_eq!(accounts::list_accounts(&store).await.unwrap(), [last]);
    });
}

/// Supabase's public API acts as these two roles, to which its default rights give every new table.
#[test]
fn the_public_api_of_supabase_sees_nothing() {
    let url = testkit::postgres::database();
    let sql = |statements: &str| testkit::postgres::run(&url, statements);
    sql(
        "DO $$ BEGIN CREATE ROLE anon; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
    );
    sql(
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon; ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon",
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&Database::parse(&url).unwrap()).await.unwrap();
        tenant(&store, "acme").await;
    });
    assert_eq!(sql("SELECT count(*) FROM berth.accounts").trim(), "1");
    assert_eq!(sql("SELECT has_schema_privilege('anon', 'berth', 'USAGE, CREATE')").trim(), "f");
    let open = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'berth'::regnamespace
        AND has_table_privilege('anon', oid, 'SELECT, INSERT, UPDATE, DELETE')";
    assert_eq!(sql(open).trim(), "0");
    assert_eq!(sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").trim(), "0");
}

fn account(name: &str) -> (AccountRow, UserRow) {
    let account = AccountRow { id: AccountId::generate(), name: name.parse().unwrap(), created_at: NOW };
    (account, UserRow { id: UserId::generate(), name: format!("{name}-owner"), created_at: NOW })
}
