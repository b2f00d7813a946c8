//! What people want of a machine: whether it takes new instances, and the labels that it is told apart by.

use std::collections::HashMap;

use domain::ids::{AccountId, EnvironmentId};
use domain::placement::Labels;
use sqlx::FromRow;

use crate::columns::{json, parsed, to_json};
use crate::errors::breaks_reference;
use crate::open::on_pool;
use crate::{Store, StoreError, Tx};

const TABLE: &str = "environment_policies";

/// What is wanted of an environment. The default is what is wanted of one without a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether it takes no new instances.
    pub cordoned: bool,
    /// What it is told apart by.
    pub labels: Labels,
}

/// Sets what is wanted of an environment.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such environment.
pub async fn set(tx: &mut Tx, environment: EnvironmentId, policy: &Policy) -> Result<(), StoreError> {
    // Selected from the environment, so that one that is gone gives no row rather than a broken reference.
    const SQL: &str = "INSERT INTO environment_policies (environment_id, cordoned, labels_json)
        SELECT id, $2, $3 FROM account_tool_environments WHERE id = $1
        ON CONFLICT (environment_id) DO UPDATE SET cordoned = excluded.cordoned, labels_json = excluded.labels_json
        RETURNING environment_id";
    let labels = to_json("labels", &policy.labels)?;
    let kept: Option<String> = on_pool!(tx.connection(), db => sqlx::query_scalar(SQL)
        .bind(environment.to_string())
        .bind(i64::from(policy.cordoned))
        .bind(labels)
        .fetch_optional(db).await)
    .map_err(|error| {
        if breaks_reference(&error, "environment_policies_environment_id_fkey") {
            return StoreError::NotFound { what: "environment" };
        }
        StoreError::from_driver(error)
    })?;
    kept.map(drop).ok_or(StoreError::NotFound { what: "environment" })
}

/// What is wanted of an environment, as it is until the transaction ends.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such environment.
pub async fn hold(tx: &mut Tx, environment: EnvironmentId) -> Result<Policy, StoreError> {
    const SQL: &str =
        "SELECT environment_id, cordoned, labels_json FROM environment_policies WHERE environment_id = $1";
    // Whoever changes it holds the environment first.
    crate::environments::hold(tx, environment).await?.ok_or(StoreError::NotFound { what: "environment" })?;
    let found: Option<PolicyRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(environment.to_string())
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    Ok(found.map(PolicyRaw::split).transpose()?.map(|(_, policy)| policy).unwrap_or_default())
}

/// What is wanted of an account's environments; those that are not in it are as by default.
pub async fn of_account(
    store: &Store,
    account: AccountId,
) -> Result<HashMap<EnvironmentId, Policy>, StoreError> {
    const SQL: &str = "SELECT environment_id, cordoned, labels_json FROM environment_policies
        JOIN account_tool_environments ON id = environment_id WHERE account_id = $1";
    let found: Vec<PolicyRaw> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.into_iter().map(PolicyRaw::split).collect()
}

#[derive(FromRow)]
struct PolicyRaw {
    environment_id: String,
    cordoned: i64,
    labels_json: String,
}

impl PolicyRaw {
    fn split(self) -> Result<(EnvironmentId, Policy), StoreError> {
        let labels = json(TABLE, "labels_json", &self.labels_json)?;
        let policy = Policy { cordoned: self.cordoned != 0, labels };
        Ok((parsed(TABLE, "environment_id", &self.environment_id)?, policy))
    }
}
