//! The whole database in one file, and back: an SQLite file with the same tables whichever database they come from, and whichever
//! they go to. Rows travel as JSON, which holds all that a column can: text, `bigint` to the last digit, `boolean`, NULL.

use std::path::{Path, PathBuf};

use domain::secret::{Secret, Secrets};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};

use crate::errors::main_code;
use crate::migrate::MIGRATIONS;
use crate::open::{Dialect, cannot_open, cannot_open_file, make_private};
use crate::{Database, Store, StoreError};

/// Rows that travel at a time.
const ROWS: i64 = 500;
/// What is added to the generation of each instance that is restored: hosts refuse what is older than what they have, and may have
/// been told of so many changes since.
const LATER: i64 = 1 << 20;

/// Writes everything as it is at one moment to `file`, which is empty or not there (mode 0600 afterwards). Others go on reading and
/// writing the database. Facts are what is known beside the rows, by name, keys among them: they go with the file, not into the
/// database that the file becomes.
///
/// # Errors
/// [`StoreError::CannotOpen`] for the file, and what the database says. What was written of the file stays.
pub async fn write(store: &Store, file: &Path, facts: &Secrets) -> Result<(), StoreError> {
    let database = Database::Sqlite(file.to_owned());
    make_private(file).map_err(|source| cannot_open_file(&database, file, source))?;
    match store.dialect() {
        Dialect::Sqlite(pools) => {
            sqlx::query("VACUUM INTO $1")
                .bind(file.to_string_lossy().into_owned())
                .execute(&pools.write)
                .await
                .map_err(StoreError::from_driver)?;
        }
        Dialect::Postgres(pool) => {
            Store::open_at(&database, MIGRATIONS).await?.close().await;
            let copied = async {
                let mut to = connect(file).await?;
                from_postgres(pool, &mut to).await?;
                to.close().await
            };
            copied.await.map_err(StoreError::from_driver)?;
        }
    }
    let noted = async {
        let mut to = connect(file).await?;
        put_facts(&mut to, facts).await?;
        to.close().await
    };
    noted.await.map_err(StoreError::from_driver)
}

/// A copy of a backup, which is about to become a database again.
#[derive(Debug)]
pub struct Backup {
    copy: PathBuf,
    facts: Secrets,
}

impl Backup {
    /// Looks at a copy of a backup, which is changed from here on.
    ///
    /// # Errors
    /// [`StoreError::CannotOpen`] for what is no backup, and for one that is damaged.
    pub async fn open(copy: &Path) -> Result<Self, StoreError> {
        let database = Database::Sqlite(copy.to_owned());
        let refused = |problem: String| StoreError::CannotOpen {
            database: database.to_string(),
            problem,
            fix: "give a file that `berth backup` made".to_owned(),
            source: None,
        };
        let found = |source: sqlx::Error| match source.as_database_error().map(main_code).as_deref() {
            Some("26") => refused("it is no backup of Berth's".to_owned()),
            Some("11") => refused("it is damaged".to_owned()),
            _ => cannot_open(&database, source),
        };
        let mut connection = connect(copy).await.map_err(found)?;
        let is_one: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'berth_backup')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(found)?;
        if !is_one {
            return Err(refused("it is no backup of Berth's".to_owned()));
        }
        let said: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await.map_err(found)?;
        if said != "ok" {
            return Err(refused(format!("it is damaged: {said}")));
        }
        let facts: Vec<(String, String)> = sqlx::query_as("SELECT name, value FROM berth_backup")
            .fetch_all(&mut connection)
            .await
            .map_err(found)?;
        connection.close().await.map_err(found)?;
        Ok(Self {
            copy: copy.to_owned(),
            facts: facts.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        })
    }

    /// What was written beside the rows.
    pub fn facts(&self) -> &Secrets {
        &self.facts
    }

    /// Makes a database of it: without what is known beside the rows, with the tables of this version, and with instances whose
    /// hosts take what is restored for newer than what they have.
    ///
    /// # Errors
    /// [`StoreError::Newer`], and what the database says.
    pub async fn become_database(self) -> Result<Store, StoreError> {
        let database = Database::Sqlite(self.copy.clone());
        // The facts may hold the master key: it is not to stay in pages that are free.
        let facts_go = async {
            let mut connection = connect(&self.copy).await?;
            connection.execute("PRAGMA secure_delete = ON").await?;
            connection.execute("DROP TABLE berth_backup").await?;
            connection.close().await
        };
        facts_go.await.map_err(|source| cannot_open(&database, source))?;
        let store = Store::open(&database).await?;
        let Dialect::Sqlite(pools) = store.dialect() else { return Ok(store) };
        sqlx::query("UPDATE account_tool_instances SET generation = generation + $1")
            .bind(LATER)
            .execute(&pools.write)
            .await
            .map_err(StoreError::from_driver)?;
        Ok(store)
    }
}

/// Copies everything of a restored file into a PostgreSQL database that has no account yet, all of it or nothing.
///
/// # Errors
/// [`StoreError::CannotOpen`] when something is there, and what the databases say.
pub async fn copy(from: &Store, into: &Database) -> Result<(), StoreError> {
    let store = Store::open(into).await?;
    let copied = match (from.dialect(), store.dialect()) {
        (Dialect::Sqlite(from), Dialect::Postgres(to)) => {
            let mut from = from.write.acquire().await.map_err(StoreError::from_driver)?;
            into_postgres(&mut from, to).await.map_err(StoreError::from_driver)
        }
        _ => Ok(false),
    };
    store.close().await;
    if copied? {
        return Ok(());
    }
    Err(StoreError::CannotOpen {
        database: into.to_string(),
        problem: "there is a Berth in it already".to_owned(),
        fix: "give an empty one".to_owned(),
        source: None,
    })
}

