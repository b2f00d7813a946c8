//! Settings and secrets of a request: where their values go, and what may be one.

use std::collections::BTreeMap;

use api::catalog::{CatalogEntry, Input, InputFormat, InputTarget};
use api::instances::DeployRequest;
use domain::catalog::{Template, is_header, is_own_header, is_reserved_variable, is_variable};
use domain::package::Package;
use domain::secret::{Secret, Secrets};
use domain::vault::SecretName;

use crate::app::Problem;
use crate::app::deployment::nearest;

pub(super) type Filled = (BTreeMap<String, String>, Secrets, Vec<String>);

pub(super) fn fill_inputs(entry: &CatalogEntry, request: &DeployRequest) -> Result<Filled, Problem> {
    let input_of = |key: &str| entry.inputs.iter().find(|input| input.name == key);
    for (field, key) in keys(request) {
        let Some(input) = input_of(key) else {
            let problem = Problem::invalid(
                format!("{field}.{key}"),
                format!("`{}` has no setting `{key}`", entry.name),
            );
            return Err(match nearest(key, entry.inputs.iter().map(|input| input.name.as_str())) {
                Some(name) => problem.hint(format!("did you mean `{name}`?")),
                None if entry.inputs.is_empty() => problem.hint("it takes none"),
                None => problem.hint(format!("it takes {}", listed(entry.inputs.iter()))),
            });
        };
        if input.secret && field == "settings" {
            return Err(Problem::invalid(
                format!("settings.{key}"),
                format!("`{key}` is a secret and settings are shown to everybody in the account"),
            )
            .hint(format!("give it as a secret: `--secret {key}=…`")));
        }
        if request.settings.contains_key(key) && request.secrets.values.contains_key(key) {
            return Err(Problem::invalid(format!("secrets.{key}"), format!("`{key}` is given twice"))
                .hint("give it once"));
        }
    }
    let missing: Vec<&Input> = entry
        .inputs
        .iter()
        .filter(|i| i.required && i.default.is_none() && value_of(i, request).is_none())
        .filter(|i| !request.each_caller.contains(&i.name) && !entry.launch.each_caller.contains_key(&i.name))
        .collect();
    if let Some(first) = missing.first() {
        let field = if first.secret { "secrets" } else { "settings" };
        let flags: Vec<String> = missing
            .iter()
            .map(|input| format!("--{} {}=…", if input.secret { "secret" } else { "set" }, input.name))
            .collect();
        let message = format!("`{}` needs {}", entry.name, listed(missing.iter().copied()));
        return Err(Problem::invalid(format!("{field}.{}", first.name), message)
            .hint(format!("give {}", flags.join(" "))));
    }
    let values = values(entry, request)?;
    let mut filled = Filled::default();
    for input in &entry.inputs {
        if let Some(value) = values.get(input.name.as_str()) {
            put(&mut filled, &input.target, value, &input.name)?;
        }
    }
    for template in &entry.templates {
        if let Some((value, names)) = written(template, entry, &values) {
            put(&mut filled, &template.target, &value, &names)?;
        }
    }
    Ok(filled)
}

/// The value of a setting as the server gets it, checked.
struct Value {
    text: String,
    is_secret: bool,
    part: &'static str,
}

/// The values of the inputs that have one, by the inputs' names.
fn values<'a>(entry: &'a CatalogEntry, request: &DeployRequest) -> Result<BTreeMap<&'a str, Value>, Problem> {
    let mut values = BTreeMap::new();
    for input in &entry.inputs {
        let Some(value) = value_of(input, request).or(input.default.as_deref()) else { continue };
        let part = if request.secrets.values.contains_key(&input.name) { "secrets" } else { "settings" };
        let field = || format!("{part}.{}", input.name);
        input
            .format
            .check(value)
            .map_err(|must| Problem::invalid(field(), format!("`{}` must be {must}", input.name)))?;
        if value.contains('\0') {
            let message = format!("`{}` must be a text without NUL characters", input.name);
            return Err(Problem::invalid(field(), message));
        }
        if !input.choices.is_empty() && !input.choices.iter().any(|choice| choice == value) {
            let choices: Vec<String> = input.choices.iter().map(|choice| format!("`{choice}`")).collect();
            let message = format!("`{}` must be one of {}", input.name, choices.join(", "));
            return Err(Problem::invalid(field(), message));
        }
        let text = match input.format {
            InputFormat::Filepath => format!("{{work}}/{value}"),
            InputFormat::String | InputFormat::Number | InputFormat::Boolean => value.to_owned(),
        };
        values
            .insert(input.name.as_str(), Value { text, is_secret: part == "secrets" || input.secret, part });
    }
    Ok(values)
}

