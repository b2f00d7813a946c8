//! What the reconciler of droplets remembers of environments whose machine Berth makes: one row beside the environment's.

use domain::ids::EnvironmentId;
use domain::provisioning::{Fault, Firewall, Wish};
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::columns::{count, json, optional_text, parsed, shown, text, to_bigint, to_json, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "droplets";

macro_rules! columns {
    () => {
        "environment_id, wish, status_since, fault, sent_at, firewall, order_json, user_data_sealed, price_cents, \
         failures, next_try_at, trouble, provider_status"
    };
}

/// One row (`droplets`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropletRow {
    /// Of which environment.
    pub environment: EnvironmentId,
    /// What its owner wants.
    pub wish: Wish,
    /// Since when the environment is in its state, as far as that state is about making and destroying.
    pub since: Timestamp,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// When a creation was last sent, whether or not it was answered.
    pub sent_at: Option<Timestamp>,
    /// Whether its firewall is there.
    pub firewall: Firewall,
    /// What was ordered, beside what the environment's row says.
    pub order: Order,
    /// The user data of the creations that were sent, sealed: a creation that is sent again is the very same one.
    pub user_data_sealed: Option<String>,
    /// What it costs in a month, in US cents.
    pub price_cents: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Nothing is asked of the provider before.
    pub next_try_at: Timestamp,
    /// What went wrong the last time, while it is tried on.
    pub trouble: Option<String>,
    /// What the provider last said of the droplet: `new`, `active`, `off`, `archive`.
    pub provider_status: Option<String>,
}

/// What was ordered (`order_json`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Order {
    /// The name of the droplet, by which it is known as ours: the environment may get another one meanwhile.
    pub name: String,
    /// Numbers or fingerprints of the provider's SSH keys.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// Whether the firewall lets SSH in.
    #[serde(default)]
    pub allow_ssh: bool,
}

/// Keeps a new row; the environment's is there already.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &DropletRow) -> Result<(), StoreError> {
    const SQL: &str =
        "INSERT INTO droplets (environment_id, wish, status_since, firewall, order_json, price_cents)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let order = to_json("order", &row.order)?;
    let price = to_bigint("price_cents", row.price_cents)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.environment.to_string())
        .bind(row.wish.word())
        .bind(row.since.0)
        .bind(row.firewall.word())
        .bind(order)
        .bind(price)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// The row of an environment; `None` when its machine is not made by Berth.
pub async fn by_environment(store: &Store, id: EnvironmentId) -> Result<Option<DropletRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM droplets WHERE environment_id = $1");
    let found: Option<DropletRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(id.to_string()).fetch_optional(db).await)
            .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Every row of every account.
pub async fn list_all(store: &Store) -> Result<Vec<DropletRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM droplets");
    let found: Vec<DropletRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// Its owner wants it no more: the environment is `deleting` from now on, and whatever failed so far is tried anew. Whether
/// that was news.
///
/// # Errors
/// What the driver says.
pub async fn want_absent(tx: &mut Tx, id: EnvironmentId, at: Timestamp) -> Result<bool, StoreError> {
    const WISH: &str =
        "UPDATE droplets SET wish = $2, status_since = $3, fault = NULL, failures = 0, next_try_at = 0,
            trouble = NULL
        WHERE environment_id = $1 AND wish = $4";
    const STATUS: &str =
        "UPDATE account_tool_environments SET status = $2, updated_at = $3, provisioning_error_message = NULL
        WHERE id = $1";
    let changed = on_pool!(tx.connection(), db => sqlx::query(WISH)
        .bind(id.to_string())
        .bind(Wish::Absent.word())
        .bind(at.0)
        .bind(Wish::Present.word())
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    if changed == 0 {
        return Ok(false);
    }
    on_pool!(tx.connection(), db => sqlx::query(STATUS)
        .bind(id.to_string())
        .bind(EnvironmentStatus::Deleting.word())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)?;
    Ok(true)
}

/// A change of state that the reconciler found due.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The state that it had when that was found.
    pub from: EnvironmentStatus,
    /// The state that it has from now on.
    pub to: EnvironmentStatus,
    /// Why, when it failed.
    pub fault: Option<Fault>,
    /// The same for people.
    pub message: Option<&'a str>,
}

/// Changes the state, unless somebody else changed it meanwhile: a heartbeat, or its owner. Whether it did.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn advance(
    tx: &mut Tx,
    id: EnvironmentId,
    change: &Change<'_>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    const STATUS: &str =
        "UPDATE account_tool_environments SET status = $3, provisioning_error_message = $4, updated_at = $5
        WHERE id = $1 AND status = $2";
    const SINCE: &str =
        "UPDATE droplets SET status_since = $2, fault = $3, failures = 0, next_try_at = 0, trouble = NULL
        WHERE environment_id = $1";
    let message = change.message.map(shown);
    let changed = on_pool!(tx.connection(), db => sqlx::query(STATUS)
        .bind(id.to_string())
        .bind(change.from.word())
        .bind(change.to.word())
        .bind(message)
        .bind(at.0)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    if changed == 0 {
        return Ok(false);
    }
    on_pool!(tx.connection(), db => sqlx::query(SINCE)
        .bind(id.to_string())
        .bind(at.0)
        .bind(change.fault.map(Fault::word))
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)?;
    Ok(true)
}

