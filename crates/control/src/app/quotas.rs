//! How much an account may have.

use api::errors::ErrorCode;
use domain::ids::AccountId;
use domain::placement::TYPICAL_MEMORY_MIB;
use domain::spec::Limits;
use store::Tx;

use crate::app::{App, Outcome, Problem};

/// Refuses one more instance where it would be one too many, or too large; in the transaction that makes it.
///
/// # Errors
/// 409 that names the quota.
pub(crate) async fn check(app: &App, tx: &mut Tx, account: AccountId, limits: &Limits) -> Outcome<()> {
    let quotas = app.quotas;
    if quotas == crate::config::Quotas::default() {
        return Ok(());
    }
    let held = store::instances::held(tx, account).await?;
    let count = u64::try_from(held.len()).unwrap_or(u64::MAX);
    if let Some(most) = quotas.instances.filter(|most| *most <= count) {
        let message = format!("an account may have {most} instances, and this one has {count}");
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .hint("remove one first, or ask whoever runs Berth to raise `--max-instances`"));
    }
    let of = |limits: &Limits| limits.memory_mib.unwrap_or(TYPICAL_MEMORY_MIB);
    let promised = held.iter().map(|row| of(&row.spec.limits)).fold(0, u64::saturating_add);
    if let Some(most) = quotas.memory_mib.filter(|most| *most < promised.saturating_add(of(limits))) {
        let message = format!(
            "the instances of an account may use {most} MiB of memory together: those there are may use {promised}, this one {}",
            of(limits)
        );
        return Err(Problem::refused(ErrorCode::Conflict, message).field("limits.memory_mib").hint(
            "give it less with `--memory-mib`, remove another one, or ask whoever runs Berth to raise `--max-memory-mib`",
        ));
    }
    Ok(())
}
