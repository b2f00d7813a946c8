//! What a server.json's inputs become: settings, and values made of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{boolean, first, list, shown, text};
use crate::catalog::{
    Input, InputFormat, InputTarget, Template, is_header, is_own_header, is_reserved_variable, is_variable,
};

/// What is shown of a setting's description, and the longest value, in characters.
const MAX_DESCRIPTION: usize = 300;
const MAX_VALUE: usize = 2048;
/// The longest name of a setting, in characters.
const MAX_NAME: usize = 64;

/// What was read so far of one way to run a server.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) asked: Vec<Input>,
    pub(super) templates: Vec<Template>,
    /// Variables with a value that nobody is asked for.
    pub(super) env: BTreeMap<String, String>,
    /// Such arguments, as long as none before them is asked for.
    pub(super) args: Vec<String>,
}

impl Inputs {
    /// An environment variable. A value that is fixed there can be changed here: it is the user's own process.
    ///
    /// # Errors
    /// Why what has to have it cannot be deployed.
    pub(super) fn variable(&mut self, value: &Value, is_old: bool) -> Result<(), String> {
        let Some(name) = text(value, &["name"]) else { return Ok(()) };
        let is_required = boolean(value, &["isRequired", "is_required"]).unwrap_or(false);
        if !is_variable(&name) || is_reserved_variable(&name) {
            let why =
                format!("it wants the variable `{}`, which is not for it to set", shown(&name, MAX_NAME));
            return if is_required { Err(why) } else { Ok(()) };
        }
        let target = InputTarget::Env { variable: name.clone() };
        if let Some(template) = self.variables(value, &target) {
            self.templates.extend(template);
            return Ok(());
        }
        let input = self.input(value, &name, target, is_old);
        self.asked.push(input);
        Ok(())
    }

    /// A header of a server that runs elsewhere.
    ///
    /// # Errors
    /// Why what has to have it cannot be deployed.
    pub(super) fn header(&mut self, value: &Value) -> Result<(), String> {
        let Some(name) = text(value, &["name"]) else { return Ok(()) };
        let is_required = boolean(value, &["isRequired", "is_required"]).unwrap_or(false);
        if !is_header(&name) || is_own_header(&name) {
            let why = format!("it wants the header `{}`, which is not for it to set", shown(&name, MAX_NAME));
            return if is_required { Err(why) } else { Ok(()) };
        }
        let target = InputTarget::Header { header: name.clone() };
        if let Some(template) = self.variables(value, &target) {
            self.templates.extend(template);
        } else if let Some(fixed) = text(value, &["value"]) {
            self.templates.push(Template { target, text: shown(&fixed, MAX_VALUE) });
        } else {
            let input = self.input(value, &name, target, false);
            self.asked.push(input);
        }
        Ok(())
    }

    /// The address of a server that runs elsewhere, when settings are part of it.
    pub(super) fn address(&mut self, url: &str, remote: &Value) {
        let with_value = serde_json::json!({ "value": url, "variables": remote.get("variables") });
        let made = self.variables(&with_value, &InputTarget::Address);
        self.templates.extend(made.unwrap_or_default());
    }

    /// An argument that is asked for, after those that were read before it.
    pub(super) fn argument(&mut self, value: &Value, name: &str, flag: Option<String>, is_old: bool) {
        let target = InputTarget::Argument { flag };
        if let Some(template) = self.variables(value, &target) {
            self.templates.extend(template);
            return;
        }
        let input = self.input(value, name, InputTarget::Part, is_old);
        if input.secret {
            // It would be read by whoever sees the host's processes; what has to have it was refused before.
            return;
        }
        self.templates.push(Template { target, text: format!("{{{}}}", input.name) });
        self.asked.push(input);
    }

    /// An argument that nobody is asked for.
    pub(super) fn fixed(&mut self, argument: &str) {
        let argument = argument.replace('\0', "");
        if self.templates.iter().any(|template| matches!(template.target, InputTarget::Argument { .. })) {
            self.templates.push(Template { target: InputTarget::Argument { flag: None }, text: argument });
        } else {
            self.args.push(argument);
        }
    }

    /// Whether a setting or a variable of that name is there, or one whose value is `port`; it takes the port that the server is told.
    pub(super) fn take_port(&mut self, port: &str) -> bool {
        const PORT: &str = "{port}";
        let name = port.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let is_it = |input: &Input| match name {
            Some(name) => {
                input.name == name || input.target == InputTarget::Env { variable: name.to_owned() }
            }
            None => input.default.as_deref() == Some(port),
        };
        if let Some(at) = self.asked.iter().position(is_it) {
            let input = self.asked.remove(at);
            if let InputTarget::Env { variable } = input.target {
                self.env.insert(variable, PORT.to_owned());
            } else {
                let named = format!("{{{}}}", input.name);
                for template in &mut self.templates {
                    template.text = template.text.replace(&named, PORT);
                }
            }
            return true;
        }
        let fixed = self.env.values_mut().chain(&mut self.args);
        let fixed = fixed.chain(self.templates.iter_mut().map(|template| &mut template.text));
        let found = fixed.into_iter().find(|text| text.as_str() == port);
        found.map(|text| PORT.clone_into(text)).is_some()
    }

