//! Opening a database, and the two handles that everything else takes: [`Store`] to read, [`Tx`] to change.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Sqlite, Transaction};

use crate::errors::{is_busy, main_code};
use crate::migrate::{MIGRATIONS, Step};
use crate::{Database, StoreError, migrate};

/// How long a statement waits for another process that writes to the same SQLite file.
const BUSY: Duration = Duration::from_secs(5);
/// How long anything waits for a free connection, and opening for an answer of PostgreSQL.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that read SQLite. Each costs a thread and up to 2 MB of page cache.
const READERS: u32 = 4;
/// Connections to PostgreSQL, all replicas' sum to be kept below the server's `max_connections` (100 by default).
const CONNECTIONS: u32 = 10;

/// One of the two databases, or of what belongs to them.
#[derive(Debug, Clone)]
pub(crate) enum Dialect<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// Runs one body, type-checked once per database, on whichever is there.
macro_rules! on_pool {
    ($dialect:expr, $database:ident => $body:expr) => {
        match $dialect {
            $crate::open::Dialect::Sqlite($database) => $body,
            $crate::open::Dialect::Postgres($database) => $body,
        }
    };
}
pub(crate) use on_pool;

/// The open database. Cloning is cheap; all clones share the connections.
#[derive(Debug, Clone)]
pub struct Store(Dialect<SqlitePools, PgPool>);

/// SQLite has one writer at a time: a queue of our own is fair and never meets "database is locked".
#[derive(Debug, Clone)]
pub(crate) struct SqlitePools {
    pub(crate) write: SqlitePool,
    read: SqlitePool,
}

/// An open transaction. Dropped without [`Tx::commit`], it changes nothing.
#[derive(Debug)]
pub struct Tx(Dialect<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>);

impl Store {
    /// Opens the database, makes what is missing and brings its tables up to date.
    ///
    /// An SQLite file is made with mode 0600 and copied to `FILE.before-N` before an older schema in it is changed. Any
    /// number of processes may open one database at once.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`], [`StoreError::Newer`].
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        Self::open_at(database, MIGRATIONS).await
    }

    pub(crate) async fn open_at(database: &Database, steps: &[Step]) -> Result<Self, StoreError> {
        Ok(Self(match database {
            Database::Sqlite(path) => Dialect::Sqlite(open_sqlite(database, path, steps).await?),
            Database::Postgres(options) => Dialect::Postgres(open_postgres(database, options, steps).await?),
        }))
    }

    /// Begins a transaction. On SQLite it waits for the one before it to end.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let begun = match &self.0 {
            // IMMEDIATE: a transaction that reads first could otherwise fail when it comes to write.
            Dialect::Sqlite(pools) => pools.write.begin_with("BEGIN IMMEDIATE").await.map(Dialect::Sqlite),
            Dialect::Postgres(pool) => pool.begin().await.map(Dialect::Postgres),
        };
        begun.map(Tx).map_err(StoreError::from_driver)
    }

    /// Asks the database for an answer, for readiness probes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on_pool!(self.read(), db => sqlx::query("SELECT 1").execute(db).await.map(drop))
            .map_err(StoreError::from_driver)
    }

    /// Closes every connection; an SQLite file is then complete by itself, without its `-wal`.
    pub async fn close(&self) {
        match &self.0 {
            Dialect::Sqlite(pools) => {
                pools.read.close().await;
                pools.write.close().await;
            }
            Dialect::Postgres(pool) => pool.close().await,
        }
    }

    pub(crate) fn read(&self) -> Dialect<&SqlitePool, &PgPool> {
        match &self.0 {
            Dialect::Sqlite(pools) => Dialect::Sqlite(&pools.read),
            Dialect::Postgres(pool) => Dialect::Postgres(pool),
        }
    }

    /// All connections.
    pub(crate) fn dialect(&self) -> &Dialect<SqlitePools, PgPool> {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn write(&self) -> Dialect<&SqlitePool, &PgPool> {
        match &self.0 {
            Dialect::Sqlite(pools) => Dialect::Sqlite(&pools.write),
            Dialect::Postgres(pool) => Dialect::Postgres(pool),
        }
    }
}

impl Tx {
    /// Makes the changes last.
    pub async fn commit(self) -> Result<(), StoreError> {
        on_pool!(self.0, tx => tx.commit().await).map_err(StoreError::from_driver)
    }

    pub(crate) fn connection(&mut self) -> Dialect<&mut SqliteConnection, &mut PgConnection> {
        match &mut self.0 {
            Dialect::Sqlite(tx) => Dialect::Sqlite(tx),
            Dialect::Postgres(tx) => Dialect::Postgres(tx),
        }
    }
}

