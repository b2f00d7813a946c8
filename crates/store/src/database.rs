//! Which database: a file or a PostgreSQL server, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;

use crate::StoreError;

/// Where the tables are.
#[derive(Clone)]
pub enum Database {
    /// A file; made when it does not exist, in a directory that does.
    Sqlite(PathBuf),
    /// A PostgreSQL database. The options hold a password: they are shown by [`fmt::Display`] only.
    Postgres(Box<PgConnectOptions>),
}

impl Database {
    /// Reads `sqlite:PATH`, a plain path, `postgres://USER:PASSWORD@HOST:PORT/NAME` or `postgresql://…`.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let invalid = |problem: &str| StoreError::Invalid { field: "database", problem: problem.to_owned() };
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return match PgConnectOptions::from_str(text) {
                Ok(options) => Ok(Self::Postgres(Box::new(options.application_name("berth")))),
                // The error may quote the text, which holds a password, so it is not passed on.
                Err(_) => Err(invalid(
                    "is not a PostgreSQL URL: write `postgres://USER:PASSWORD@HOST:PORT/NAME`, \
                     with special characters of the password percent-encoded",
                )),
            };
        }
        let path = match text.strip_prefix("sqlite:") {
            Some(rest) => rest.strip_prefix("//").unwrap_or(rest),
            None if text.contains("://") => {
                return Err(invalid("is of an unknown kind: write `sqlite:PATH` or `postgres://…`"));
            }
            None => text,
        };
        if path.is_empty() || path.contains('\0') {
            return Err(invalid("names no file: write `sqlite:PATH` or `postgres://…`"));
        }
        if path == ":memory:" {
            return Err(invalid("cannot be in memory: give the path of a file"));
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl fmt::Display for Database {
    /// The path, or the URL without the password and the parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(options) => {
                write!(f, "postgres://{}@", options.get_username())?;
                match options.get_socket() {
                    Some(socket) => write!(f, "{}", socket.display())?,
                    None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
                }
                write!(f, "/{}", options.get_database().unwrap_or(options.get_username()))
            }
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({self})")
    }
}
