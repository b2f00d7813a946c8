//! Between columns and domain types, in both directions.

use std::error::Error;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// A text column that holds an id or a name.
pub(crate) fn parsed<T>(table: &'static str, column: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    text.parse().map_err(|e| StoreError::Corrupt { table, column, source: Box::new(e) })
}

/// A text column that holds one of a list of words; `found` is what the list made of it.
pub(crate) fn word<T>(
    table: &'static str,
    column: &'static str,
    text: &str,
    found: Option<T>,
) -> Result<T, StoreError> {
    found.ok_or_else(|| StoreError::Corrupt {
        table,
        column,
        source: format!("`{text}` is not a word of this column").into(),
    })
}

/// A text column that holds JSON.
pub(crate) fn json<T: DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt { table, column, source: Box::new(e) })
}

/// A `bigint` column that counts and therefore is not negative.
pub(crate) fn count(table: &'static str, column: &'static str, number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|e| StoreError::Corrupt { table, column, source: Box::new(e) })
}

/// A value as JSON text. JSON escapes NUL, so the text can be stored as it is.
pub(crate) fn to_json<T: Serialize>(field: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|e| StoreError::Invalid { field, problem: format!("cannot be written as JSON: {e}") })
}

/// A count as the `bigint` that holds it.
pub(crate) fn to_bigint(field: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Invalid { field, problem: format!("is too large: {number}") })
}

/// A free text that is about to be stored. PostgreSQL cannot hold NUL and SQLite cuts at it in places, so neither is asked.
pub(crate) fn text<'a>(field: &'static str, text: &'a str) -> Result<&'a str, StoreError> {
    if text.contains('\0') {
        let problem = "contains a NUL character, which cannot be stored: remove it".to_owned();
        return Err(StoreError::Invalid { field, problem });
    }
    Ok(text)
}

/// As [`text`], for a text that may be absent.
pub(crate) fn optional_text<'a>(
    field: &'static str,
    value: Option<&'a str>,
) -> Result<Option<&'a str>, StoreError> {
    value.map(|value| text(field, value)).transpose()
}

/// A text that a host sent for people to read. Refusing it would hide the state it explains, so NUL is shown as U+FFFD.
pub(crate) fn shown(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