    /// A value that has variables: a setting for each, and a template of them. No template where it is a variable and nothing else: then that
    /// setting is the value itself, so that a secret of the account can be it. `None` when it has no variables.
    fn variables(&mut self, value: &Value, target: &InputTarget) -> Option<Vec<Template>> {
        let text = text(value, &["value"])?;
        let variables = first(value, &["variables"])?.as_object()?;
        let mut template = Template { target: target.clone(), text: text.chars().take(MAX_VALUE).collect() };
        let mut done = vec![];
        let names: Vec<String> = template.names().map(str::to_owned).collect();
        for name in names {
            let Some(variable) = variables.get(&name) else { continue };
            if done.contains(&name) {
                continue;
            }
            let mut input = self.input(variable, &name, InputTarget::Part, false);
            // What the whole says of itself is true of its parts.
            input.secret |= boolean(value, &["isSecret", "is_secret"]).unwrap_or(false);
            input.required |= boolean(value, &["isRequired", "is_required"]).unwrap_or(false)
                || matches!(target, InputTarget::Address);
            if input.description.is_empty() {
                input.description = described(value);
            }
            if matches!(target, InputTarget::Argument { .. }) && input.secret {
                continue;
            }
            template.text = template.text.replace(&format!("{{{name}}}"), &format!("{{{}}}", input.name));
            if template.text == format!("{{{}}}", input.name)
                && matches!(target, InputTarget::Env { .. } | InputTarget::Header { .. })
            {
                input.target = target.clone();
                self.asked.push(input);
                return Some(vec![]);
            }
            self.asked.push(input);
            done.push(name);
        }
        (!done.is_empty()).then(|| vec![template])
    }

    fn input(&self, value: &Value, name: &str, target: InputTarget, is_old: bool) -> Input {
        let given = text(value, &["value"]).or_else(|| text(value, &["default"]));
        let example = text(value, &["placeholder", "valueHint", "value_hint"]);
        let format = match text(value, &["format"]).as_deref() {
            Some("number") => InputFormat::Number,
            Some("boolean") => InputFormat::Boolean,
            Some("filepath") => InputFormat::Filepath,
            _ => InputFormat::String,
        };
        let choices: Vec<String> = list(value, &["choices"])
            .filter_map(|choice| Some(shown(choice.as_str()?, MAX_VALUE)).filter(|choice| !choice.is_empty()))
            .collect();
        let given = given.map(|text| text.chars().take(MAX_VALUE).collect::<String>());
        let is_value = |text: &String| {
            !(is_old && is_example(text))
                && format.check(text).is_ok()
                && (choices.is_empty() || choices.contains(text))
        };
        let (default, example) = match given {
            Some(text) if is_value(&text) => (Some(text), example),
            given => (None, given.or(example)),
        };
        Input {
            name: self.free_name(name),
            description: described(value),
            target,
            format,
            required: boolean(value, &["isRequired", "is_required"]).unwrap_or(false),
            secret: boolean(value, &["isSecret", "is_secret"]).unwrap_or_else(|| is_secret_name(name)),
            default,
            placeholder: example.map(|text| shown(&text, MAX_DESCRIPTION)),
            choices,
        }
    }

    /// A name that can be typed as `--set NAME=VALUE`, and that no other setting has.
    fn free_name(&self, name: &str) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let plain: String = name.chars().map(|c| if is_word(c) { c } else { '-' }).take(MAX_NAME).collect();
        let plain = plain.trim_matches('-');
        let plain = if plain.is_empty() { "value" } else { plain };
        let is_free = |name: &str| self.asked.iter().all(|input| input.name != name);
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        std::iter::once(plain.to_owned()).chain(numbered).find(|name| is_free(name)).unwrap_or_default()
    }
}

fn described(value: &Value) -> String {
    text(value, &["description"]).map(|text| shown(&text, MAX_DESCRIPTION)).unwrap_or_default()
}

/// A name that says that it is a secret, where nobody said whether it is.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "APIKEY", "CREDENTIALS", "AUTHORIZATION"]
        .iter()
        .any(|word| name.contains(word))
        || name.split('_').any(|part| part == "KEY")
}

/// A text that stands where a value belongs and is none, in the shape of May 2025.
pub(super) fn is_example(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.contains('<')
        || text.starts_with('$')
        || text.contains("${")
        || text.contains("...")
        || ["your", "path/to", "/path", "xxx"].iter().any(|word| lower.contains(word))
}
