//! What is to be said of a trouble to one receiver: a row until it was taken, or was tried for too long.

use domain::ids::AlertId;
use domain::time::Timestamp;
use sqlx::FromRow;

use super::{AlertRaw, AlertRow, columns};
use crate::columns::{shown, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "alert_deliveries";

/// What is said of a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// That it is broken.
    Broken,
    /// That it is well again.
    Healed,
}

impl Said {
    /// The word as the table has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Healed => "healed",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Broken, Self::Healed].into_iter().find(|said| said.word() == word)
    }
}

/// One message that is not delivered (`alert_deliveries`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// About what.
    pub alert: AlertRow,
    /// What is said of it.
    pub said: Said,
    /// To whom: a name that says no secret.
    pub receiver: String,
    /// Since when it is due.
    pub queued_at: Timestamp,
    /// How often that was tried.
    pub tries: u32,
    /// Not tried again before.
    pub next_try_at: Timestamp,
}

/// Queues that it is broken, for each of these receivers.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn queue_broken(
    tx: &mut Tx,
    alert: AlertId,
    receivers: &[String],
    at: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO alert_deliveries (alert_id, event, receiver, queued_at, next_try_at)
        VALUES ($1, 'broken', $2, $3, $3) ON CONFLICT DO NOTHING";
    for receiver in receivers {
        let receiver = text("receiver", receiver)?;
        on_pool!(tx.connection(), db => sqlx::query(SQL)
            .bind(alert.to_string())
            .bind(receiver)
            .bind(at.0)
            .execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    }
    Ok(())
}

/// Queues that it is well again, for whomever that it is broken was queued for.
///
/// # Errors
/// What the driver says.
pub async fn queue_healed(tx: &mut Tx, alert: AlertId, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "INSERT INTO alert_deliveries (alert_id, event, receiver, queued_at, next_try_at)
        SELECT alert_id, 'healed', receiver, CAST($2 AS bigint), CAST($2 AS bigint) FROM alert_deliveries
        WHERE alert_id = $1 AND event = 'broken' ON CONFLICT DO NOTHING";
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(alert.to_string())
        .bind(at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// What is not delivered yet, to anybody: of each trouble and receiver only what comes first, so that nobody hears that
/// something is well before that it was broken.
pub async fn pending(store: &Store) -> Result<Vec<Delivery>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        ", event, receiver, queued_at, tries, next_try_at FROM alert_deliveries
        JOIN alerts ON id = alert_id WHERE done_at IS NULL ORDER BY queued_at, alert_id, event, receiver"
    );
    let found: Vec<DeliveryRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    let mut first: Vec<Delivery> = Vec::with_capacity(found.len());
    for raw in found {
        let delivery = Delivery::try_from(raw)?;
        let is_later =
            first.iter().any(|one| one.alert.id == delivery.alert.id && one.receiver == delivery.receiver);
        if !is_later {
            first.push(delivery);
        }
    }
    Ok(first)
}

/// Notes one more try before it is made, and that nobody tries again before `until`. Whether nobody else was faster.
///
/// # Errors
/// What the driver says.
pub async fn claim(tx: &mut Tx, delivery: &Delivery, until: Timestamp) -> Result<bool, StoreError> {
    const SQL: &str = "UPDATE alert_deliveries SET tries = tries + 1, next_try_at = $4
        WHERE alert_id = $1 AND event = $2 AND receiver = $3 AND done_at IS NULL AND next_try_at = $5";
    let changed = on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(delivery.alert.id.to_string())
        .bind(delivery.said.word())
        .bind(&delivery.receiver)
        .bind(until.0)
        .bind(delivery.next_try_at.0)
        .execute(db).await.map(|done| done.rows_affected()))
    .map_err(StoreError::from_driver)?;
    Ok(changed == 1)
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// The receiver has it.
    Taken,
    /// It has not, for this reason, and is tried again then.
    Later(Timestamp, String),
    /// It has not, for this reason, and is not tried again.
    GivenUp(String),
}

/// Notes what became of a try.
///
/// # Errors
/// What the driver says.
pub async fn note(tx: &mut Tx, delivery: &Delivery, tried: &Tried, at: Timestamp) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE alert_deliveries SET done_at = $4, next_try_at = $5, trouble = $6
        WHERE alert_id = $1 AND event = $2 AND receiver = $3 AND done_at IS NULL";
    let (done, next, trouble) = match tried {
        Tried::Taken => (Some(at.0), at.0, None),
        Tried::Later(next, trouble) => (None, next.0, Some(shown(trouble))),
        Tried::GivenUp(trouble) => (Some(at.0), at.0, Some(shown(trouble))),
    };
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(delivery.alert.id.to_string())
        .bind(delivery.said.word())
        .bind(&delivery.receiver)
        .bind(done)
        .bind(next)
        .bind(trouble)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

#[derive(FromRow)]
struct DeliveryRaw {
    #[sqlx(flatten)]
    alert: AlertRaw,
    event: String,
    receiver: String,
    queued_at: i64,
    tries: i64,
    next_try_at: i64,
}

impl TryFrom<DeliveryRaw> for Delivery {
    type Error = StoreError;

    fn try_from(raw: DeliveryRaw) -> Result<Self, StoreError> {
        Ok(Self {
            alert: raw.alert.try_into()?,
            said: word(TABLE, "event", &raw.event, Said::of_word(&raw.event))?,
            receiver: raw.receiver,
            queued_at: Timestamp(raw.queued_at),
            tries: u32::try_from(raw.tries).unwrap_or(u32::MAX),
            next_try_at: Timestamp(raw.next_try_at),
        })
    }
}
