//! Sessions of browsers: the hashes of their cookies, whose they are, and when they end.

use api::sessions::SignInMethod;
use domain::ids::{SessionId, UserId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{optional_text, parsed, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "user_sessions";

macro_rules! columns {
    () => {
        "id, user_id, method, user_agent, address, created_at, last_seen_at, expires_at, ended_at"
    };
}

/// One session (`user_sessions`), without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How it began.
    pub method: SignInMethod,
    /// What the browser called itself.
    pub user_agent: Option<String>,
    /// Where it came from.
    pub address: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub ended_at: Option<Timestamp>,
}

/// A session with whom it speaks for. One that has ended is found too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHolder {
    /// The session.
    pub session: SessionRow,
    /// The user's name.
    pub user_name: String,
}

/// Keeps a new session. `hash` is the SHA-256 of its cookie in hexadecimal.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, session: &SessionRow, hash: &str) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO user_sessions (",
        columns!(),
        ", token_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
    );
    let agent = optional_text("user_agent", session.user_agent.as_deref())?;
    let address = optional_text("address", session.address.as_deref())?;
    let hash = text("token_hash", hash)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(session.id.to_string())
        .bind(session.user.to_string())
        .bind(method_word(session.method))
        .bind(agent)
        .bind(address)
        .bind(session.created_at.0)
        .bind(session.last_seen_at.0)
        .bind(session.expires_at.0)
        .bind(session.ended_at.map(|at| at.0))
        .bind(hash)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The session of a hash, and whom it speaks for, whether or not it is still good.
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<SessionHolder>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        ", user_name FROM user_sessions
        JOIN (SELECT id AS of_user, name AS user_name FROM users) holders ON of_user = user_id
        WHERE token_hash = $1"
    );
    let hash = text("token_hash", hash)?;
    let found: Option<HolderRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(hash).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// A user's sessions that nobody has ended, the last used first; some may have ended by themselves.
pub async fn list(store: &Store, user: UserId) -> Result<Vec<SessionRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM user_sessions WHERE user_id = $1 AND ended_at IS NULL");
    let found: Vec<SessionRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(user.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<SessionRow>, _>>()?;
    rows.sort_by_key(|row| std::cmp::Reverse((row.last_seen_at, row.id)));
    Ok(rows)
}

/// Notes that a session was used. Time never goes back; a session that is gone is no error.
pub async fn touch(tx: &mut Tx, id: SessionId, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE user_sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Ends one of a user's sessions. One that has ended already keeps its time.
///
/// # Errors
/// [`StoreError::NotFound`] when the user has no such session.
pub async fn end(tx: &mut Tx, user: UserId, id: SessionId, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE user_sessions SET ended_at = coalesce(ended_at, $3)
        WHERE user_id = $1 AND id = $2 RETURNING id";
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(user.to_string())
        .bind(id.to_string())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(drop).ok_or(StoreError::NotFound { what: "session" })
}

/// Ends the session of a hash, when there is one that goes on.
pub async fn end_by_hash(tx: &mut Tx, hash: &str, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE user_sessions SET ended_at = $2 WHERE token_hash = $1 AND ended_at IS NULL";
    let hash = text("token_hash", hash)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(hash).bind(at.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// Ends all of a user's sessions but one, and says how many that were.
pub async fn end_others(
    tx: &mut Tx,
    user: UserId,
    but: Option<SessionId>,
    at: Timestamp,
) -> Result<usize, StoreError> {
    const SQL: &str = "UPDATE user_sessions SET ended_at = $3
        WHERE user_id = $1 AND id <> $2 AND ended_at IS NULL RETURNING id";
    let but = but.map(|id| id.to_string()).unwrap_or_default();
    let ended: Vec<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(user.to_string())
        .bind(but)
        .bind(at.0)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(ended.len())
}

/// Forgets sessions that ended, or would have ended, before `before`, or that were not used since.
pub async fn prune(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM user_sessions WHERE expires_at < $1 OR ended_at < $1 OR last_seen_at < $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(before.0).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

fn method_word(method: SignInMethod) -> &'static str {
    match method {
        SignInMethod::Password => "password",
        SignInMethod::Link => "link",
        SignInMethod::Invitation => "invitation",
        SignInMethod::Oidc => "oidc",
    }
}

#[derive(FromRow)]
struct SessionRaw {
    id: String,
    user_id: String,
    method: String,
    user_agent: Option<String>,
    address: Option<String>,
    created_at: i64,
    last_seen_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
}

impl TryFrom<SessionRaw> for SessionRow {
    type Error = StoreError;

    fn try_from(raw: SessionRaw) -> Result<Self, StoreError> {
        use SignInMethod::{Invitation, Link, Oidc, Password};
        let method = [Password, Link, Invitation, Oidc].into_iter().find(|m| method_word(*m) == raw.method);
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            user: parsed(TABLE, "user_id", &raw.user_id)?,
            method: word(TABLE, "method", &raw.method, method)?,
            user_agent: raw.user_agent,
            address: raw.address,
            created_at: Timestamp(raw.created_at),
            last_seen_at: Timestamp(raw.last_seen_at),
            expires_at: Timestamp(raw.expires_at),
            ended_at: raw.ended_at.map(Timestamp),
        })
    }
}

#[derive(FromRow)]
struct HolderRaw {
    #[sqlx(flatten)]
    session: SessionRaw,
    user_name: String,
}

impl TryFrom<HolderRaw> for SessionHolder {
    type Error = StoreError;

    fn try_from(raw: HolderRaw) -> Result<Self, StoreError> {
        Ok(Self { session: raw.session.try_into()?, user_name: raw.user_name })
    }
}
