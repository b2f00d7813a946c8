//! What members of toolbelts have: tools, prompts, resources, as they were approved and as they were seen last.

use domain::ids::{AccountId, ToolbeltId, ToolbeltItemId};
use domain::time::Timestamp;
use domain::toolbelts::Kind;
use sqlx::FromRow;

use super::touch;
use crate::columns::{optional_text, parsed, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "toolbelt_features";

macro_rules! columns {
    () => {
        "item_id, toolbelt_id, kind, name, shown_name, description, is_on, approved_hash, approved_json, \
         seen_hash, seen_json, first_seen_at, seen_at"
    };
}

/// A tool, prompt, resource or template of a member (`toolbelt_features`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureRow {
    /// The member.
    pub item: ToolbeltItemId,
    /// Its toolbelt.
    pub toolbelt: ToolbeltId,
    /// What it is.
    pub kind: Kind,
    /// The member's name of it; of a resource its address.
    pub name: String,
    /// The toolbelt's name of it, unique in the toolbelt among those of its kind.
    pub shown_name: String,
    /// A description in the place of the member's own.
    pub description: Option<String>,
    /// Whether the toolbelt shows it.
    pub is_on: bool,
    /// The hash of the approved definition.
    pub approved_hash: String,
    /// The approved definition.
    pub approved_json: String,
    /// The hash of the definition that the member has now, where that is another one.
    pub seen_hash: Option<String>,
    /// That definition.
    pub seen_json: Option<String>,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last looked at and had changed.
    pub seen_at: Timestamp,
}

/// What people change of a feature; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureChange {
    /// The toolbelt's name of it.
    pub shown_name: Option<String>,
    /// The description in the place of the member's own; `Some(None)`: the member's own again.
    pub description: Option<Option<String>>,
    /// Whether the toolbelt shows it.
    pub is_on: Option<bool>,
}

/// All that the members of a toolbelt have, in no order that means anything.
pub async fn features(store: &Store, toolbelt: ToolbeltId) -> Result<Vec<FeatureRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM toolbelt_features WHERE toolbelt_id = $1");
    let found: Vec<FeatureRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(toolbelt.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(TryInto::try_into).collect()
}

/// How many features of one kind a member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureCount {
    /// The member.
    pub item: ToolbeltItemId,
    /// The kind.
    pub kind: Kind,
    /// How many there are.
    pub all: u64,
    /// Of how many the definition is another one than was approved.
    pub changed: u64,
}

/// How many features the members of an account's toolbelts have.
pub async fn feature_counts(store: &Store, account: AccountId) -> Result<Vec<FeatureCount>, StoreError> {
    const SQL: &str = "SELECT item_id, kind, count(*), count(seen_hash) FROM toolbelt_features
        WHERE toolbelt_id IN (SELECT id FROM toolbelts WHERE account_id = $1) GROUP BY item_id, kind";
    let found: Vec<(String, String, i64, i64)> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    let one = |(item, kind, all, changed): (String, String, i64, i64)| {
        Ok(FeatureCount {
            item: parsed(TABLE, "item_id", &item)?,
            kind: word(TABLE, "kind", &kind, Kind::of_word(&kind))?,
            all: all.unsigned_abs(),
            changed: changed.unsigned_abs(),
        })
    };
    found.into_iter().map(one).collect()
}

/// What a toolbelt calls so.
pub async fn feature_by_shown_name(
    store: &Store,
    toolbelt: ToolbeltId,
    kind: Kind,
    shown_name: &str,
) -> Result<Option<FeatureRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM toolbelt_features WHERE toolbelt_id = $1 AND kind = $2 AND shown_name = $3"
    );
    let shown_name = text("shown_name", shown_name)?;
    let found: Option<FeatureRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL)
        .bind(toolbelt.to_string())
        .bind(kind.word())
        .bind(shown_name)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.map(TryInto::try_into).transpose()
}

/// Notes what members have, as the running toolbelt saw it: new ones as they are given; of known ones what is seen and when, and nothing that
/// people say, which may have changed since the toolbelt read it. Those of members that are gone are left out. No generation grows.
///
/// # Errors
/// [`StoreError::Taken`] with field `shown_name`, after which the transaction is over; [`StoreError::Invalid`] for a NUL in a name.
pub async fn put_features(tx: &mut Tx, rows: &[FeatureRow]) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO toolbelt_features (",
        columns!(),
        ") SELECT i.id, i.toolbelt_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13
        FROM agent_toolbelt_items i WHERE i.id = $1 AND i.toolbelt_id = $2
        ON CONFLICT (item_id, kind, name) DO UPDATE SET
            seen_hash = CASE WHEN excluded.seen_hash = toolbelt_features.approved_hash THEN NULL ELSE excluded.seen_hash END,
            seen_json = CASE WHEN excluded.seen_hash = toolbelt_features.approved_hash THEN NULL ELSE excluded.seen_json END,
            seen_at = excluded.seen_at"
    );
    for row in rows {
        let (name, shown_name) = (text("name", &row.name)?, text("shown_name", &row.shown_name)?);
        let description = optional_text("description", row.description.as_deref())?;
        let approved = text("approved_json", &row.approved_json)?;
        let seen = optional_text("seen_json", row.seen_json.as_deref())?;
        on_pool!(tx.connection(), db => sqlx::query(SQL)
            .bind(row.item.to_string())
            .bind(row.toolbelt.to_string())
            .bind(row.kind.word())
            .bind(name)
            .bind(shown_name)
            .bind(description)
            .bind(row.is_on)
            .bind(row.approved_hash.as_str())
            .bind(approved)
            .bind(row.seen_hash.as_deref())
            .bind(seen)
            .bind(row.first_seen_at.0)
            .bind(row.seen_at.0)
            .execute(db).await.map(drop))
        .map_err(|e| StoreError::from_write(e, &[("shown_name", shown_name)]))?;
    }
    Ok(())
}

