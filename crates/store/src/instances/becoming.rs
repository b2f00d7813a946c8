//! An instance that becomes something else.

use domain::status::InstanceStatus;
use domain::time::Timestamp;

use super::{InstanceRaw, InstanceRow};
use crate::changes::What;
use crate::columns::{optional_text, to_bigint, to_json};
use crate::open::on_pool;
use crate::{StoreError, Tx, catalog, secrets};

/// Makes an instance, which is to be as `before` still, something else; `None` when it was changed meanwhile or is being deleted. Its
/// generation grows, what is known about moving it stays, and `status` is shown until its DTMA reports.
///
/// # Errors
/// [`StoreError::UnknownCatalogEntry`]; [`StoreError::NotFound`] when a secret of the account that it is to use is gone.
pub async fn become_what(
    tx: &mut Tx,
    before: &InstanceRow,
    what: &What,
    secrets_sealed: Option<&str>,
    status: InstanceStatus,
    at: Timestamp,
) -> Result<Option<InstanceRow>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE account_tool_instances SET generation = $3, tool_catalog_id = $4, spec_json = $5, config_values = $6,
            secret_names_json = $7, secrets_sealed = $8, status_on_toolbox = $9, instance_error_message = NULL,
            version = NULL, digest = NULL, updated_at = $10
        WHERE id = $1 AND generation = $2 AND NOT deleting RETURNING ",
        columns!()
    );
    if !catalog::exists(tx, what.catalog_entry).await? {
        return Err(StoreError::UnknownCatalogEntry { id: what.catalog_entry });
    }
    let mut spec = what.spec.clone();
    spec.moving = before.spec.moving.clone();
    spec.candidate_of.clone_from(&before.spec.candidate_of);
    let spec = to_json("spec", &spec)?;
    let settings = to_json("settings", &what.settings)?;
    let secret_names = to_json("secret_names", &what.secret_names)?;
    let sealed = optional_text("secrets_sealed", secrets_sealed)?;
    let (from, to) =
        (to_bigint("generation", before.generation)?, to_bigint("generation", before.generation + 1)?);
    let found: Option<InstanceRaw> = on_pool!(tx.connection(), db => sqlx::query_as(SQL)
        .bind(before.id.to_string())
        .bind(from)
        .bind(to)
        .bind(what.catalog_entry.to_string())
        .bind(spec)
        .bind(settings)
        .bind(secret_names)
        .bind(sealed)
        .bind(status.word())
        .bind(at.0)
        .fetch_optional(db).await)
    .map_err(StoreError::from_driver)?;
    let Some(found) = found else { return Ok(None) };
    secrets::forget_uses(tx, before.id).await?;
    for (variable, name) in &what.named {
        secrets::add_use(tx, before.id, variable, name).await?;
    }
    found.try_into().map(Some)
}