async fn open_sqlite(database: &Database, path: &Path, steps: &[Step]) -> Result<SqlitePools, StoreError> {
    make_private(path).map_err(|source| cannot_open_file(database, path, source))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY)
        .foreign_keys(true);

    // The change to WAL does not wait as other statements do when two processes make it at once.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut first = loop {
        match options.connect().await {
            Err(error) if is_busy(&error) && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => break other.map_err(|source| cannot_open(database, source))?,
        }
    };
    migrate::sqlite(database, path, &mut first, steps).await?;
    first.close().await.map_err(|source| cannot_open(database, source))?;

    let pool = |connections| {
        PoolOptions::<Sqlite>::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            // SQLite ends a transaction by itself when the disk is full; the driver does not notice and would refuse to
            // begin another on that connection for ever. The test before it waits for a rollback that is on its way.
            .test_before_acquire(true)
            .before_acquire(|connection, _| {
                let left_open = connection.is_in_transaction();
                Box::pin(async move { Ok(!left_open) })
            })
    };
    let writer = options.clone().optimize_on_close(true, None);
    let write = pool(1).connect_with(writer).await.map_err(|e| cannot_open(database, e))?;
    let read = pool(READERS).connect_lazy_with(options.read_only(true));
    Ok(SqlitePools { write, read })
}

/// One connection by hand: a pool would try again and again, and nobody would learn why.
pub(crate) async fn connect_postgres(
    database: &Database,
    options: &PgConnectOptions,
) -> Result<PgConnection, StoreError> {
    match tokio::time::timeout(PATIENCE, options.connect()).await {
        Ok(connected) => connected.map_err(|source| cannot_open(database, source)),
        Err(_) => Err(cannot_open(database, sqlx::Error::PoolTimedOut)),
    }
}

async fn open_postgres(
    database: &Database,
    options: &PgConnectOptions,
    steps: &[Step],
) -> Result<PgPool, StoreError> {
    let mut first = connect_postgres(database, options).await?;
    let migrated = migrate::postgres(database, &mut first, steps).await;
    // Closing also gives back the lock that the migrator holds when it failed.
    let closed = first.close().await;
    migrated?;
    closed.map_err(|source| cannot_open(database, source))?;

    PoolOptions::<Postgres>::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .after_connect(|connection, _| Box::pin(migrate::enter_schema(connection)))
        .connect_with(options.clone())
        .await
        .map_err(|source| cannot_open(database, source))
}

/// Makes the file for its owner alone, before SQLite makes it for everybody; `-wal` and `-shm` take its mode.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    let file =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

pub(crate) fn cannot_open_file(database: &Database, path: &Path, source: io::Error) -> StoreError {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fix = match source.kind() {
        io::ErrorKind::NotFound => format!("make the directory {} first", directory.display()),
        io::ErrorKind::PermissionDenied => {
            format!("make {} readable and writable for the user that runs Berth", directory.display())
        }
        io::ErrorKind::ReadOnlyFilesystem => "choose a data directory on a writable disk".to_owned(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some room on its disk".to_owned(),
        _ => "give the path of a file".to_owned(),
    };
    let problem = source.to_string();
    StoreError::CannotOpen { database: database.to_string(), problem, fix, source: Some(Box::new(source)) }
}

/// Says what the driver's error means for somebody who wants to start Berth.
pub(crate) fn cannot_open(database: &Database, source: sqlx::Error) -> StoreError {
    let source = match StoreError::from_driver(source) {
        StoreError::NoSpace { source } => {
            let (problem, fix) =
                ("no room is left on its disk".to_owned(), "free some and try again".to_owned());
            let source = Some(Box::from(source));
            return StoreError::CannotOpen { database: database.to_string(), problem, fix, source };
        }
        StoreError::Unavailable { source } | StoreError::Refused { source } => source,
        sorted => return sorted,
    };
    let code = source.as_database_error().map(main_code).unwrap_or_default();
    let (problem, fix) = match (database, code.as_str()) {
        (Database::Sqlite(_), "26") => (
            "it is not an SQLite database".to_owned(),
            "move the file away, or give the path of another".to_owned(),
        ),
        (Database::Sqlite(_), "11") => {
            ("the file is damaged".to_owned(), "restore it from a backup".to_owned())
        }
        (Database::Sqlite(path), "8" | "14") => (
            "it cannot be written".to_owned(),
            format!("make {} and its directory writable for the user that runs Berth", path.display()),
        ),
        (Database::Sqlite(_), "5") => (
            "another program holds its lock".to_owned(),
            "end that program, or wait until it is done".to_owned(),
        ),
        (Database::Sqlite(_), _) => (said(&source), "check the file and the disk it is on".to_owned()),
        (Database::Postgres(_), "28P01" | "28000") => (
            "the server refused the user name or the password".to_owned(),
            "correct them in the database URL".to_owned(),
        ),
        (Database::Postgres(_), "3D000") => (
            "the server has no database of that name".to_owned(),
            "make it with `CREATE DATABASE`, or correct the name in the database URL".to_owned(),
        ),
        (Database::Postgres(_), "42501") => (
            said(&source),
            "let the user create a schema: `GRANT CREATE ON DATABASE … TO …`, or make the schema `berth` for it"
                .to_owned(),
        ),
        (Database::Postgres(_), _) => (
            said(&source),
            "check that PostgreSQL runs there and accepts connections from this machine".to_owned(),
        ),
    };
    StoreError::CannotOpen { database: database.to_string(), problem, fix, source: Some(Box::new(source)) }
}

/// The innermost reason. The driver's wrappers only repeat that there was an error.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        sqlx::Error::Io(e) => e.to_string(),
        sqlx::Error::PoolTimedOut => format!("no answer within {} seconds", PATIENCE.as_secs()),
        other => other.to_string(),
    }
}