/// Changes what people say of a feature. The toolbelt's generation grows.
///
/// # Errors
/// [`StoreError::NotFound`] when the toolbelt's member has no such feature; [`StoreError::Taken`] with field `shown_name`;
/// [`StoreError::Invalid`].
pub async fn set_feature(
    tx: &mut Tx,
    row: &FeatureRow,
    change: &FeatureChange,
) -> Result<FeatureRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE toolbelt_features SET shown_name = coalesce($5, shown_name),
            description = CASE WHEN $6 THEN $7 ELSE description END, is_on = coalesce($8, is_on)
        WHERE item_id = $1 AND toolbelt_id = $2 AND kind = $3 AND name = $4 RETURNING ",
        columns!()
    );
    let shown_name = optional_text("shown_name", change.shown_name.as_deref())?;
    let description = optional_text(
        "description",
        change.description.as_ref().and_then(|description| description.as_deref()),
    )?;
    let found: Option<FeatureRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(row.item.to_string())
        .bind(row.toolbelt.to_string())
        .bind(row.kind.word())
        .bind(row.name.as_str())
        .bind(shown_name)
        .bind(change.description.is_some())
        .bind(description)
        .bind(change.is_on)
        .fetch_optional(db).await)
    .map_err(|e| StoreError::from_write(e, &[("shown_name", shown_name.unwrap_or_default())]))?;
    let changed = found.ok_or(StoreError::NotFound { what: "feature" })?.try_into()?;
    touch(tx, row.toolbelt).await?;
    Ok(changed)
}

/// Approves the definition that a feature has now, if it is the one of that hash. The toolbelt's generation grows.
///
/// # Errors
/// [`StoreError::NotFound`] when there is none to approve, or it is another one by now.
pub async fn approve(tx: &mut Tx, row: &FeatureRow, seen_hash: &str) -> Result<FeatureRow, StoreError> {
    const SQL: &str = concat!(
        "UPDATE toolbelt_features SET approved_hash = seen_hash, approved_json = seen_json, seen_hash = NULL,
            seen_json = NULL
        WHERE item_id = $1 AND toolbelt_id = $2 AND kind = $3 AND name = $4 AND seen_hash = $5
            AND seen_json IS NOT NULL RETURNING ",
        columns!()
    );
    let seen_hash = text("hash", seen_hash)?;
    let found: Option<FeatureRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(row.item.to_string())
        .bind(row.toolbelt.to_string())
        .bind(row.kind.word())
        .bind(row.name.as_str())
        .bind(seen_hash)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    let approved = found.ok_or(StoreError::NotFound { what: "changed definition" })?.try_into()?;
    touch(tx, row.toolbelt).await?;
    Ok(approved)
}

/// Approves all definitions that a member has now; those that were approved. Where there is one, the toolbelt's generation grows.
pub async fn approve_all(
    tx: &mut Tx,
    toolbelt: ToolbeltId,
    item: ToolbeltItemId,
) -> Result<Vec<FeatureRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE toolbelt_features SET approved_hash = seen_hash, approved_json = seen_json, seen_hash = NULL,
            seen_json = NULL
        WHERE item_id = $1 AND toolbelt_id = $2 AND seen_hash IS NOT NULL AND seen_json IS NOT NULL RETURNING ",
        columns!()
    );
    let found: Vec<FeatureRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(item.to_string())
        .bind(toolbelt.to_string())
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<FeatureRow>, _>>()?;
    rows.sort_by(|a, b| (a.kind.word(), &a.name).cmp(&(b.kind.word(), &b.name)));
    if !rows.is_empty() {
        touch(tx, toolbelt).await?;
    }
    Ok(rows)
}

#[derive(FromRow)]
struct FeatureRaw {
    item_id: String,
    toolbelt_id: String,
    kind: String,
    name: String,
    shown_name: String,
    description: Option<String>,
    is_on: bool,
    approved_hash: String,
    approved_json: String,
    seen_hash: Option<String>,
    seen_json: Option<String>,
    first_seen_at: i64,
    seen_at: i64,
}

impl TryFrom<FeatureRaw> for FeatureRow {
    type Error = StoreError;

    fn try_from(raw: FeatureRaw) -> Result<Self, StoreError> {
        Ok(Self {
            item: parsed(TABLE, "item_id", &raw.item_id)?,
            toolbelt: parsed(TABLE, "toolbelt_id", &raw.toolbelt_id)?,
            kind: word(TABLE, "kind", &raw.kind, Kind::of_word(&raw.kind))?,
            name: raw.name,
            shown_name: raw.shown_name,
            description: raw.description,
            is_on: raw.is_on,
            approved_hash: raw.approved_hash,
            approved_json: raw.approved_json,
            seen_hash: raw.seen_hash,
            seen_json: raw.seen_json,
            first_seen_at: Timestamp(raw.first_seen_at),
            seen_at: Timestamp(raw.seen_at),
        })
    }
}
