//! Toolbelts: one address over what several instances have. Every function that acts on what a caller named takes the caller's account
//! and finds nothing of another's; whatever people change makes the toolbelt's generation grow in the same transaction.

use domain::ids::{AccountId, AgentId, InstanceId, ToolbeltId};
use domain::names::{AccountName, InstanceName};
use domain::time::Timestamp;
use domain::toolbelts::{Mode, OnChange};
use sqlx::FromRow;

use crate::columns::{count, optional_text, parsed, to_bigint, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx, instances};

const TABLE: &str = "toolbelts";

macro_rules! columns {
    () => {
        "id, account_id, name, agent_id, description, mode, on_change, generation, created_at, updated_at"
    };
}

mod features;
mod items;
pub use features::{
    FeatureChange, FeatureCount, FeatureRow, approve, approve_all, feature_by_shown_name, feature_counts,
    features, put_features, set_feature,
};
pub use items::{ItemRow, add_item, item, items, of_instance, remove_item, set_active};

/// One toolbelt (`toolbelts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolbeltRow {
    /// Its id.
    pub id: ToolbeltId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name: unique among the account's toolbelts and instances, and its address.
    pub name: InstanceName,
    /// The agent that it is for; absent: it is for whoever may call it.
    pub agent: Option<AgentId>,
    /// What people say of it.
    pub description: Option<String>,
    /// How it shows its tools.
    pub mode: Mode,
    /// What it does with tools whose definitions change.
    pub on_change: OnChange,
    /// Grows with every change by people; the first is 1.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When somebody last changed it.
    pub updated_at: Timestamp,
}

/// A toolbelt with the name of its account, which its address begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressedToolbelt {
    /// The toolbelt.
    pub toolbelt: ToolbeltRow,
    /// The account's name.
    pub account_name: AccountName,
}

/// Keeps a new toolbelt, whose agent, where it has one, is of its account.
///
/// # Errors
/// [`StoreError::Taken`] with field `name`, also where an instance has it, or `agent_id`; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &ToolbeltRow) -> Result<(), StoreError> {
    const SQL: &str =
        concat!("INSERT INTO toolbelts (", columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    let description = optional_text("description", row.description.as_deref())?;
    let generation = to_bigint("generation", row.generation)?;
    let agent = row.agent.map(|id| id.to_string());
    lock_names(tx, row.account).await?;
    if instances::is_taken(tx, row.account, &row.name).await? {
        return Err(StoreError::Taken { field: "name", value: row.name.to_string() });
    }
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(row.name.as_str())
        .bind(agent.as_deref())
        .bind(description)
        .bind(row.mode.word())
        .bind(row.on_change.word())
        .bind(generation)
        .bind(row.created_at.0)
        .bind(row.updated_at.0)
        .execute(db).await.map(drop))
    .map_err(|e| {
        let agent = agent.as_deref().unwrap_or_default();
        StoreError::from_write(e, &[("name", row.name.as_str()), ("agent_id", agent)])
    })
}

/// Whether a toolbelt of the account has a name. Until the transaction ends no other one takes a name in the account.
pub async fn has_name(tx: &mut Tx, account: AccountId, name: &InstanceName) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT id FROM toolbelts WHERE account_id = $1 AND name = $2";
    lock_names(tx, account).await?;
    let found: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.is_some())
}

/// Names are unique over two tables, which no constraint can say.
async fn lock_names(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE accounts SET name = name WHERE id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL).bind(account.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)
}

/// Every toolbelt of every account: for the control plane's own work.
pub async fn all(store: &Store) -> Result<Vec<AddressedToolbelt>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        ", account_name FROM toolbelts
        JOIN (SELECT id AS of_account, name AS account_name FROM accounts) named ON of_account = account_id
        ORDER BY id"
    );
    let found: Vec<AddressedRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// An account's toolbelts, by name.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<ToolbeltRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM toolbelts WHERE account_id = $1");
    let found: Vec<ToolbeltRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<ToolbeltRow>, _>>()?;
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

/// An account's toolbelt of a name.
pub async fn find(
    store: &Store,
    account: AccountId,
    name: &InstanceName,
) -> Result<Option<ToolbeltRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM toolbelts WHERE account_id = $1 AND name = $2");
    let found: Option<ToolbeltRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(name.as_str())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// The toolbelt of an id, whosever it is: for the control plane's own work, not for what a caller named.
