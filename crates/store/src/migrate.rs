//! Bringing the tables up to date: the migrations of this binary, in order, each once, forwards only.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Executor as _, SqlSafeStr as _};

use crate::open::cannot_open;
use crate::{Database, StoreError};

/// Version, name and text.
pub(crate) type Step = (i64, &'static str, &'static str);

/// Every migration, in order. One that was published is never changed.
pub(crate) const MIGRATIONS: &[Step] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "registries", include_str!("../migrations/0002_registries.sql")),
    (3, "enrolments", include_str!("../migrations/0003_enrolments.sql")),
    (4, "droplets", include_str!("../migrations/0004_droplets.sql")),
    (5, "policies", include_str!("../migrations/0005_policies.sql")),
    (6, "alerts", include_str!("../migrations/0006_alerts.sql")),
    (7, "registry_handovers", include_str!("../migrations/0007_registry_handovers.sql")),
    (9, "departures", include_str!("../migrations/0009_departures.sql")),
    (10, "upgrades", include_str!("../migrations/0010_upgrades.sql")),
    (11, "token_scopes", include_str!("../migrations/0011_token_scopes.sql")),
    (12, "people", include_str!("../migrations/0012_people.sql")),
    (13, "oauth", include_str!("../migrations/0013_oauth.sql")),
    (14, "calls", include_str!("../migrations/0014_calls.sql")),
    (15, "secrets", include_str!("../migrations/0015_secrets.sql")),
    (16, "upstream_tokens", include_str!("../migrations/0016_upstream_tokens.sql")),
    (17, "rules", include_str!("../migrations/0017_rules.sql")),
    (18, "own_values", include_str!("../migrations/0018_own_values.sql")),
    (20, "catalog", include_str!("../migrations/0020_catalog.sql")),
    (21, "instance_history", include_str!("../migrations/0021_instance_history.sql")),
    (22, "toolbelts", include_str!("../migrations/0022_toolbelts.sql")),
    (23, "instance_changes", include_str!("../migrations/0023_instance_changes.sql")),
];

/// The schema that holds the tables on PostgreSQL, so that they can share a database with others.
const SCHEMA: &str = "berth";
/// Serialises every Berth that opens one PostgreSQL database; the number means nothing.
const LOCK: i64 = 0x6265_7274_6800_0001;

/// Makes or updates the tables of an SQLite file, all of it in one transaction that keeps other processes out.
pub(crate) async fn sqlite(
    database: &Database,
    path: &Path,
    connection: &mut SqliteConnection,
    steps: &[Step],
) -> Result<(), StoreError> {
    let failed = |source| cannot_open(database, source);
    if let Some(version) = sqlite_version(connection).await.map_err(failed)?
        && version < newest(steps)
    {
        back_up(path, version, newest(steps), connection).await.map_err(|source| match source {
            BackupError::Database(source) => cannot_open(database, source),
            BackupError::File(source) => cannot_open(database, sqlx::Error::Io(source)),
        })?;
    }
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    migrator(steps)
        .run_direct(None, &mut *tx, false)
        .await
        .map_err(|e| migration_failed(database, steps, e))?;
    tx.commit().await.map_err(failed)
}

/// Makes or updates the tables of a PostgreSQL database and closes them to the roles that Supabase's public API uses.
pub(crate) async fn postgres(
    database: &Database,
    connection: &mut PgConnection,
    steps: &[Step],
) -> Result<(), StoreError> {
    let failed = |source| cannot_open(database, source);
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut *connection).await.map_err(failed)?;
    enter_schema(connection).await.map_err(failed)?;
    let mut migrator = migrator(steps);
    // `CREATE SCHEMA` needs a right that the user lacks where somebody else made the schema for it.
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(SCHEMA)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !there {
        migrator.create_schema(SCHEMA);
    }
    migrator.run_direct(None, connection, false).await.map_err(|e| migration_failed(database, steps, e))?;
    connection.execute(CLOSE_TO_PUBLIC_API).await.map_err(failed)?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).execute(connection).await.map_err(failed)?;
    Ok(())
}

/// Lets a connection find the tables by their plain names, and nobody else's.
pub(crate) async fn enter_schema(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    connection.execute("SET search_path TO berth").await.map(drop)
}

const CLOSE_TO_PUBLIC_API: &str = "
DO $$
DECLARE other text;
BEGIN
    FOR other IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA berth FROM %I', other);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA berth FROM %I', other);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA berth REVOKE ALL ON TABLES FROM %I', other);
    END LOOP;
    REVOKE ALL ON SCHEMA berth FROM PUBLIC;
END $$";

fn migrator(steps: &[Step]) -> Migrator {
    let migration = |&(version, name, sql): &Step| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

fn newest(steps: &[Step]) -> i64 {
    steps.iter().map(|&(version, ..)| version).max().unwrap_or_default()
}

/// The schema version of a file that Berth has written to; `None` for a new one.
async fn sqlite_version(connection: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    )
    .fetch_one(&mut *connection)
    .await?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(connection).await
}

enum BackupError {
    Database(sqlx::Error),
    File(io::Error),
}

/// Copies the database, of schema version `from`, to `FILE.before-TO`.
///
/// The copy appears under its name only when it is complete: another process may be making the same one.
async fn back_up(
    path: &Path,
    from: i64,
    to: i64,
    connection: &mut SqliteConnection,
) -> Result<(), BackupError> {
    let finished = beside(path, &format!("before-{to}"));
    let unfinished = beside(path, &format!("before-{to}.{}.part", std::process::id()));
    // Left behind by a process of the same number that was killed; `VACUUM INTO` wants a new file.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(BackupError::File(error)),
        _ => {}
    }
    sqlx::query("VACUUM INTO $1")
        .bind(unfinished.to_string_lossy().into_owned())
        .execute(connection)
        .await
        .map_err(BackupError::Database)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600)).map_err(BackupError::File)?;
    fs::rename(&unfinished, &finished).map_err(BackupError::File)?;
    tracing::info!(backup = %finished.display(), from, to, "copied the database before updating its tables");
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn migration_failed(database: &Database, steps: &[Step], error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(found) if newest(steps) < found => {
            StoreError::Newer { database: database.to_string(), found, known: newest(steps) }
        }
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            cannot_open(database, source)
        }
        other => StoreError::CannotOpen {
            database: database.to_string(),
            problem: other.to_string(),
            fix: "restore it from a backup, or start the version of Berth that wrote it".to_owned(),
            source: Some(Box::new(other)),
        },
    }
}
