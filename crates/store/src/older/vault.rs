//! The older platform's secrets: Supabase's vault, by its view where that may be read, else by the platform's own function.

use std::collections::BTreeSet;

use domain::secret::Secret;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Tables;
use super::model::Vault;

/// Opens what can be opened; why the rest could not be is said.
pub(super) async fn open(connection: &mut PgConnection, tables: &Tables, wanted: &BTreeSet<Uuid>) -> Vault {
    let mut vault = Vault::default();
    if wanted.is_empty() {
        return vault;
    }
    let has_view = tables.columns.contains_key(&("vault".to_owned(), "decrypted_secrets".to_owned()));
    if has_view && let Err(error) = by_view(connection, wanted, &mut vault).await {
        vault.why = Some(format!("the view vault.decrypted_secrets cannot be read ({})", said(&error)));
    }
    if vault.opened.len() < wanted.len() {
        match by_function(connection, wanted, &mut vault).await {
            Ok(()) => {}
            Err(error) => vault.why = Some(format!("get_secret refused ({})", said(&error))),
        }
    }
    if vault.opened.len() < wanted.len() && vault.why.is_none() {
        vault.why = Some(if has_view {
            "the vault has no such secret, or no longer its key".to_owned()
        } else {
            "the database has no vault.decrypted_secrets".to_owned()
        });
    }
    vault
}

async fn by_view(
    connection: &mut PgConnection,
    wanted: &BTreeSet<Uuid>,
    vault: &mut Vault,
) -> Result<(), sqlx::Error> {
    const SQL: &str =
        "SELECT id::text, decrypted_secret::text FROM vault.decrypted_secrets WHERE id::text = ANY($1)";
    let ids: Vec<String> = wanted.iter().map(Uuid::to_string).collect();
    let found: Vec<(String, Option<String>)> = sqlx::query_as(SQL).bind(ids).fetch_all(connection).await?;
    for (id, value) in found {
        if let (Ok(id), Some(value)) = (id.parse(), value) {
            vault.opened.insert(id, Secret::new(value));
        }
    }
    Ok(())
}

async fn by_function(
    connection: &mut PgConnection,
    wanted: &BTreeSet<Uuid>,
    vault: &mut Vault,
) -> Result<(), sqlx::Error> {
    const FIND: &str = "SELECT t.typname::text FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
        WHERE n.nspname = 'public' AND p.proname = 'get_secret' AND p.pronargs = 1";
    let kinds: Vec<String> = sqlx::query_scalar(FIND).fetch_all(&mut *connection).await?;
    let Some(kind) = ["uuid", "text"].into_iter().find(|kind| kinds.iter().any(|known| known == kind)) else {
        return Ok(());
    };
    let sql = format!("SELECT to_jsonb(r)::text FROM public.get_secret($1::text::{kind}) AS r");
    for id in wanted {
        if vault.opened.contains_key(id) {
            continue;
        }
        let found: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
            .bind(id.to_string())
            .fetch_all(&mut *connection)
            .await?;
        let value = found.into_iter().flatten().find_map(|text| value_of(serde_json::from_str(&text).ok()?));
        if let Some(value) = value {
            vault.opened.insert(*id, Secret::new(value));
        }
    }
    Ok(())
}

/// It gives a text, or a row whose member `key` is the text.
fn value_of(given: Value) -> Option<String> {
    match given {
        Value::String(text) => Some(text),
        Value::Object(mut row) => match row.remove("key").or_else(|| row.remove("decrypted_secret"))? {
            Value::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// What the server says names objects and never values.
fn said(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .map_or_else(|| "the connection was lost".to_owned(), |error| error.message().to_owned())
}
