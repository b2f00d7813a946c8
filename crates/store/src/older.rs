//! Databases of the older platform: read in one snapshot, never written. Which of its generations one is, its tables and columns say.
//!
//! Rows are read as PostgreSQL's own JSON, so that a column that a generation lacks, or has under another name, is a member that is
//! absent and not an error. One file maps each family of tables; nothing here decides what becomes of a row.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::errors::main_code;
use crate::open::{cannot_open, connect_postgres};
use crate::{Database, StoreError};

mod active_tools;
mod agents;
mod catalog;
mod droplets;
mod environments;
mod instances;
mod mcp;
mod model;
mod row;
mod vault;

pub use model::{
    Address, Generation, Older, OlderAccess, OlderAgent, OlderCredential, OlderEntry, OlderEnvironment,
    OlderInstance, OlderItem, OlderPermission, OlderRemote, OlderToolbox, OlderUser, Unread, Vault,
};
use row::Row;

/// For one statement: a table of a platform with many users takes a while over a slow line.
const PATIENCE: Duration = Duration::from_mins(2);

/// The tables that rows are taken from.
const READ: [&str; 16] = [
    "account_tool_environments",
    "account_tool_instances",
    "account_tool_environment_active_tools",
    "agent_droplets",
    "agent_droplet_tools",
    "tool_catalog",
    "mcp_server_catalog",
    "agents",
    "agent_toolbox_access",
    "agent_toolbelt_items",
    "agent_tool_credentials",
    "agent_tool_capability_permissions",
    "agent_mcp_server_access",
    "mcp_configurations",
    "mcp_servers",
    "agent_mcp_connections",
];

/// A database has something of the older platform when it has one of these.
const KNOWN_BY: [&str; 7] = [
    "account_tool_environments",
    "account_tool_instances",
    "account_tool_environment_active_tools",
    "agent_droplets",
    "mcp_server_catalog",
    "mcp_servers",
    "agent_mcp_connections",
];

/// Tables that have nothing for Berth, and why.
const LEFT: [(&str, &str); 13] = [
    ("mcp_server_deployments", "nothing was ever run from it: what ran are instances"),
    ("mcp_tools_cache", "definitions are asked of the servers themselves"),
    ("agent_mcp_connection_logs", "logs of the older platform stay there"),
    ("mcp_server_status_logs", "logs of the older platform stay there"),
    ("admin_operation_logs", "logs of the older platform stay there"),
    ("user_ssh_keys", "Berth reaches hosts by its own host agent and never by SSH"),
    ("organizations", "an account is what an organization was: invite its members into one"),
    ("organization_members", "invite them into an account"),
    ("organization_memberships", "invite them into an account"),
    ("organization_invitations", "invite them into an account"),
    ("organization_api_keys", "tokens are made anew: `berth token create`"),
    ("account_tool_environment_logs", "logs of the older platform stay there"),
    ("user_roles", "roles are those of accounts: `berth member role`"),
];

/// What is in a database, before anything is made of it.
#[derive(Debug, Default)]
struct Tables {
    columns: BTreeMap<(String, String), BTreeSet<String>>,
    rows: BTreeMap<&'static str, Vec<Row>>,
}

impl Tables {
    fn has(&self, table: &str) -> bool {
        self.columns.contains_key(&("public".to_owned(), table.to_owned()))
    }

    fn has_column(&self, table: &str, column: &str) -> bool {
        let columns = self.columns.get(&("public".to_owned(), table.to_owned()));
        columns.is_some_and(|columns| columns.contains(column))
    }

    fn rows(&self, table: &str) -> &[Row] {
        self.rows.get(table).map_or(&[], Vec::as_slice)
    }
}

