//! Clearing this host of what no instance needs: asked for, or by itself when the disk fills.
//!
//! What goes is [`domain::cleanup::plan`]'s word; this collects what there is and what is needed, and does it. Nothing is
//! installed meanwhile, so that nothing goes which an instance is about to need.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::cleanup::{CleanupReport, Needs, plan};
use domain::egress::Egress;
use domain::ids::InstanceId;
use domain::package::Package;
use domain::spec::InstanceSpec;
use runtime::error::RuntimeError;

use crate::instance::chain;
use crate::instances::Instances;
use crate::system;

/// Between two looks at the disk.
const LOOK: Duration = Duration::from_mins(1);
/// After a cleanup that the disk asked for, until it is asked again: what is left is needed.
const REST: Duration = Duration::from_mins(30);

/// Why nothing was removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CleanupError {
    /// Something is being installed, or another cleanup is under way.
    #[error("something is being installed or cleared on this host")]
    Busy,
    /// What an instance needs is not known.
    #[error("what instance {id} needs is not known: {reason}")]
    Unknown {
        /// Which.
        id: InstanceId,
        /// What is wrong with its record.
        reason: String,
    },
    /// The host refused.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Removes what nobody needs, or says what that is.
pub(crate) async fn run(instances: &Instances, dry_run: bool) -> Result<CleanupReport, CleanupError> {
    let shared = instances.shared();
    let _alone = shared.installing.try_write().map_err(|_| CleanupError::Busy)?;
    let inventory = shared.runtime.inventory().await?;
    let needs = needs(instances)?;
    let planned = plan(&inventory.found, &needs);
    let mut report = CleanupReport { dry_run, troubles: inventory.unseen, ..CleanupReport::default() };
    for thing in planned {
        if !dry_run && let Err(error) = shared.runtime.discard(&thing).await {
            report.troubles.push(format!("{} {}: {}", thing.kind.word(), thing.name, chain(&error)));
            continue;
        }
        report.bytes = report.bytes.saturating_add(thing.bytes);
        report.things.push(thing);
    }
    if !dry_run {
        tracing::info!(
            things = report.things.len(),
            bytes = report.bytes,
            troubles = ?report.troubles,
            "this host was cleared of what nobody needs"
        );
    }
    Ok(report)
}

/// Clears this host whenever its disk is fuller than so many per cent; never returns.
pub(crate) async fn keep(instances: Instances, data: PathBuf, percent: u8) {
    loop {
        tokio::time::sleep(look(&instances, &data, percent).await).await;
    }
}

/// Looks at the disk and does what it asks for; gives the time until the next look.
async fn look(instances: &Instances, data: &Path, percent: u8) -> Duration {
    let Some(full) = percent_used(data).filter(|full| percent <= *full) else { return LOOK };
    tracing::warn!(full, threshold = percent, "the disk is filling; removing what no instance needs");
    match run(instances, false).await {
        Ok(_) => REST,
        Err(CleanupError::Busy) => LOOK,
        Err(error) => {
            tracing::warn!(error = chain(&error), "this host could not be cleared");
            REST
        }
    }
}

/// As `df` counts: of what others than root can use.
fn percent_used(data: &Path) -> Option<u8> {
    let disk = system::disk_of(data)?;
    let usable = disk.used_bytes.saturating_add(disk.free_bytes).max(1);
    u8::try_from(disk.used_bytes.saturating_mul(100).div_ceil(usable)).ok()
}

/// What the instances of this host need, from their specs, from the disk and from what they report: a record that could not
/// be written is one of them.
fn needs(instances: &Instances) -> Result<Needs, CleanupError> {
    let shared = instances.shared();
    let mut needs = Needs::default();
    for (id, face) in instances.faces() {
        if let Some(spec) = face.order.borrow().spec().map(Arc::clone) {
            add(&mut needs, &spec);
        }
        let installed = shared.specs.installed(id).map_err(|reason| CleanupError::Unknown { id, reason })?;
        needs.digests.extend(installed);
        needs.digests.extend(face.report.borrow().digest.clone());
    }
    Ok(needs)
}

fn add(needs: &mut Needs, spec: &InstanceSpec) {
    if let Package::Oci { image } = &spec.package {
        needs.images.insert(image.clone());
    }
    needs.network |= spec.launch.egress.clone().unwrap_or_default() != Egress::None;
}