/// What a template becomes, and which settings are in it; nothing when one of them has no value.
fn written(
    template: &Template,
    entry: &CatalogEntry,
    values: &BTreeMap<&str, Value>,
) -> Option<(Value, String)> {
    let known = |name: &str| entry.inputs.iter().any(|input| input.name == name);
    let text =
        template.fill(|name| known(name).then(|| values.get(name).map(|value| value.text.as_str())))?;
    let names: Vec<&str> = template.names().filter(|name| known(name)).collect();
    let secret = names.iter().filter_map(|name| values.get(name)).find(|value| value.is_secret);
    let part = secret.map_or("settings", |value| value.part);
    Some((Value { text, is_secret: secret.is_some(), part }, names.join(", ")))
}

fn put(filled: &mut Filled, target: &InputTarget, value: &Value, name: &str) -> Result<(), Problem> {
    let (env, secrets, arguments) = filled;
    let field = || format!("{}.{name}", value.part);
    match target {
        InputTarget::Header { .. } if value.text.bytes().any(|b| b < 0x20 || b == 0x7f) => {
            let message = "a header's value is one line without control characters";
            return Err(Problem::invalid(field(), message));
        }
        InputTarget::Env { variable: key } | InputTarget::Header { header: key } if value.is_secret => {
            secrets.insert(key.clone(), Secret::new(value.text.as_str()));
        }
        InputTarget::Env { variable: key } | InputTarget::Header { header: key } => {
            env.insert(key.clone(), value.text.clone());
        }
        InputTarget::Argument { .. } if value.is_secret => {
            let message = format!(
                "`{name}` is passed on the command line, which is stored and shown: it cannot be a secret"
            );
            return Err(Problem::invalid(field(), message)
                .hint(format!("if it is none, give it with `--set {name}=…`")));
        }
        InputTarget::Argument { flag } => {
            arguments.extend(flag.clone());
            arguments.push(value.text.clone());
        }
        // The first is `address`'s, the second is in the templates that name it.
        InputTarget::Address | InputTarget::Part => {}
    }
    Ok(())
}

/// The address of a server that runs elsewhere, where settings are part of it.
///
/// # Errors
/// 422 when a secret would be part of it, or when it is none with these settings.
pub(super) fn address(entry: &CatalogEntry, request: &DeployRequest) -> Result<Option<Package>, Problem> {
    let Some(template) = entry.templates.iter().find(|template| template.target == InputTarget::Address)
    else {
        return Ok(None);
    };
    let values = values(entry, request)?;
    let first = template.names().next().unwrap_or_default();
    let field = format!("settings.{first}");
    let Some((value, names)) = written(template, entry, &values) else {
        return Err(Problem::invalid(field, format!("`{}` has no address without it", entry.name)));
    };
    if value.is_secret {
        let message =
            format!("`{names}` is part of the address, which is stored and shown: it cannot be a secret");
        return Err(Problem::invalid(format!("{}.{first}", value.part), message));
    }
    match value.text.parse::<Package>() {
        Ok(package @ Package::Remote { .. }) => Ok(Some(package)),
        Ok(_) | Err(_) => Err(Problem::invalid(field, format!("`{}` is no address of a server", value.text))
            .hint("check the settings that are part of it")),
    }
}

