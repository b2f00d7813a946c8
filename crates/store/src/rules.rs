//! Rules: who may use what of an account's instances.

use api::rules::Subject;
use domain::ids::{AccountId, RuleId};
use domain::rules::{Clause, Effect, Hint, What};
use domain::time::Timestamp;
use sqlx::FromRow;

use crate::accounts::{role_of_word, role_word};
use crate::columns::{optional_text, parsed, text, word};
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "access_rules";

macro_rules! columns {
    () => {
        "id, account_id, subject_kind, subject, effect, instance, what, pattern, hint, created_by, created_at"
    };
}

/// One rule (`access_rules`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRow {
    /// Its id.
    pub id: RuleId,
    /// The account.
    pub account: AccountId,
    /// Whom it is for.
    pub subject: Subject,
    /// What it says.
    pub clause: Clause,
    /// Who made it, such as `user:0198…`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// Keeps a new rule.
///
/// # Errors
/// [`StoreError::Invalid`].
pub async fn insert(tx: &mut Tx, row: &RuleRow) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO access_rules (",
        columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    );
    let (kind, subject) = written(&row.subject);
    let subject = optional_text("subject", subject.as_deref())?;
    let clause = &row.clause;
    let (pattern, created_by) = (text("pattern", &clause.pattern)?, text("created_by", &row.created_by)?);
    on_pool!(tx.connection(), db => sqlx::query(SQL)
        .bind(row.id.to_string())
        .bind(row.account.to_string())
        .bind(kind)
        .bind(subject)
        .bind(clause.effect.word())
        .bind(clause.instance.as_ref().map(domain::names::InstanceName::as_str))
        .bind(clause.what.word())
        .bind(pattern)
        .bind(clause.hint.map(Hint::word))
        .bind(created_by)
        .bind(row.created_at.0)
        .execute(db).await.map(drop))
    .map_err(StoreError::from_driver)
}

/// An account's rules, in the order in which they were made.
pub async fn list(store: &Store, account: AccountId) -> Result<Vec<RuleRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM access_rules WHERE account_id = $1");
    let found: Vec<RuleRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    in_order(found)
}

/// The rules of every account: for the control plane's own work.
pub async fn list_all(store: &Store) -> Result<Vec<RuleRow>, StoreError> {
    const SQL: &str = concat!("SELECT ", columns!(), " FROM access_rules");
    let found: Vec<RuleRaw> = on_pool!(store.read(), db => sqlx::query_as(SQL).fetch_all(db).await)
        .map_err(StoreError::from_driver)?;
    in_order(found)
}

/// Removes a rule of an account.
///
/// # Errors
/// [`StoreError::NotFound`] when the account has no such rule.
pub async fn remove(tx: &mut Tx, account: AccountId, id: RuleId) -> Result<RuleRow, StoreError> {
    const SQL: &str =
        concat!("DELETE FROM access_rules WHERE account_id = $1 AND id = $2 RETURNING ", columns!());
    let found: Option<RuleRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(account.to_string())
        .bind(id.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    found.ok_or(StoreError::NotFound { what: "rule" })?.try_into()
}

fn in_order(found: Vec<RuleRaw>) -> Result<Vec<RuleRow>, StoreError> {
    let mut rows = found.into_iter().map(TryInto::try_into).collect::<Result<Vec<RuleRow>, _>>()?;
    rows.sort_by_key(|row| (row.created_at, row.id));
    Ok(rows)
}

fn written(subject: &Subject) -> (&'static str, Option<String>) {
    match subject {
        Subject::Everyone => ("everyone", None),
        Subject::Role(role) => ("role", Some(role_word(*role).to_owned())),
        Subject::User(id) => ("user", Some(id.to_string())),
        Subject::Token(id) => ("token", Some(id.to_string())),
        Subject::Client(id) => ("client", Some(id.clone())),
    }
}

fn read(kind: &str, subject: Option<&str>) -> Result<Subject, StoreError> {
    Ok(match (kind, subject) {
        ("everyone", None) => Subject::Everyone,
        ("role", Some(role)) => Subject::Role(role_of_word(role)?),
        ("user", Some(id)) => Subject::User(parsed(TABLE, "subject", id)?),
        ("token", Some(id)) => Subject::Token(parsed(TABLE, "subject", id)?),
        ("client", Some(id)) => Subject::Client(id.to_owned()),
        _ => return word(TABLE, "subject_kind", kind, None),
    })
}

#[derive(FromRow)]
struct RuleRaw {
    id: String,
    account_id: String,
    subject_kind: String,
    subject: Option<String>,
    effect: String,
    instance: Option<String>,
    what: String,
    pattern: String,
    hint: Option<String>,
    created_by: String,
    created_at: i64,
}

impl TryFrom<RuleRaw> for RuleRow {
    type Error = StoreError;

    fn try_from(raw: RuleRaw) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed(TABLE, "id", &raw.id)?,
            account: parsed(TABLE, "account_id", &raw.account_id)?,
            subject: read(&raw.subject_kind, raw.subject.as_deref())?,
            clause: Clause {
                effect: word(TABLE, "effect", &raw.effect, Effect::of_word(&raw.effect))?,
                instance: raw.instance.map(|name| parsed(TABLE, "instance", &name)).transpose()?,
                what: word(TABLE, "what", &raw.what, What::of_word(&raw.what))?,
                pattern: raw.pattern,
                hint: raw.hint.map(|hint| word(TABLE, "hint", &hint, Hint::of_word(&hint))).transpose()?,
            },
            created_by: raw.created_by,
            created_at: Timestamp(raw.created_at),
        })
    }
}
