//! What an account holds, for its quotas.

use domain::ids::AccountId;

use super::{InstanceRaw, InstanceRow, rows};
use crate::open::on_pool;
use crate::{StoreError, Tx};

/// The account's instances that are not being deleted. Until the transaction ends no other one is told of them, so that two
/// deployments at once are not both the last that fits.
pub async fn held(tx: &mut Tx, account: AccountId) -> Result<Vec<InstanceRow>, StoreError> {
    const LOCK: &str = "UPDATE accounts SET name = name WHERE id = $1";
    const SQL: &str =
        concat!("SELECT ", columns!(), " FROM account_tool_instances WHERE account_id = $1 AND NOT deleting");
    on_pool!(tx.connection(), db => sqlx::query(LOCK).bind(account.to_string()).execute(db).await.map(drop))
        .map_err(StoreError::from_driver)?;
    let found: Vec<InstanceRaw> =
        on_pool!(tx.connection(), db => sqlx::query_as(SQL).bind(account.to_string()).fetch_all(db).await)
            .map_err(StoreError::from_driver)?;
    rows(found)
}
