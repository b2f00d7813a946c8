//! The command line of a package: what its server is given, and what the program that starts it would have been.

use serde_json::Value;

use super::inputs::{Inputs, is_example, is_secret_name};
use super::{boolean, list, shown, text};
use crate::catalog::is_variable;

/// Options of `npx`, `uvx` and `docker run` that change nothing here: Berth installs, confines and cleans up by itself.
const IGNORED: &[&str] = &[
    "-y",
    "--yes",
    "-i",
    "--interactive",
    "-t",
    "--tty",
    "-it",
    "--rm",
    "--init",
    "-q",
    "--quiet",
    "--read-only",
];
/// Such options with a value.
const IGNORED_WITH_VALUE: &[&str] =
    &["-u", "--user", "--name", "--python", "-p", "--pull", "--platform", "-w", "--workdir"];
/// Options of `uv` that the shape of May 2025 has among the server's own arguments, with their values.
const UV_WITH_VALUE: &[&str] =
    &["--directory", "--with", "--with-editable", "--python", "--from", "--project"];

/// Arguments for the program that would start the server. Few of them mean something here.
///
/// # Errors
/// What of it Berth does not do.
pub(super) fn of_runtime(inputs: &mut Inputs, package: &Value) -> Result<(), String> {
    for argument in list(package, &["runtimeArguments", "runtime_arguments"]) {
        let name = text(argument, &["name"]);
        let value = text(argument, &["value"]).or_else(|| text(argument, &["default"]));
        let Some(option) = name.as_deref().or(value.as_deref()) else { continue };
        let value = if name.is_some() { value.as_deref() } else { None };
        let option = option.split('=').next().unwrap_or_default();
        match option {
            "-e" | "--env" => of_environment(inputs, argument, value),
            "-v" | "--volume" | "--mount" => {
                return Err(format!(
                    "it wants to have a directory of its host mounted (`{}`)",
                    shown(value.unwrap_or_default(), 80)
                ));
            }
            option if IGNORED.contains(&option) || IGNORED_WITH_VALUE.contains(&option) => {}
            // What may be left out, and has no value, is left out.
            _ if boolean(argument, &["isRequired", "is_required"]) == Some(false) && value.is_none() => {}
            option => {
                return Err(format!(
                    "its runtime is to be given `{}`, which Berth does not do",
                    shown(option, 40)
                ));
            }
        }
    }
    Ok(())
}

/// `-e NAME=VALUE` of a container.
fn of_environment(inputs: &mut Inputs, argument: &Value, value: Option<&str>) {
    let Some((name, value)) = value.and_then(|value| value.split_once('=')) else { return };
    if !is_variable(name) {
        return;
    }
    let variable = serde_json::json!({
        "name": name, "value": value, "variables": argument.get("variables"), "description": argument.get("description"),
        "isRequired": argument.get("isRequired"), "isSecret": argument.get("isSecret"),
    });
    // What may not be set is left out: nothing here has to have it.
    let _ = inputs.variable(&variable, false);
}

/// The server's own arguments, in order.
///
/// # Errors
/// What of it Berth does not do.
pub(super) fn of_server(
    inputs: &mut Inputs,
    package: &Value,
    is_old: bool,
    own_name: &str,
) -> Result<(), String> {
    for (position, argument) in list(package, &["packageArguments", "package_arguments"]).enumerate() {
        let name = text(argument, &["name"]);
        // The shape of May 2025 has option and value in one.
        let (flag, joined) = match name.as_deref().map(|name| name.split_once(char::is_whitespace)) {
            Some(Some((flag, value))) => (Some(flag.to_owned()), Some(value.trim().to_owned())),
            Some(None) => (name.clone(), None),
            None => (None, None),
        };
        let value = joined.or_else(|| text(argument, &["value"]));
        if is_old {
            let first = flag.as_deref().or(value.as_deref()).unwrap_or_default();
            if UV_WITH_VALUE.contains(&first) || first == "run" {
                continue;
            }
            let is_python =
                std::path::Path::new(first).extension().is_some_and(|extension| extension == "py");
            if is_python || matches!(first, "-m" | "python" | "python3") {
                return Err(
                    "it is started from a copy of its sources, or as a part of its package".to_owned()
                );
            }
            if first == own_name || IGNORED.contains(&first) {
                continue;
            }
        }
        one(inputs, argument, (flag, value), is_old, position)?;
    }
    Ok(())
}

fn one(
    inputs: &mut Inputs,
    argument: &Value,
    (flag, value): (Option<String>, Option<String>),
    is_old: bool,
    position: usize,
) -> Result<(), String> {
    let variables = argument.get("variables").and_then(Value::as_object);
    let asks = match &value {
        None => flag.is_none() || argument.get("format").is_some() || argument.get("default").is_some(),
        Some(value) => {
            variables.is_some_and(|variables| !variables.is_empty()) || (is_old && is_example(value))
        }
    };
    if !asks {
        if let Some(flag) = flag {
            inputs.fixed(&flag);
        }
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            inputs.fixed(&value);
        }
        return Ok(());
    }
    let hint = text(argument, &["valueHint", "value_hint"]).filter(|hint| !is_old || !is_example(hint));
    let name = match (&flag, hint) {
        (Some(flag), _) => flag.trim_start_matches('-').to_owned(),
        (None, Some(hint)) => hint,
        (None, None) => format!("argument-{}", position + 1),
    };
    let is_secret = boolean(argument, &["isSecret", "is_secret"]).unwrap_or_else(|| is_secret_name(&name))
        || variables.is_some_and(|variables| {
            variables.values().any(|it| boolean(it, &["isSecret", "is_secret"]) == Some(true))
        });
    let is_required = boolean(argument, &["isRequired", "is_required"]).unwrap_or(false);
    if is_secret {
        let why = format!(
            "its secret `{}` belongs onto the command line, which others of its host can read",
            shown(&name, 40)
        );
        return if is_required { Err(why) } else { Ok(()) };
    }
    inputs.argument(argument, &name, flag, is_old);
    Ok(())
}
