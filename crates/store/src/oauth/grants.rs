//! What people allowed clients.

use domain::ids::{AccountId, GrantId, UserId};
use domain::names::InstanceName;
use domain::scopes::Scopes;
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::columns::{json, optional_text, parsed, text, to_json};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "oauth_grants";

macro_rules! columns {
    () => {
        "id, account_id, user_id, client_id, client_name, sent_to, instance, scopes_json, created_at, last_used_at,
         revoked_at, revoked_why"
    };
}

/// One grant (`oauth_grants`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// Its id, which access tokens name.
    pub id: GrantId,
    /// The account it opens.
    pub account: AccountId,
    /// Who allowed it, a member of the account.
    pub user: UserId,
    /// The client's id.
    pub client_id: String,
    /// What the client called itself.
    pub client_name: String,
    /// Where the person was sent back to: a host or a program's scheme.
    pub sent_to: String,
    /// The instance whose address it is for; absent: the JSON API.
    pub instance: Option<InstanceName>,
    /// What it is for.
    pub scopes: Scopes,
    /// When it was allowed.
    pub created_at: Timestamp,
    /// When a token was last made of it; absent: never yet.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why, in words.
    pub revoked_why: Option<String>,
}

/// Keeps a new grant.
///
/// # Errors
/// [`StoreError::Invalid`]; [`StoreError::NotFound`] when the user is no member of the account.
pub async fn insert(tx: &mut Tx, grant: &GrantRow) -> Result<(), StoreError> {
    // Selected from the membership, so that a user who is none gives no row rather than a broken reference.
    const SQL: &str = "INSERT INTO oauth_grants
        (id, account_id, user_id, client_id, client_name, sent_to, instance, scopes_json, created_at, last_used_at)
        SELECT $1, account_id, user_id, $4, $5, $6, $7, $8, $9, $10 FROM account_members
        WHERE account_id = $2 AND user_id = $3 RETURNING id";
    let (client_id, client_name, sent_to) = (
        text("client_id", &grant.client_id)?,
        text("client_name", &grant.client_name)?,
        text("redirect_uri", &grant.sent_to)?,
    );
    let scopes = to_json("scopes", &grant.scopes)?;
    let inserted: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(grant.id.to_string())
        .bind(grant.account.to_string())
        .bind(grant.user.to_string())
        .bind(client_id)
        .bind(client_name)
        .bind(sent_to)
        .bind(grant.instance.as_ref().map(|name| name.as_str().to_owned()))
        .bind(scopes)
        .bind(grant.created_at.0)
        .bind(grant.last_used_at.map(|at| at.0))
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    inserted.map(drop).ok_or(StoreError::NotFound { what: "member of the account" })
}

/// The grant of an id, whosever it is: for the holder of a token of it.
pub async fn by_id(store: &Store, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM oauth_grants WHERE id = $1");
    let found: Option<GrantRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// As [`by_id`], within a change.
pub async fn in_change(tx: &mut Tx, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM oauth_grants WHERE id = $1");
    let found: Option<GrantRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// An account's grants, newest first: all of them, or one user's.
pub async fn list(
    store: &Store,
    account: AccountId,
    user: Option<UserId>,
) -> Result<Vec<GrantRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM oauth_grants WHERE account_id = $1");
    let found: Vec<GrantRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<GrantRow>, _>>()?;
    rows.retain(|row| user.is_none_or(|user| row.user == user));
    rows.sort_by_key(|row| std::cmp::Reverse((row.created_at, row.id)));
    Ok(rows)
}

/// The grants of every account that were revoked since a time: for the control plane's own work.
pub async fn list_revoked(store: &Store, since: Timestamp) -> Result<Vec<GrantId>, StoreError> {
    const SQL: &str = "SELECT id FROM oauth_grants WHERE revoked_at >= $1";
    let found: Vec<String> =
        on_pool!(store.read(), db => sqlx::query_scalar(SQL).bind(since.0).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.iter().map(|id| parsed(TABLE, "id", id)).collect()
}

/// Ends a grant for ever, with a reason in words. One that is revoked already keeps its time and reason.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn revoke(tx: &mut Tx, id: GrantId, at: Timestamp, why: &str) -> Result<GrantRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE oauth_grants SET revoked_why = coalesce(revoked_why, $3), revoked_at = coalesce(revoked_at, $2)
        WHERE id = $1 RETURNING ",
        columns!()
    );
    let why = optional_text("revoked_why", Some(why))?;
    let found: Option<GrantRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .bind(why)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "grant" })?.try_into()
}

/// Notes that a token was made of a grant.
pub async fn touch(tx: &mut Tx, id: GrantId, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE oauth_grants SET last_used_at = $2 WHERE id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct GrantRaw {
    id: String,
    account_id: String,
    user_id: String,
    client_id: String,
    client_name: String,
    sent_to: String,
    instance: Option<String>,
    scopes_json: String,
    created_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    revoked_why: Option<String>,
}

impl TryFrom<GrantRaw> for GrantRow {
    type Error = StoreError;

    fn try_from(raw: GrantRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            user: parsed(TABLE, "user_id", &raw.user_id)?,
            client_id: raw.client_id,
            client_name: raw.client_name,
            sent_to: raw.sent_to,
            instance: raw.instance.as_deref().map(|name| parsed(TABLE, "instance", name)).transpose()?,
            scopes: json(TABLE, "scopes_json", &raw.scopes_json)?,
            created_at: Timestamp(raw.created_at),
            last_used_at: raw.last_used_at.map(Timestamp),
            revoked_at: raw.revoked_at.map(Timestamp),
            revoked_why: raw.revoked_why,
        })
    }
}