/// Reads all that Berth knows what to do with, in one snapshot, and of the vault the secrets that it refers to.
///
/// # Errors
/// [`StoreError::Invalid`] for what is no PostgreSQL URL; [`StoreError::CannotOpen`] when there is no such database, it has none of the
/// older platform's tables, or a table may not be read.
pub async fn read(url: &str) -> Result<Older, StoreError> {
    if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
        let problem = "is not a PostgreSQL URL: write `postgres://USER:PASSWORD@HOST:PORT/NAME`".to_owned();
        return Err(StoreError::Invalid { field: "url", problem });
    }
    let database = Database::parse(url)?;
    let Database::Postgres(options) = &database else {
        return Err(StoreError::Invalid { field: "url", problem: "is not a PostgreSQL URL".to_owned() });
    };
    // A pooler in between may give each transaction another connection, which knows no prepared statement.
    let options = options.as_ref().clone().application_name("berth import").statement_cache_capacity(0);
    let mut connection = connect_postgres(&database, &options).await?;
    let reading = tokio::time::timeout(PATIENCE, snapshot(&database, &mut connection));
    let (tables, counts, users) = match reading.await {
        Ok(read) => read?,
        Err(_) => return Err(cannot_open(&database, sqlx::Error::PoolTimedOut)),
    };
    let mut older = map(&tables);
    older.unread.extend(counts);
    older.users = users;
    older.vault = vault::open(&mut connection, &tables, &older.secret_ids()).await;
    // What was read is read, however the farewell goes.
    let _ = connection.close().await;
    Ok(older)
}