/// Notes that a creation is about to be sent with this user data, unless nobody wants it any more. Whether it may be sent.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn note_sending(
    tx: &mut Tx,
    id: EnvironmentId,
    user_data_sealed: &str,
    at: Timestamp,
) -> Result<bool, StoreError> {
    const SQL: &str =
        "UPDATE droplets SET sent_at = $2, user_data_sealed = $3 WHERE environment_id = $1 AND wish = $4";
    let sealed = text("user_data_sealed", user_data_sealed)?;
    let changed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(at.0)
        .bind(sealed)
        .bind(Wish::Present.word())
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(0 < changed)
}

/// Notes whether its firewall is there.
///
/// # Errors
/// What the driver says.
pub async fn set_firewall(tx: &mut Tx, id: EnvironmentId, firewall: Firewall) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE droplets SET firewall = $2 WHERE environment_id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(firewall.word())
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// What the provider says of a droplet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its number; unique, so that two environments cannot have one droplet.
    pub id: u64,
    /// Its name.
    pub name: &'a str,
    /// Its size now.
    pub size: &'a str,
    /// What that costs in a month, in US cents; `None`: as before.
    pub price_cents: Option<u64>,
    /// Its public address, once it has one.
    pub address: Option<&'a str>,
    /// What it is doing.
    pub status: &'a str,
}

/// Notes what the provider says of an environment's droplet.
///
/// # Errors
/// [`StoreError::Taken`] with field `do_droplet_id`; [`StoreError::Invalid`].
pub async fn note_facts(
    tx: &mut Tx,
    id: EnvironmentId,
    facts: &Facts<'_>,
    at: Timestamp,
) -> Result<(), StoreError> {
    const MACHINE: &str =
        "UPDATE account_tool_environments SET do_droplet_id = $2, do_droplet_name = $3, size_slug = $4,
            public_ip_address = $5, updated_at = $6
        WHERE id = $1";
    const STATUS: &str = "UPDATE droplets SET provider_status = $2, price_cents = COALESCE($3, price_cents) WHERE environment_id = $1";
    let price = facts.price_cents.map(|price| to_bigint("price_cents", price)).transpose()?;
    let number = to_bigint("do_droplet_id", facts.id)?;
    let address = optional_text("public_ip_address", facts.address)?;
    on_pool!(tx.connection(), db => sqlx::query(MACHINE)
        .bind(id.to_string())
        .bind(number)
        .bind(shown(facts.name))
        .bind(shown(facts.size))
        .bind(address)
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(|error| StoreError::from_write(error, &[("do_droplet_id", &facts.id.to_string())]))?;
    on_pool!(tx.connection(), db => sqlx::query(STATUS)
        .bind(id.to_string())
        .bind(shown(facts.status))
        .bind(price)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Notes that asking the provider failed so often in a row, what it said, and when it is asked again.
///
/// # Errors
/// What the driver says.
pub async fn note_trouble(
    tx: &mut Tx,
    id: EnvironmentId,
    failures: u32,
    next_try_at: Timestamp,
    trouble: Option<&str>,
) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE droplets SET failures = $2, next_try_at = $3, trouble = $4 WHERE environment_id = $1";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(i64::from(failures))
        .bind(next_try_at.0)
        .bind(trouble.map(shown))
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct DropletRaw {
    environment_id: String,
    wish: String,
    status_since: i64,
    fault: Option<String>,
    sent_at: Option<i64>,
    firewall: String,
    order_json: String,
    user_data_sealed: Option<String>,
    price_cents: i64,
    failures: i64,
    next_try_at: i64,
    trouble: Option<String>,
    provider_status: Option<String>,
}

impl TryFrom<DropletRaw> for DropletRow {
    type Error = StoreError;

    fn try_from(raw: DropletRaw) -> Result<Self, StoreError> {
        let fault =
            raw.fault.map(|fault| word(TABLE, "fault", &fault, Fault::of_word(&fault))).transpose()?;
        Ok(Self {
            environment: parsed(TABLE, "environment_id", &raw.environment_id)?,
            wish: word(TABLE, "wish", &raw.wish, Wish::of_word(&raw.wish))?,
            since: Timestamp(raw.status_since),
            fault,
            sent_at: raw.sent_at.map(Timestamp),
            firewall: word(TABLE, "firewall", &raw.firewall, Firewall::of_word(&raw.firewall))?,
            order: json(TABLE, "order_json", &raw.order_json)?,
            user_data_sealed: raw.user_data_sealed,
            price_cents: count(TABLE, "price_cents", raw.price_cents)?,
            failures: u32::try_from(raw.failures).unwrap_or(u32::MAX),
            next_try_at: Timestamp(raw.next_try_at),
            trouble: raw.trouble,
            provider_status: raw.provider_status,
        })
    }
}