/// Which variables have the values of secrets of the account. Those were filled in before as if they had been given.
pub(super) fn named(
    entry: Option<&CatalogEntry>,
    request: &DeployRequest,
) -> Result<BTreeMap<String, SecretName>, Problem> {
    let variable_of = |key: &String| {
        let Some(entry) = entry else { return Ok(key.clone()) };
        match entry.inputs.iter().find(|input| input.name == *key) {
            Some(Input {
                target: InputTarget::Env { variable } | InputTarget::Header { header: variable },
                format,
                ..
            }) if *format != InputFormat::Filepath => Ok(variable.clone()),
            _ => Err(Problem::invalid(
                format!("secrets.{key}"),
                format!("`{key}` is no value that a secret of the account could be"),
            )
            .hint("give its value itself")),
        }
    };
    let all = request.secrets.named.iter();
    all.map(|(key, name)| Ok((variable_of(key)?, name.clone()))).collect()
}

pub(super) fn check_variable(at: &str, key: &str) -> Result<(), Problem> {
    if !is_variable(key) {
        return Err(Problem::invalid(at, format!("`{key}` is not a name of an environment variable"))
            .hint("use letters, digits and underscores, such as `API_KEY`"));
    }
    if is_reserved_variable(key) {
        return Err(Problem::invalid(at, format!("`{key}` is set by Berth or decides which code runs"))
            .hint("leave it out"));
    }
    Ok(())
}

pub(super) fn check_header(at: &str, key: &str) -> Result<(), Problem> {
    if !is_header(key) {
        return Err(Problem::invalid(at, format!("`{key}` is not a name of a header"))
            .hint("the settings of a server that runs elsewhere are headers, such as `Authorization`"));
    }
    if is_own_header(key) {
        return Err(Problem::invalid(at, format!("the header `{key}` is set by Berth")).hint("leave it out"));
    }
    Ok(())
}

pub(super) fn fill_environment(request: &DeployRequest) -> Result<Filled, Problem> {
    for (field, key) in keys(request) {
        let at = format!("{field}.{key}");
        check_variable(&at, key)?;
        let secret = request.secrets.values.get(key).map(Secret::expose);
        if [request.settings.get(key).map(String::as_str), secret]
            .into_iter()
            .flatten()
            .any(|v| v.contains('\0'))
        {
            return Err(Problem::invalid(at, format!("`{key}` must be a text without NUL characters")));
        }
        if request.settings.contains_key(key) && request.secrets.values.contains_key(key) {
            return Err(Problem::invalid(format!("secrets.{key}"), format!("`{key}` is given twice"))
                .hint("give it once"));
        }
    }
    Ok((request.settings.clone(), request.secrets.values.clone(), Vec::new()))
}

/// Settings of a server that runs elsewhere are headers of every request to it.
pub(super) fn fill_headers(request: &DeployRequest) -> Result<Filled, Problem> {
    for (field, key) in keys(request) {
        let at = format!("{field}.{key}");
        check_header(&at, key)?;
        let value = request.settings.get(key).map(String::as_str);
        let value = value.or(request.secrets.values.get(key).map(Secret::expose));
        if value.is_some_and(|value| value.bytes().any(|b| b < 0x20 || b == 0x7f)) {
            return Err(Problem::invalid(at, "a header's value is one line without control characters"));
        }
        if request.settings.contains_key(key) && request.secrets.values.contains_key(key) {
            return Err(Problem::invalid(format!("secrets.{key}"), format!("`{key}` is given twice"))
                .hint("give it once"));
        }
    }
    Ok((request.settings.clone(), request.secrets.values.clone(), Vec::new()))
}

fn keys(request: &DeployRequest) -> impl Iterator<Item = (&'static str, &str)> {
    let settings = request.settings.keys().map(|key| ("settings", key.as_str()));
    settings.chain(request.secrets.values.keys().map(|key| ("secrets", key.as_str())))
}

fn value_of<'a>(input: &Input, request: &'a DeployRequest) -> Option<&'a str> {
    let secret = request.secrets.values.get(&input.name).map(Secret::expose);
    secret.or(request.settings.get(&input.name).map(String::as_str))
}

pub(super) fn listed<'a>(inputs: impl Iterator<Item = &'a Input>) -> String {
    inputs
        .map(
            |input| {
                if input.secret {
                    format!("`{}` (a secret)", input.name)
                } else {
                    format!("`{}`", input.name)
                }
            },
        )
        .collect::<Vec<_>>()
        .join(", ")
}
