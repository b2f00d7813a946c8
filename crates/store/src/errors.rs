//! What can go wrong in the database, by what a caller can do about it.

use std::error::Error;

use domain::ids::CatalogEntryId;
use sqlx::error::ErrorKind;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such row, or it belongs to another account. Say so to the caller.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for, such as `instance`.
        what: &'static str,
    },
    /// A value that must be unique is taken. Choose another.
    #[error("{field} `{value}` is taken")]
    Taken {
        /// The column, such as `name`.
        field: &'static str,
        /// The value that was given.
        value: String,
    },
    /// An instance names a catalog entry that does not exist. Choose another.
    #[error("the catalog has no entry {id}")]
    UnknownCatalogEntry {
        /// The id that was given.
        id: CatalogEntryId,
    },
    /// A value that no database can hold. Correct it.
    #[error("{field} {problem}")]
    Invalid {
        /// The column or the setting, such as `name`.
        field: &'static str,
        /// Completes the sentence that begins with the field.
        problem: String,
    },
    /// The database cannot be opened. The message names it and says what to do.
    #[error("cannot open the database {database}: {problem}; {fix}")]
    CannotOpen {
        /// Its path, or its URL without the password.
        database: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
        /// What the driver or the system said.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The database was written by a newer Berth.
    #[error(
        "the database {database} was made by a newer version of Berth (schema {found}, this one knows {known}); \
         start that version, or restore a backup from before the upgrade"
    )]
    Newer {
        /// Its path, or its URL without the password.
        database: String,
        /// The newest schema version found in it.
        found: i64,
        /// The newest schema version that this binary has.
        known: i64,
    },
    /// No room left on the disk of the database. Make some; nothing was written.
    #[error("no room left on the disk of the database; free some and try again, nothing was changed")]
    NoSpace {
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// The database did not answer or is too busy. Try again later.
    #[error("the database cannot be reached or is too busy")]
    Unavailable {
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds something that is not what its column means: somebody else wrote to the database.
    #[error("the database holds a broken value in {table}.{column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What the value's parser said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database refused a statement for a reason that only a defect of Berth explains.
    #[error("the database refused a statement")]
    Refused {
        /// What the driver said.
        #[source]
        source: sqlx::Error,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::NoSpace { .. } => true,
            Self::NotFound { .. }
            | Self::Taken { .. }
            | Self::UnknownCatalogEntry { .. }
            | Self::Invalid { .. }
            | Self::CannotOpen { .. }
            | Self::Newer { .. }
            | Self::Corrupt { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// Sorts what the driver said, where no constraint is the caller's business.
    pub(crate) fn from_driver(source: sqlx::Error) -> Self {
        match kind_of(&source) {
            DriverError::NoSpace => Self::NoSpace { source },
            DriverError::Unavailable => Self::Unavailable { source },
            DriverError::Other => Self::Refused { source },
        }
    }

    /// As [`Self::from_driver`], for a statement whose unique constraints are the caller's business: `values` are the
    /// fields that may be taken, with what was given.
    pub(crate) fn from_write(source: sqlx::Error, values: &[(&'static str, &str)]) -> Self {
        if let Some(field) = taken_field(&source)
            && let Some((field, value)) = values.iter().find(|(name, _)| *name == field)
        {
            return Self::Taken { field, value: (*value).to_owned() };
        }
        Self::from_driver(source)
    }
}

/// Whether the statement broke the foreign key of that name. SQLite does not say which key it was, so a function that
/// needs to know looks before it writes; PostgreSQL, where another transaction can come in between, says it.
pub(crate) fn breaks_reference(error: &sqlx::Error, constraint: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|e| e.is_foreign_key_violation() && e.constraint() == Some(constraint))
}

/// Whether another process holds SQLite's lock for longer than the busy timeout.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| sqlite_code(e) == Some(5))
}

enum DriverError {
    NoSpace,
    Unavailable,
    Other,
}

fn kind_of(error: &sqlx::Error) -> DriverError {
    match error {
        sqlx::Error::Database(e) if e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => {
            match e.code().as_deref() {
                Some("53100") => DriverError::NoSpace,
                // Connection lost, out of connections or memory, lock or statement timeout, shutting down, read-only,
                // and the two that say "try the transaction again".
                Some("55P03" | "57014" | "25006" | "40001" | "40P01") => DriverError::Unavailable,
                Some(code) if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => {
                    DriverError::Unavailable
                }
                _ => DriverError::Other,
            }
        }
        // The primary result code is in the low byte. https://www.sqlite.org/rescode.html
        sqlx::Error::Database(e) => match sqlite_code(e.as_ref()) {
            // FULL, and the growth of the shared-memory file on a full disk (IOERR_SHMSIZE).
            Some(13) => DriverError::NoSpace,
            _ if e.code().as_deref() == Some("4874") => DriverError::NoSpace,
            // BUSY, LOCKED, NOMEM, READONLY, IOERR, CANTOPEN.
            Some(5..=8 | 10 | 14) => DriverError::Unavailable,
            _ => DriverError::Other,
        },
        sqlx::Error::Io(e)
            if matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) =>
        {
            DriverError::NoSpace
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => DriverError::Unavailable,
        _ => DriverError::Other,
    }
}

/// PostgreSQL's SQLSTATE, or SQLite's primary result code without what extends it.
pub(crate) fn main_code(error: &dyn sqlx::error::DatabaseError) -> String {
    match sqlite_code(error) {
        Some(code) => code.to_string(),
        None => error.code().unwrap_or_default().into_owned(),
    }
}

fn sqlite_code(error: &dyn sqlx::error::DatabaseError) -> Option<i32> {
    error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    error.code()?.parse::<i32>().ok().map(|code| code & 0xff)
}

/// The last column of the unique constraint that a statement broke. PostgreSQL gives the constraint's name, which is
/// the table's and that column's; SQLite lists `table.column, table.column`.
fn taken_field(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    if error.kind() != ErrorKind::UniqueViolation {
        return None;
    }
    if let (Some(constraint), Some(table)) = (error.constraint(), error.table()) {
        return constraint.strip_prefix(table)?.strip_prefix('_').map(str::to_owned);
    }
    error.message().rsplit_once('.').map(|(_, column)| column.to_owned())
}