async fn snapshot(
    database: &Database,
    connection: &mut PgConnection,
) -> Result<(Tables, Vec<Unread>, Option<Vec<OlderUser>>), StoreError> {
    let failed = |source| cannot_open(database, source);
    let mut tx = connection.begin().await.map_err(failed)?;
    // Policies would hide rows and say nothing of it; without them it is an error.
    for setting in [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL row_security = off",
        "SET LOCAL TimeZone = 'UTC'",
    ] {
        tx.execute(setting).await.map_err(failed)?;
    }
    let mut tables = Tables::default();
    for (schema, table, column) in columns(&mut tx).await.map_err(failed)? {
        tables.columns.entry((schema, table)).or_default().insert(column);
    }
    if !KNOWN_BY.iter().any(|table| tables.has(table)) {
        return Err(StoreError::CannotOpen {
            database: database.to_string(),
            problem: "it has none of the older platform's tables in its schema `public`".to_owned(),
            fix: format!("name the database that has {}", listed(&KNOWN_BY[..4])),
            source: None,
        });
    }
    for table in READ {
        if tables.has(table) {
            let rows = rows(&mut tx, "public", table).await;
            let rows = rows.map_err(|source| unreadable(database, table, source))?;
            tables.rows.insert(table, rows);
        }
    }
    let mut counts = Vec::new();
    for (table, why) in LEFT {
        if tables.has(table) {
            let sql = format!("SELECT count(*) FROM public.{table}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut *tx)
                .await
                .map_err(|source| unreadable(database, table, source))?;
            if count != 0 {
                counts.push(Unread { table, id: None, count: count.unsigned_abs(), why: why.to_owned() });
            }
        }
    }
    // Names and addresses of people are worth having and not worth failing for.
    let users = if tables.columns.contains_key(&("auth".to_owned(), "users".to_owned())) {
        tx.execute("SAVEPOINT people").await.map_err(failed)?;
        if let Ok(rows) = rows(&mut tx, "auth", "users").await {
            Some(rows.iter().filter_map(model::OlderUser::of).collect())
        } else {
            tx.execute("ROLLBACK TO SAVEPOINT people").await.map_err(failed)?;
            None
        }
    } else {
        None
    };
    tx.rollback().await.map_err(failed)?;
    Ok((tables, counts, users))
}

async fn columns(tx: &mut PgConnection) -> Result<Vec<(String, String, String)>, sqlx::Error> {
    // From the system's tables: the standard's views show only what the user may read.
    const SQL: &str = "SELECT n.nspname::text, c.relname::text, a.attname::text
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
        WHERE n.nspname IN ('public', 'auth', 'vault') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND a.attnum > 0 AND NOT a.attisdropped";
    sqlx::query_as(SQL).fetch_all(tx).await
}

async fn rows(tx: &mut PgConnection, schema: &str, table: &'static str) -> Result<Vec<Row>, sqlx::Error> {
    let sql = format!("SELECT to_jsonb(t)::text FROM {schema}.{table} t");
    let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(tx).await?;
    let mut rows: Vec<Row> = found.iter().filter_map(|text| Row::read(table, text)).collect();
    rows.sort_by_key(Row::place);
    Ok(rows)
}

fn unreadable(database: &Database, table: &str, source: sqlx::Error) -> StoreError {
    if source.as_database_error().map(main_code).as_deref() != Some("42501") {
        return cannot_open(database, source);
    }
    StoreError::CannotOpen {
        database: database.to_string(),
        problem: format!("the user of the URL may not read all of the table `{table}`"),
        fix: "give the URL of the tables' owner, or of a user with SELECT on them and BYPASSRLS".to_owned(),
        source: Some(Box::new(source)),
    }
}

/// Makes of the rows what they mean, in every generation that is there.
fn map(tables: &Tables) -> Older {
    let mut older = Older::default();
    environments::take(tables, &mut older);
    instances::take(tables, &mut older);
    active_tools::take(tables, &mut older);
    droplets::take(tables, &mut older);
    catalog::take(tables, &mut older);
    agents::take(tables, &mut older);
    mcp::take(tables, &mut older);
    older
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(rows: &[(&'static str, &str)]) -> Tables {
        let mut tables = Tables::default();
        for (table, text) in rows {
            let row = Row::read(table, text).unwrap();
            let columns = tables.columns.entry(("public".to_owned(), (*table).to_owned())).or_default();
            columns.extend(row.names().map(str::to_owned));
            tables.rows.entry(table).or_default().push(row);
        }
        tables
    }

    #[test]
    fn generations_are_told_by_tables_and_columns() {
        let id = "00000000-0000-0000-0000-0000000000a1";
        let generations = |rows: &[(&'static str, &str)]| {
            map(&tables(rows)).generations.into_iter().map(Generation::word).collect::<Vec<_>>()
        };
        let row = format!(r#"{{"id": "{id}"}}"#);
        assert_eq!(generations(&[("agent_droplets", &row)]), ["droplets"]);
        let active = format!(r#"{{"id": "{id}", "account_tool_environment_id": "{id}", "enabled": true}}"#);
        let rows = [("account_tool_environments", &*row), ("account_tool_environment_active_tools", &active)];
        assert_eq!(generations(&rows), ["active-tools"]);
        let rows = [("account_tool_environments", &*row), ("account_tool_instances", &active)];
        assert_eq!(generations(&rows), ["instances"]);
        assert_eq!(generations(&[("mcp_server_catalog", &row)]), ["mcp"]);
    }

    #[test]
    fn what_lacks_what_it_must_have_is_told_and_not_dropped() {
        let row = r#"{"name": "no id"}"#;
        let older = map(&tables(&[("account_tool_environments", row), ("account_tool_instances", row)]));
        assert!(older.environments.is_empty() && older.instances.is_empty());
        let told: Vec<_> = older.unread.iter().map(|unread| unread.table).collect();
        assert_eq!(told, ["account_tool_environments", "account_tool_instances"]);
    }

    #[test]
    fn both_names_of_a_column_are_read() {
        let id = "00000000-0000-0000-0000-0000000000a1";
        for column in ["ip_address", "public_ip_address"] {
            let row = format!(r#"{{"id": "{id}", "{column}": "203.0.113.7/32", "do_droplet_id": 7}}"#);
            let older = map(&tables(&[("account_tool_environments", &row)]));
            assert_eq!(older.environments[0].address.as_deref(), Some("203.0.113.7"), "{column}");
            assert_eq!(older.environments[0].droplet, Some(7));
        }
    }
}
