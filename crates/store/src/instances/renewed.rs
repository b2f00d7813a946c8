//! Instances that get the next version of a secret.

use domain::ids::SecretId;
use domain::time::Timestamp;

use super::{InstanceRaw, InstanceRow, rows};
use crate::open::on_pool;
use crate::{StoreError, Tx};

/// Gives every instance that uses a secret a new generation; those that are to run are restarted with it.
pub async fn renew_users_of(
    tx: &mut Tx,
    secret: SecretId,
    at: Timestamp,
) -> Result<Vec<InstanceRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET generation = generation + 1, updated_at = $2,
            restarts_asked = CASE WHEN desired_state = 'running' THEN restarts_asked + 1 ELSE restarts_asked END
        WHERE id IN (SELECT instance_id FROM secret_uses WHERE secret_id = $1) AND NOT deleting RETURNING ",
        columns!()
    );
    let found: Vec<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(secret.to_string())
        .bind(at.0)
        .fetch_all(db).await)
    .map_err(StoreError::from_driver)?;
    rows(found)
}