/// A connection to a file of which nothing but the file is left when it is closed.
async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Delete)
        .foreign_keys(false);
    options.connect().await
}

async fn put_facts(to: &mut SqliteConnection, facts: &Secrets) -> Result<(), sqlx::Error> {
    to.execute("CREATE TABLE berth_backup (name text NOT NULL PRIMARY KEY, value text NOT NULL)").await?;
    for (name, value) in facts {
        sqlx::query("INSERT INTO berth_backup (name, value) VALUES ($1, $2)")
            .bind(name)
            .bind(value.expose())
            .execute(&mut *to)
            .await?;
    }
    Ok(())
}

/// A table and its columns, each in double quotes.
struct Table {
    name: String,
    columns: Vec<String>,
}

impl Table {
    fn list(&self) -> String {
        self.columns.join(", ")
    }
}

/// Every table, after those that it refers to.
async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
            AND name NOT IN ('_sqlx_migrations', 'berth_backup') ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut waiting = Vec::new();
    for name in names {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT '\"' || name || '\"' FROM pragma_table_info($1) ORDER BY cid")
                .bind(&name)
                .fetch_all(&mut *connection)
                .await?;
        let parents: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)")
                .bind(&name)
                .fetch_all(&mut *connection)
                .await?;
        waiting.push((Table { name, columns }, parents));
    }
    let mut ordered: Vec<Table> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let before = ordered.len();
        let mut left = Vec::new();
        for (table, parents) in waiting {
            let is_there =
                |parent: &String| *parent == table.name || ordered.iter().any(|table| table.name == *parent);
            if parents.iter().all(is_there) {
                ordered.push(table);
            } else {
                left.push((table, parents));
            }
        }
        if ordered.len() == before {
            // Tables that refer to each other: a test would have found them.
            ordered.extend(left.drain(..).map(|(table, _)| table));
        }
        waiting = left;
    }
    Ok(ordered)
}

/// Rows as one JSON array.
fn array(rows: &[String]) -> String {
    format!("[{}]", rows.join(","))
}

async fn from_postgres(pool: &PgPool, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let tables = tables(to).await?;
    let mut from = pool.begin().await?;
    from.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let mut to = to.begin().await?;
    for table in &tables {
        let name = &table.name;
        // What the migrations put there is in the other database as well, and may have been changed there.
        to.execute(AssertSqlSafe(format!("DELETE FROM {name}"))).await?;
        from.execute(AssertSqlSafe(format!(
            "DECLARE berth_backup NO SCROLL CURSOR FOR SELECT row_to_json(it)::text FROM {name} it"
        )))
        .await?;
        let values: Vec<String> =
            table.columns.iter().map(|column| format!("json_extract(value, '$.{column}')")).collect();
        let put =
            format!("INSERT INTO {name} ({}) SELECT {} FROM json_each($1)", table.list(), values.join(", "));
        loop {
            let rows: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(format!("FETCH {ROWS} FROM berth_backup")))
                    .fetch_all(&mut *from)
                    .await?;
            if rows.is_empty() {
                break;
            }
            sqlx::query(AssertSqlSafe(put.clone())).bind(array(&rows)).execute(&mut *to).await?;
        }
        from.execute("CLOSE berth_backup").await?;
    }
    to.commit().await
}

/// Whether there was nothing, so that everything could be copied.
async fn into_postgres(from: &mut SqliteConnection, pool: &PgPool) -> Result<bool, sqlx::Error> {
    let tables = tables(from).await?;
    let mut to = pool.begin().await?;
    let is_used: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM accounts)").fetch_one(&mut *to).await?;
    if is_used {
        return Ok(false);
    }
    for table in tables.iter().rev() {
        to.execute(AssertSqlSafe(format!("DELETE FROM {}", table.name))).await?;
    }
    for table in &tables {
        into_table(from, &mut to, table).await?;
    }
    to.commit().await?;
    Ok(true)
}

async fn into_table(
    from: &mut SqliteConnection,
    to: &mut PgConnection,
    table: &Table,
) -> Result<(), sqlx::Error> {
    let (name, list) = (&table.name, table.list());
    let pairs: Vec<String> =
        table.columns.iter().map(|column| format!("'{}', {column}", column.trim_matches('"'))).collect();
    let get = format!(
        "SELECT rowid, json_object({}) FROM {name} WHERE $1 < rowid ORDER BY rowid LIMIT {ROWS}",
        pairs.join(", ")
    );
    let put = format!(
        "INSERT INTO {name} ({list}) SELECT {list} FROM json_populate_recordset(NULL::{name}, $1::json)"
    );
    let mut after = i64::MIN;
    loop {
        let rows: Vec<(i64, String)> =
            sqlx::query_as(AssertSqlSafe(get.clone())).bind(after).fetch_all(&mut *from).await?;
        let Some((final_id, _)) = rows.last() else { return Ok(()) };
        after = *final_id;
        let rows: Vec<String> = rows.into_iter().map(|(_, row)| row).collect();
        sqlx::query(AssertSqlSafe(put.clone())).bind(array(&rows)).execute(&mut *to).await?;
    }
}
