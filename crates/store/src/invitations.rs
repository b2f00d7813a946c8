//! Invitations into an account: one-time links, by their hashes.

use api::users::Role;
use domain::ids::{AccountId, InvitationId, UserId};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::accounts::{role_of_word, role_word};
use crate::columns::{optional_text, parsed, text};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "invitations";

macro_rules! columns {
    () => {
        "id, account_id, role, name, email, created_by, created_at, expires_at"
    };
}
/// That of an invitation which can be used at `$2`.
macro_rules! is_open {
    () => {
        "accepted_at IS NULL AND revoked_at IS NULL AND expires_at > $2"
    };
}

/// One invitation (`invitations`), without its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// Its id.
    pub id: InvitationId,
    /// The account that it leads into.
    pub account: AccountId,
    /// What whoever accepts it may do there.
    pub role: Role,
    /// The name that is proposed.
    pub name: Option<String>,
    /// Whom it was made for.
    pub email: Option<String>,
    /// Who made it, while they are there.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// Keeps a new invitation. `hash` is the SHA-256 of its token in hexadecimal.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, invitation: &InvitationRow, hash: &str) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO invitations (",
        columns!(),
        ", token_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    );
    let name = optional_text("name", invitation.name.as_deref())?;
    let email = optional_text("email", invitation.email.as_deref())?;
    let hash = text("token_hash", hash)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(invitation.id.to_string())
        .bind(invitation.account.to_string())
        .bind(role_word(invitation.role))
        .bind(name)
        .bind(email)
        .bind(invitation.created_by.map(|user| user.to_string()))
        .bind(invitation.created_at.0)
        .bind(invitation.expires_at.0)
        .bind(hash)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The invitation of a hash, when it is good at that time. It is not used up by that.
pub async fn look(store: &Store, hash: &str, at: Timestamp) -> Result<Option<InvitationRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM invitations WHERE token_hash = $1 AND ", is_open!());
    let hash = text("token_hash", hash)?;
    let found: Option<InvitationRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(hash).bind(at.0).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Those for an e-mail address, in lower case, that are good at that time, the oldest first.
pub async fn of_email(store: &Store, email: &str, at: Timestamp) -> Result<Vec<InvitationRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM invitations WHERE email = $1 AND ", is_open!());
    let email = text("email", email)?;
    many(store, SQL, email, at).await
}

/// Those of an account that are good at that time, the oldest first.
pub async fn list(
    store: &Store,
    account: AccountId,
    at: Timestamp,
) -> Result<Vec<InvitationRow>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM invitations WHERE account_id = $1 AND ", is_open!());
    many(store, SQL, &account.to_string(), at).await
}

async fn many(
    store: &Store,
    sql: &'static str,
    key: &str,
    at: Timestamp,
) -> Result<Vec<InvitationRow>, StoreError> {
    let found: Vec<InvitationRaw> =
        on_pool!(store.read(), db => sqlx::query_as(sql).bind(key).bind(at.0).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<InvitationRow>, _>>()?;
    rows.sort_by_key(|row| (row.created_at, row.id));
    Ok(rows)
}

/// Uses an invitation, once; `false` when it is no good.
pub async fn accept(tx: &mut Tx, id: InvitationId, by: UserId, at: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = concat!(
        "UPDATE invitations SET accepted_at = $2, accepted_by = $3 WHERE id = $1 AND ",
        is_open!(),
        " RETURNING id"
    );
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .bind(by.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

/// Takes an invitation of the account back.
///
/// # Errors
/// [`StoreError::NotFound`] when the account has none of that id that is good at that time.
pub async fn revoke(
    tx: &mut Tx,
    account: AccountId,
    id: InvitationId,
    at: Timestamp,
) -> Result<InvitationRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE invitations SET revoked_at = $2 WHERE id = $1 AND account_id = $3 AND ",
        is_open!(),
        " RETURNING ",
        columns!()
    );
    let found: Option<InvitationRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .bind(account.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "invitation" })?.try_into()
}

#[derive(FromRow)]
struct InvitationRaw {
    id: String,
    account_id: String,
    role: String,
    name: Option<String>,
    email: Option<String>,
    created_by: Option<String>,
    created_at: i64,
    expires_at: i64,
}

impl TryFrom<InvitationRaw> for InvitationRow {
    type Error = StoreError;

    fn try_from(raw: InvitationRaw) -> Result<Self, StoreError> {
        let by = raw.created_by.as_deref().map(|id| parsed(TABLE, "created_by", id)).transpose()?;
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            role: role_of_word(&raw.role)?,
            name: raw.name,
            email: raw.email,
            created_by: by,
            created_at: Timestamp(raw.created_at),
            expires_at: Timestamp(raw.expires_at),
        })
    }
}