pub async fn by_id(store: &Store, id: ToolbeltId) -> Result<Option<ToolbeltRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM toolbelts WHERE id = $1");
    one(store, SQL, id.to_string()).await
}

/// An agent's toolbelt.
pub async fn of_agent(store: &Store, agent: AgentId) -> Result<Option<ToolbeltRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM toolbelts WHERE agent_id = $1");
    one(store, SQL, agent.to_string()).await
}

async fn one(store: &Store, sql: &'static str, id: String) -> Result<Option<ToolbeltRow>, StoreError> {
    let found: Option<ToolbeltRaw> =
        on_pool!(store.read(), db => sqlx::query_as(sql).bind(id).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// What people set of a toolbelt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What they say of it.
    pub description: Option<String>,
    /// How it shows its tools.
    pub mode: Mode,
    /// What it does with tools whose definitions change.
    pub on_change: OnChange,
}

/// Changes what people set of a toolbelt of the account. Its generation grows.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`].
pub async fn set(
    tx: &mut Tx,
    account: AccountId,
    id: ToolbeltId,
    settings: &Settings,
    at: Timestamp,
) -> Result<ToolbeltRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE toolbelts SET description = $3, mode = $4, on_change = $5, generation = generation + 1,
            updated_at = $6
        WHERE account_id = $1 AND id = $2 RETURNING ",
        columns!()
    );
    let description = optional_text("description", settings.description.as_deref())?;
    let found: Option<ToolbeltRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .bind(description)
        .bind(settings.mode.word())
        .bind(settings.on_change.word())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "toolbelt" })?.try_into()
}

/// Removes a toolbelt of the account, with its members and all that is known of them; no instance is touched.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn remove(tx: &mut Tx, account: AccountId, id: ToolbeltId) -> Result<ToolbeltRow, StoreError> {
    const SQL: &str =
        concat!("DELETE FROM toolbelts WHERE account_id = $1 AND id = $2 RETURNING ", columns!());
    let found: Option<ToolbeltRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "toolbelt" })?.try_into()
}

/// Makes a toolbelt's generation grow; the new one. What is gone is no error.
pub async fn touch(tx: &mut Tx, id: ToolbeltId) -> Result<Option<u64>, StoreError> {
    const SQL: &str = "UPDATE toolbelts SET generation = generation + 1 WHERE id = $1 RETURNING generation";
    let found: Option<i64> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(|generation| count(TABLE, "generation", generation)).transpose()
}

/// Makes the generations of all toolbelts grow that an instance is in: before it goes.
pub async fn touch_of_instance(tx: &mut Tx, instance: InstanceId) -> Result<Vec<ToolbeltId>, StoreError> {
    const SQL: &str = "UPDATE toolbelts SET generation = generation + 1
        WHERE id IN (SELECT toolbelt_id FROM agent_toolbelt_items WHERE account_tool_instance_id = $1)
        RETURNING id";
    let found: Vec<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(instance.to_string())
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    found.iter().map(|id| parsed(TABLE, "id", id)).collect()
}

#[derive(FromRow)]
struct ToolbeltRaw {
    id: String,
    account_id: String,
    name: String,
    agent_id: Option<String>,
    description: Option<String>,
    mode: String,
    on_change: String,
    generation: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<ToolbeltRaw> for ToolbeltRow {
    type Error = StoreError;

    fn try_from(raw: ToolbeltRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            name: parsed(TABLE, "name", &raw.name)?,
            agent: raw.agent_id.map(|id| parsed(TABLE, "agent_id", &id)).transpose()?,
            description: raw.description,
            mode: word(TABLE, "mode", &raw.mode, Mode::of_word(&raw.mode))?,
            on_change: word(TABLE, "on_change", &raw.on_change, OnChange::of_word(&raw.on_change))?,
            generation: count(TABLE, "generation", raw.generation)?,
            created_at: Timestamp(raw.created_at),
            updated_at: Timestamp(raw.updated_at),
        })
    }
}

#[derive(FromRow)]
struct AddressedRaw {
    #[sqlx(flatten)]
    toolbelt: ToolbeltRaw,
    account_name: String,
}

impl TryFrom<AddressedRaw> for AddressedToolbelt {
    type Error = StoreError;

    fn try_from(raw: AddressedRaw) -> Result<Self, StoreError> {
        Ok(Self {
            toolbelt: raw.toolbelt.try_into()?,
            account_name: parsed("accounts", "name", &raw.account_name)?,
        })
    }
}
