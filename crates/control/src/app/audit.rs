//! Lines of the audit table, written in the transaction of what they tell about.

use domain::ids::{AccountId, AuditId};
use domain::time::Timestamp;
use store::Tx;
use store::audit::AuditRow;

use crate::app::Outcome;

/// What was done to what.
#[derive(Debug)]
pub(crate) struct Act<'a> {
    /// Such as `instance.deploy`.
    pub(crate) action: &'a str,
    /// Such as `instance`.
    pub(crate) kind: &'a str,
    /// The thing's id.
    pub(crate) id: String,
    /// The thing's name.
    pub(crate) name: &'a str,
    /// What else is worth knowing; never a secret.
    pub(crate) detail: serde_json::Value,
}

/// Writes one line.
///
/// # Errors
/// What the store says.
pub(crate) async fn note(
    tx: &mut Tx,
    account: AccountId,
    actor: String,
    at: Timestamp,
    act: Act<'_>,
) -> Outcome<()> {
    let line = AuditRow {
        id: AuditId::generate(),
        account,
        actor,
        action: act.action.to_owned(),
        object_kind: act.kind.to_owned(),
        object_id: Some(act.id),
        object_name: Some(act.name.to_owned()),
        detail: act.detail,
        at,
    };
    Ok(store::audit::append(tx, &line).await?)
}
