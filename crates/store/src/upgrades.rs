//! Changes of hosts to another binary, in waves: what was asked for, and how far each host is.

use domain::ids::{AccountId, EnvironmentId, InstanceId, UpgradeId};
use domain::program::ProgramDigest;
use domain::time::Timestamp;
use domain::waves::HostState;
use sqlx::FromRow;

use crate::columns::{count, json, optional_text, parsed, shown, text, to_bigint, to_json, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "upgrades";
const HOSTS: &str = "upgrade_hosts";

macro_rules! columns {
    () => {
        "id, account_id, program, version, state, message, created_at, ended_at"
    };
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeState {
    /// Hosts are being changed, or wait for their wave.
    Running,
    /// All are changed.
    Done,
    /// One could not be, so the rest was left as it was.
    Failed,
}

impl UpgradeState {
    /// The word as the table has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Failed].into_iter().find(|state| state.word() == word)
    }
}

/// One upgrade (`upgrades`) with its hosts, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRow {
    /// Its id.
    pub id: UpgradeId,
    /// Whose hosts.
    pub account: AccountId,
    /// To which binary.
    pub program: ProgramDigest,
    /// Its version.
    pub version: String,
    /// How far it is.
    pub state: UpgradeState,
    /// Why it failed.
    pub message: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The hosts that are still there.
    pub hosts: Vec<HostRow>,
}

/// One host of an upgrade (`upgrade_hosts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Which.
    pub environment: EnvironmentId,
    /// In which wave, from 0.
    pub wave: usize,
    /// How far it is.
    pub state: HostState,
    /// Since when.
    pub since: Timestamp,
    /// The instances that ran there when it was begun.
    pub running: Vec<InstanceId>,
    /// What it waits for, or why it failed.
    pub message: Option<String>,
}

/// Keeps a new upgrade.
///
/// # Errors
/// [`StoreError::Taken`] with field `upgrade` while the account has one under way; [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &UpgradeRow) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO upgrades (id, account_id, program, version, state, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    const HOST: &str = "INSERT INTO upgrade_hosts (upgrade_id, environment_id, place, wave, state, since)
        VALUES ($1, $2, $3, $4, $5, $6)";
    let version = text("version", &row.version)?;
    let made = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(row.program.as_str())
        .bind(version)
        .bind(row.state.word())
        .bind(row.created_at.0)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    if made == 0 {
        return Err(StoreError::Taken { field: "upgrade", value: "one is under way".to_owned() });
    }
    for (place, host) in row.hosts.iter().enumerate() {
        let (place, wave) = (to_bigint("place", place as u64)?, to_bigint("wave", host.wave as u64)?);
        on_pool!(tx.connection(), db => sqlx::query(HOST)
            .bind(row.id.to_string())
            .bind(host.environment.to_string())
            .bind(place)
            .bind(wave)
            .bind(host.state.word())
            .bind(host.since.0)
            .execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    }
    Ok(())
}

/// Changes how far a host is. Whether it was `before`, and not changed by another process meanwhile.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn set_host(
    tx: &mut Tx,
    upgrade: UpgradeId,
    before: HostState,
    now: &HostRow,
) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE upgrade_hosts SET state = $3, since = $4, running_json = $5, message = $6
        WHERE upgrade_id = $1 AND environment_id = $2 AND state = $7";
    let running = to_json("running", &now.running)?;
    let message = now.message.as_deref().map(shown);
    let changed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(upgrade.to_string())
        .bind(now.environment.to_string())
        .bind(now.state.word())
        .bind(now.since.0)
        .bind(running)
        .bind(message)
        .bind(before.word())
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed == 1)
}

/// Ends an upgrade that is under way.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn end(
    tx: &mut Tx,
    id: UpgradeId,
    state: UpgradeState,
    message: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str =
        "UPDATE upgrades SET state = $2, message = $3, ended_at = $4 WHERE id = $1 AND state = 'running'";
    let message = optional_text("message", message)?;
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(id.to_string())
        .bind(state.word())
        .bind(message)
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// Every upgrade of every account that is under way.
pub async fn list_running(store: &Store) -> Result<Vec<UpgradeRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM upgrades WHERE state = 'running'");
    let found: Vec<UpgradeRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    with_hosts(store, found).await
}

/// An account's last upgrades, the newest first.
///
/// # Errors
/// [`StoreError::Invalid`] for a limit beyond an `i64`.
pub async fn list(store: &Store, account: AccountId, limit: u64) -> Result<Vec<UpgradeRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM upgrades WHERE account_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    let limit = to_bigint("limit", limit)?;
    let found: Vec<UpgradeRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(limit)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    with_hosts(store, found).await
}

async fn with_hosts(store: &Store, found: Vec<UpgradeRaw>) -> Result<Vec<UpgradeRow>, StoreError> {
    const SQL: &str = "SELECT environment_id, wave, state, since, running_json, message FROM upgrade_hosts
        WHERE upgrade_id = $1 ORDER BY place";
    let mut rows = Vec::with_capacity(found.len());
    for raw in found {
        let hosts: Vec<HostRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
            .bind(&raw.id)
            .fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
        rows.push(raw.with(hosts)?);
    }
    Ok(rows)
}

#[derive(FromRow)]
struct UpgradeRaw {
    id: String,
    account_id: String,
    program: String,
    version: String,
    state: String,
    message: Option<String>,
    created_at: i64,
    ended_at: Option<i64>,
}

#[derive(FromRow)]
struct HostRaw {
    environment_id: String,
    wave: i64,
    state: String,
    since: i64,
    running_json: String,
    message: Option<String>,
}

impl UpgradeRaw {
    fn with(self, hosts: Vec<HostRaw>) -> Result<UpgradeRow, StoreError> {
        Ok(UpgradeRow {
            id: parsed(TABLE, "id", &self.id)?,
            account: parsed(TABLE, "account_id", &self.account_id)?,
            program: parsed(TABLE, "program", &self.program)?,
            version: self.version,
            state: word(TABLE, "state", &self.state, UpgradeState::of_word(&self.state))?,
            message: self.message,
            created_at: Timestamp(self.created_at),
            ended_at: self.ended_at.map(Timestamp),
            hosts: hosts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<HostRaw> for HostRow {
    type Error = StoreError;

    fn try_from(raw: HostRaw) -> Result<Self, StoreError> {
        let wave = count(HOSTS, "wave", raw.wave)?;
        Ok(Self {
            environment: parsed(HOSTS, "environment_id", &raw.environment_id)?,
            wave: usize::try_from(wave).unwrap_or(usize::MAX),
            state: word(HOSTS, "state", &raw.state, HostState::of_word(&raw.state))?,
            since: Timestamp(raw.since),
            running: json(HOSTS, "running_json", &raw.running_json)?,
            message: raw.message,
        })
    }
}
