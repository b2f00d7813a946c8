//! What is asked for with a change, and what it differs in.

use api::changes::{ChangeRequest, NEWEST};
use api::instances::DeployRequest;
use domain::image::is_digest;
use domain::package::Package;
use domain::spec::Limits;
use store::changes::What;
use store::instances::InstanceRow;

use super::exactly;
use crate::app::deployment::nearest;
use crate::app::{Outcome, Problem};

/// The request that would deploy the instance as it is to be. `is_listed`: a catalog has a list of its versions.
///
/// # Errors
/// 422 for what is taken away and not there, and for a version that is none.
pub(super) fn next(
    request: &ChangeRequest,
    asked: DeployRequest,
    before: &InstanceRow,
    is_listed: bool,
) -> Outcome<DeployRequest> {
    let mut next = asked;
    next.name = None;
    let invalid = |error| Problem::invalid("version", error);
    // What is no entry of the catalog has its version in its name.
    let mut package = next.server.trim().parse::<Package>().ok();
    if let Some(named) = package.clone()
        && let Some(version) = next.version.take()
    {
        package = Some(named.with_version(&version).map_err(invalid)?);
    }
    match (request.version.as_deref(), package) {
        // Nobody means a newer one by changing a setting.
        (None, package) => {
            let runs = || before.version.clone().filter(|_| is_installed(&before.spec.package));
            next.version = next.version.take().or_else(runs);
            next.server = package.map_or(next.server, |package| package.to_string());
        }
        (Some(NEWEST), Some(package)) => next.server = package.unpinned().to_string(),
        (Some(NEWEST), None) => {
            // Which images are meant is said by the tag, unless a catalog has a list of them.
            let keeps_tag = !is_listed && matches!(before.spec.package, Package::Oci { .. });
            let tag = next.version.take().filter(|_| keeps_tag);
            next.version = tag.and_then(|version| tag_of(&version).map(str::to_owned));
        }
        (Some(version), Some(package)) => {
            next.server = package.with_version(version).map_err(invalid)?.to_string();
        }
        (Some(version), None) => next.version = Some(version.to_owned()),
    }
    for (i, key) in request.unset.iter().enumerate() {
        let was = next.settings.remove(key).is_some()
            | next.secrets.values.remove(key).is_some()
            | next.secrets.named.remove(key).is_some();
        if !was {
            let known = next.settings.keys().chain(next.secrets.keys()).map(String::as_str);
            let near = nearest(key, known).map(|near| format!("did you mean `{near}`?"));
            let problem = Problem::invalid(format!("unset[{i}]"), format!("it has no setting `{key}`"));
            return Err(match near {
                Some(near) => problem.hint(near),
                None => problem,
            });
        }
    }
    for (key, value) in &request.settings {
        next.secrets.values.remove(key);
        next.secrets.named.remove(key);
        next.settings.insert(key.clone(), value.clone());
    }
    for key in request.secrets.keys() {
        next.settings.remove(key);
        next.secrets.values.remove(key);
        next.secrets.named.remove(key);
    }
    next.secrets.values.extend(request.secrets.values.clone());
    next.secrets.named.extend(request.secrets.named.clone());
    if let Some(args) = &request.args {
        next.args.clone_from(args);
    }
    if let Some(constraints) = &request.constraints {
        next.constraints.clone_from(constraints);
    }
    next.mode = request.mode.clone().or(next.mode);
    next.profile = request.profile.or(next.profile);
    next.egress = request.egress.clone().or(next.egress);
    next.sleep_after_seconds = request.sleep_after_seconds.or(next.sleep_after_seconds);
    let given = &request.limits;
    next.limits = Limits {
        memory_mib: given.memory_mib.or(next.limits.memory_mib),
        cpu_millicores: given.cpu_millicores.or(next.limits.cpu_millicores),
        processes: given.processes.or(next.limits.processes),
        open_files: given.open_files.or(next.limits.open_files),
        startup_seconds: given.startup_seconds.or(next.limits.startup_seconds),
    };
    Ok(next)
}

/// Of the version of an image, which has a tag, a digest or both.
fn tag_of(version: &str) -> Option<&str> {
    let tag = version.split('@').next().unwrap_or(version);
    Some(tag).filter(|tag| !tag.is_empty() && !is_digest(tag))
}

/// Which one is the newest of it is known where it is installed, and not before.
fn is_installed(package: &Package) -> bool {
    matches!(package, Package::Npm { .. } | Package::Pypi { .. })
}

/// What differs from what the instance is. Secrets that are given count, since nobody compares their values.
pub(super) fn differences(before: &InstanceRow, what: &What, request: &ChangeRequest) -> Vec<String> {
    let (old, new) = (&before.spec, &what.spec);
    let mut all = Vec::new();
    let runs = exactly(old.package.clone(), before.version.as_deref(), before.digest.as_deref());
    let is_newest = request.version.as_deref() == Some(NEWEST) && is_installed(&new.package);
    if is_newest || (old.package != new.package && runs != new.package) {
        all.push("version".to_owned());
    }
    for key in
        before.settings.keys().chain(what.settings.keys().filter(|key| !before.settings.contains_key(*key)))
    {
        if before.settings.get(key) != what.settings.get(key) {
            all.push(format!("settings.{key}"));
        }
    }
    let names = before
        .secret_names
        .iter()
        .chain(what.secret_names.iter().filter(|key| !before.secret_names.contains(key)));
    for key in names {
        let is_given = request.secrets.keys().any(|given| given == key);
        if is_given || before.secret_names.contains(key) != what.secret_names.contains(key) {
            all.push(format!("secrets.{key}"));
        }
    }
    let by_settings = all.iter().any(|field| field.starts_with("settings."));
    let (a, b) = (&old.launch, &new.launch);
    for (field, differs) in [
        ("args", a.args != b.args && !by_settings),
        ("constraints", a.constraints != b.constraints),
        ("mode", a.mode != b.mode),
        ("profile", a.profile != b.profile),
        ("egress", a.egress != b.egress),
        ("sleep_after_seconds", a.sleep_after_seconds != b.sleep_after_seconds),
        ("limits.memory_mib", old.limits.memory_mib != new.limits.memory_mib),
        ("limits.cpu_millicores", old.limits.cpu_millicores != new.limits.cpu_millicores),
        ("limits.processes", old.limits.processes != new.limits.processes),
        ("limits.open_files", old.limits.open_files != new.limits.open_files),
        ("limits.startup_seconds", old.limits.startup_seconds != new.limits.startup_seconds),
    ] {
        if differs {
            all.push(field.to_owned());
        }
    }
    all
}
