//! What each caller of an instance brings: the checks that its values can be kept from one another.

use api::catalog::{CatalogEntry, Input, InputFormat, InputTarget, Transport};
use api::instances::DeployRequest;
use domain::package::Package;
use domain::shim::Mode;
use domain::spec::Launch;

use super::nearest;
use super::settings::{check_header, check_variable, listed};
use crate::app::Problem;

/// At most so many.
const MOST: usize = 32;
const FIELD: &str = "each_caller";

/// Puts what was asked for to what the catalog's entry has.
pub(super) fn fill(
    launch: &mut Launch,
    entry: Option<&CatalogEntry>,
    request: &DeployRequest,
    package: &Package,
) -> Result<(), Problem> {
    for name in &request.each_caller {
        let variable = variable(name, entry, package)?;
        if request.settings.contains_key(name) || request.secrets.keys().any(|key| key == name) {
            return Err(Problem::invalid(
                FIELD,
                format!("`{name}` is given, and each caller is to bring it"),
            )
            .hint("do the one or the other"));
        }
        launch.each_caller.insert(name.clone(), variable);
    }
    if MOST < launch.each_caller.len() {
        return Err(Problem::invalid(FIELD, format!("at most {MOST} are accepted")));
    }
    if launch.each_caller.is_empty() {
        return Ok(());
    }
    let is_remote = matches!(package, Package::Remote { .. });
    if matches!(package, Package::Oci { .. }) {
        return Err(Problem::invalid(
            FIELD,
            "the processes of a container are not kept from one another, so it can have the values of one alone",
        )
        .hint("deploy a package (`npm:…`, `pypi:…`) or a server that runs elsewhere"));
    }
    if !is_remote && launch.transport != Transport::Stdio {
        return Err(Problem::invalid(
            FIELD,
            "a server that serves HTTP on its host is one process for all callers",
        )
        .hint("use the transport `stdio`"));
    }
    match launch.mode.unwrap_or_default() {
        Mode::PerPrincipal | Mode::PerSession => Ok(()),
        mode @ (Mode::Shared | Mode::Pool(_)) => Err(Problem::invalid(
            "mode",
            format!("in the mode `{mode}` callers share a process, and so what they bring"),
        )
        .hint("use `per-principal`")),
    }
}

fn variable(name: &str, entry: Option<&CatalogEntry>, package: &Package) -> Result<String, Problem> {
    let Some(entry) = entry else {
        if matches!(package, Package::Remote { .. }) {
            check_header(FIELD, name)?;
        } else {
            check_variable(FIELD, name)?;
        }
        return Ok(name.to_owned());
    };
    match entry.inputs.iter().find(|input| input.name == name) {
        Some(Input {
            target: InputTarget::Env { variable } | InputTarget::Header { header: variable },
            format,
            ..
        }) if *format != InputFormat::Filepath => Ok(variable.clone()),
        Some(_) => Err(Problem::invalid(FIELD, format!("`{name}` is nothing that each caller could bring"))
            .hint("give it with the deployment")),
        None => {
            let problem = Problem::invalid(FIELD, format!("`{}` has no setting `{name}`", entry.name));
            Err(match nearest(name, entry.inputs.iter().map(|input| input.name.as_str())) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None if entry.inputs.is_empty() => problem.hint("it takes none"),
                None => problem.hint(format!("it takes {}", listed(entry.inputs.iter()))),
            })
        }
    }
}
