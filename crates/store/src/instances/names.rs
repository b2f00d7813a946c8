//! What an account's instances are called.

use std::collections::HashMap;

use domain::ids::{AccountId, InstanceId};
use domain::names::InstanceName;

use super::TABLE;
use crate::columns::parsed;
use crate::open::on_pool;
use crate::{Store, StoreError};

/// The names of an account's instances.
pub async fn names(
    store: &Store,
    account: AccountId,
) -> Result<HashMap<InstanceId, InstanceName>, StoreError> {
    const SQL: &str = "SELECT id, name FROM account_tool_instances WHERE account_id = $1";
    let found: Vec<(String, String)> =
        on_pool!(store.read(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    found.iter().map(|(id, name)| Ok((parsed(TABLE, "id", id)?, parsed(TABLE, "name", name)?))).collect()
}
